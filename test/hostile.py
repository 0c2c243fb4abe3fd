"""Joint states as no driver should send them, and what must be said of each."""

import dataclasses
from array import array

import numpy as np
from builtin_interfaces.msg import Time
from sensor_msgs.msg import JointState

from sim2real_core.joint_states import BACKWARD, UNSTAMPED
from sim2real_core.messages import to_seconds, to_time
from sim2real_core.profile import load_profile
from sim2real_policy.action import Action
from sim2real_policy.bundle import BundleMetadata
from sim2real_policy.config import PolicyConfig
from sim2real_policy.controller import Controller
from sim2real_policy.conversions import JointStateReader
from sim2real_policy.observation import Term

FIELDS = ('position', 'velocity', 'effort')
ABSURD = (1e9, -1e9, 1e30, -1e30, 1e308, -1e308)


def field(rng):
    return FIELDS[rng.integers(2)]  # nobody looks at efforts here


def put(message, name, index, value):
    values = getattr(message, name)
    values[index % len(values)] = value
    setattr(message, name, values)


def not_finite(rng, message):
    put(message, field(rng), rng.integers(99), (np.nan, np.inf, -np.inf)[rng.integers(3)])


def absurd(rng, message):
    put(message, field(rng), rng.integers(99), ABSURD[rng.integers(len(ABSURD))])


def missing(rng, message):
    gone = rng.integers(len(message.name))
    message.name = [name for index, name in enumerate(message.name) if index != gone]
    for name in FIELDS:
        values = getattr(message, name)
        setattr(message, name, array('d', [v for i, v in enumerate(values) if i != gone]))


def twice(rng, message):
    one = rng.integers(len(message.name))
    message.name = [*message.name, message.name[one]]
    for name in FIELDS:
        setattr(message, name, array('d', [*getattr(message, name), 0.3]))


def wrong_length(rng, message):
    name = field(rng)
    values = list(getattr(message, name))
    changed = (values[:-1], [], [*values, 1.0], values * 100)[rng.integers(4)]
    setattr(message, name, array('d', changed))


def reordered(rng, message):
    order = rng.permutation(len(message.name))
    message.name = [message.name[index] for index in order]
    for name in FIELDS:
        values = getattr(message, name)
        setattr(message, name, array('d', [values[index] for index in order]))


def extra(rng, message):
    at = int(rng.integers(len(message.name) + 1))
    message.name = [*message.name[:at], 'grip per\n☂', *message.name[at:]]
    for name in FIELDS:
        values = list(getattr(message, name))
        values.insert(at, (np.nan, 1e308, 0.0)[rng.integers(3)])
        setattr(message, name, array('d', values))


def foreign(rng, message):
    message.name = [f'other_{name}' for name in message.name][: rng.integers(7)]


def backward(rng, message):
    message.header.stamp = to_time(to_seconds(message.header.stamp) * rng.uniform(0.0, 0.5))


def late(rng, message):
    late = rng.uniform(0.005, 0.9 * BACKWARD)
    message.header.stamp = to_time(max(to_seconds(message.header.stamp) - late, 0.0))


def future(rng, message):
    message.header.stamp = Time(sec=2**31 - 1, nanosec=2**32 - 1)


def before_all(rng, message):
    message.header.stamp = Time(sec=-(2**31), nanosec=0)


def unstamped(rng, message):
    message.header.stamp = Time()


CONTENTS = {
    not_finite: 'is not finite',
    absurd: 'is beyond',
    missing: 'lacks',
    twice: 'twice',
    wrong_length: 'values',
    reordered: '',
    extra: '',
    foreign: None,
}
"""What is done to a message -> what must be said of it; None when it is nothing for us."""

TIMES = (backward, late, future, before_all, unstamped)
KINDS = (*CONTENTS, *TIMES)


def expected(kind, stamp, newest):
    """What must be said of a message [s], the newest stamp before it being another [s]."""
    if CONTENTS.get(kind) != '' and kind in CONTENTS:
        return CONTENTS[kind]
    if -BACKWARD <= stamp - newest <= 0.0:
        return UNSTAMPED if stamp == newest == 0.0 else None
    return 'time went backward' if stamp < newest else ''


class Robot:
    """A robot that does as it is told, a policy that asks for anything, and what is between.

    Args:
        interface: what commands mean.
        seed: of all that is drawn.
        config: of the policy node.
    """

    def __init__(self, interface='position', seed=0, **config):
        arm = load_profile('arm6')
        command = dataclasses.replace(arm.command, interface=interface)
        self.profile = dataclasses.replace(arm, command=command)
        self.rng = np.random.default_rng(seed)
        terms = [Term(kind='joint_position', history=2), Term(kind='joint_velocity')]
        meaning = 'delta' if interface == 'position' else interface
        meta = BundleMetadata.for_robot(
            self.profile, terms, Action(meaning=meaning, scale=(1.0,) * 6)
        )
        self.meta, self.interface = meta, interface
        self.controller = Controller(meta, self.profile, self, PolicyConfig(**config))
        inputs = {name: self.controller.inputs[name] for name in FIELDS[:2]}
        self.reader = JointStateReader(meta.joints, inputs)
        self.position = self.profile.array('default_position')
        self.velocity = np.zeros(6)
        self.stamp, self.now, self.actions = 100.0, 1000.0, 'any'
        self.last, self.speed, self.commands = None, np.zeros(6), 0
        self.newest = -np.inf

    # The runtime

    def infer(self, observation, others=None):
        assert np.isfinite(observation).all()
        values = self.rng.standard_normal(6) * 10.0 ** self.rng.uniform(-4, 3)
        if self.actions == 'any' and self.rng.random() < 0.002:
            values[self.rng.integers(6)] = (np.nan, np.inf, 1e38)[self.rng.integers(3)]
        return values[None].astype(np.float32)

    def reset(self):
        self.resets = getattr(self, 'resets', 0) + 1

    def report(self):
        return {}

    # The robot

    def message(self):
        """A joint state of this moment."""
        message = JointState(name=list(self.profile.joint_names))
        message.header.stamp = to_time(self.stamp)
        noisy = self.position + self.rng.normal(0.0, 1e-4, 6)
        message.position = array('d', noisy)
        message.velocity = array('d', self.velocity)
        message.effort = array('d', np.zeros(6))
        return message

    def pass_time(self, seconds):
        self.stamp += seconds
        self.now += seconds

    def receive(self, message):
        """As the node does with a joint state; what was said of it, None when nothing was."""
        controller = self.controller
        stamp = to_seconds(message.header.stamp)
        if not controller.newer(stamp):
            return None
        fault = self.reader.read(message)
        if fault is None:
            return None
        afresh = controller.guard.damping or not controller.ready or stamp < self.newest
        self.newest = stamp
        restarts = controller.restarts
        due = controller.sample(stamp, self.now, fault)
        if afresh and not controller.unusable:  # it starts from what was measured, at rest
            self.last, self.speed = controller.guard.command.copy(), np.zeros(6)
        said = controller.unusable or 'time went backward' * (controller.restarts - restarts)
        if due:
            controller.act()
            self.obey()
        return said

    def watch(self):
        """As the node does while nothing comes."""
        if self.controller.watch(self.now):
            self.obey()

    def obey(self):
        """Check a command, and do as it says."""
        bound, period = self.profile.array, self.meta.control_period
        sent = self.controller.command.copy()
        self.commands += 1
        assert np.isfinite(sent).all()
        step = bound('acceleration') * period + 1e-9
        if self.interface == 'effort':
            assert (np.abs(sent) <= bound('effort')).all()
        elif self.interface == 'velocity':
            assert (np.abs(sent) <= bound('velocity')).all()
            assert (np.abs(sent - self.last) <= step).all()
            moved = self.position + sent * period
            self.position = np.clip(moved, bound('lower'), bound('upper'))
        else:
            assert (sent >= np.minimum(bound('lower'), self.last)).all()
            assert (sent <= np.maximum(bound('upper'), self.last)).all()
            speed = (sent - self.last) / period
            assert (np.abs(speed) <= bound('velocity') + 1e-9).all()
            assert (np.abs(speed - self.speed) <= step + 1e-9).all()
            self.position, self.speed = sent, speed
        self.last = sent
