"""Whatever IMUs, odometry, cameras and people send, no network sees it and no limit is broken."""

import array
from types import SimpleNamespace

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped, Quaternion, Twist, Vector3
from nav_msgs.msg import Odometry
from sensor_msgs.msg import Imu

from sim2real_core.messages import to_time
from sim2real_core.profile import load_profile
from sim2real_policy.action import Action
from sim2real_policy.bundle import BundleMetadata
from sim2real_policy.config import PolicyConfig
from sim2real_policy.controller import Controller
from sim2real_policy.controller_parts import tool_position
from sim2real_policy.guard_input import MOST
from sim2real_policy.images import ImageInput
from sim2real_policy.inputs_ros import Inputs
from sim2real_policy.observation import KINDS, Term

NUMBERS = (0.0, 0.3, -2.0, 1e9, -1e30, 1e308, np.nan, np.inf, -np.inf)
PERIOD = 0.02
EYE = ImageInput(name='eye', topic='eye', height=2, width=3, encoding='32FC1')


class Network:
    """Gives anything, and says what it was shown that it must not see."""

    def __init__(self, rng, size):
        self.rng, self.size, self.calls, self.wrong = rng, size, 0, []

    def infer(self, observation, images=None):
        self.calls += 1
        for seen in (observation, *(images or {}).values()):
            if not np.isfinite(seen).all() or np.abs(seen).max() > max(MOST.values()):
                self.wrong.append(seen.copy())
        return self.rng.choice([0.0, 0.5, -3.0, 1e6, -1e30], (1, self.size))

    def reset(self):
        self.calls += 0

    def report(self):
        return {}


class Hostile:
    """A robot, its policy's inputs, and messages for them of which a third is broken."""

    def __init__(self, robot, meaning, kinds, seed, images=()):
        self.rng = np.random.default_rng(seed)
        self.profile = profile = load_profile(robot)
        size = len(profile.command_names)
        terms = [Term(kind=kind) for kind in kinds]
        action = Action(meaning=meaning, scale=(1.0,) * size)
        meta = BundleMetadata.for_robot(profile, terms, action, images=images)
        self.network = Network(self.rng, size)
        config = PolicyConfig(bundle='given', start_speed=0.0)
        tool = tool_position(meta, profile)
        self.controller = Controller(meta, profile, self.network, config, tool)
        self.takers, self.refused = {}, 0
        log = SimpleNamespace(error=self.refuse)
        loop = SimpleNamespace(
            subscribe=lambda kind, topic, qos, take, **_: self.takers.update({kind: take})
        )
        node = SimpleNamespace(get_logger=lambda: log)
        Inputs(node, loop, self.controller, meta, profile, False)
        self.stamp = 10.0

    def refuse(self, text, **_):
        self.refused += 1

    def number(self):
        return float(self.rng.choice(NUMBERS)) if self.rng.random() < 0.1 else 0.1

    def numbers(self, kind, count=3):
        return kind(**dict(zip('xyzw', (self.number() for _ in range(count)))))

    def header(self, message):
        message.header.stamp = to_time(self.stamp + PERIOD)
        if self.rng.random() < 0.05:
            times = (Time(), Time(sec=2**31 - 1), Time(sec=-(2**31)))
            message.header.stamp = times[self.rng.integers(3)]
        return message

    def message(self, kind):
        if kind is Twist:
            return Twist(linear=self.numbers(Vector3), angular=self.numbers(Vector3))
        message = self.header(kind())
        if kind is Imu:
            message.angular_velocity = self.numbers(Vector3)
            message.linear_acceleration = self.numbers(Vector3)
            message.orientation = self.numbers(Quaternion, 4)
            message.orientation.w += 0.5
        elif kind is Odometry:
            message.twist.twist = Twist(
                linear=self.numbers(Vector3), angular=self.numbers(Vector3)
            )
            message.pose.pose.position.x = self.number()
        elif kind is PoseStamped:
            frames = (self.profile.base_link, '', 'grip per\n☂')
            message.header.frame_id = frames[self.rng.integers(3)]
            message.pose.position.x, message.pose.position.z = self.number(), self.number()
        else:
            self.fill(message)
        return message

    def fill(self, image):
        image.height, image.width = (2, 3) if self.rng.random() < 0.8 else (3, 2)
        image.encoding = '32FC1' if self.rng.random() < 0.8 else 'mono8'
        image.step, image.is_bigendian = 12, int(self.rng.integers(2))
        values = np.full(6, 0.5, '>f4' if image.is_bigendian else '<f4')
        if self.rng.random() < 0.2:
            values[self.rng.integers(6)] = self.rng.choice([np.nan, np.inf, 0.25])
        data = values.tobytes()[: 24 if self.rng.random() < 0.8 else self.rng.integers(24)]
        image.data = array.array('B', data)

    def tick(self):
        """Some messages, then a joint state; the command where one was due."""
        for kind, take in self.takers.items():
            for _ in range(self.rng.integers(3)):
                take(self.message(kind), 0.0)
        self.stamp += PERIOD
        made, profile = self.controller, self.profile
        made.inputs['position'][0] = profile.array('default_position')
        if made.sample(self.stamp, self.stamp):
            return made.act().copy()
        return None


@pytest.mark.parametrize(
    ('robot', 'meaning', 'kinds', 'images'),
    [
        ('rover', 'twist', [k for k in KINDS if 'goal' not in k and 'tool' not in k], (EYE,)),
        ('arm6', 'delta', ['joint_position', 'goal_error', 'imu_linear_acceleration'], ()),
        ('quadruped', 'position', [k for k in KINDS if 'imu' in k or 'gravity' in k], ()),
    ],
)
def test_whatever_comes_no_limit_is_broken(robot, meaning, kinds, images):
    made = Hostile(robot, meaning, kinds, 3, images)
    sent = np.array(
        [command for command in (made.tick() for _ in range(1500)) if command is not None]
    )
    assert len(sent) > 1400 and made.network.calls > 100 and made.network.wrong == []
    assert made.controller.guard.counts['hold'] > 0
    assert made.refused > 0 or Imu in made.takers
    limits = [made.profile.limited(name) for name in made.profile.command_names]
    velocity = np.array([limit.velocity for limit in limits])
    if meaning == 'twist':
        assert (np.abs(sent) <= velocity + 1e-9).all()
    else:
        assert (sent >= made.profile.array('lower')).all()
        assert (sent <= made.profile.array('upper')).all()
        assert (np.abs(np.diff(sent, axis=0)) <= velocity * PERIOD + 1e-9).all()
