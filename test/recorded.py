"""A robot in a simulator, its policy and its capture in one process: makes real clips, fast.

Everything is the real thing but the topics between: the simulator, the policy's controller, the
recorder with its ring, the writer of clips. Messages are real CDR.
"""

import io

import numpy as np
from rosbags.typesys import Stores, get_typestore

from sim2real_capture.capture import Capture
from sim2real_capture.clip import Context
from sim2real_capture.config import CaptureConfig
from sim2real_capture.ring import Record
from sim2real_capture.signals import ImuSample
from sim2real_capture.writer import Sealed
from sim2real_policy.config import PolicyConfig
from sim2real_policy.controller import Controller
from sim2real_policy.controller_parts import tool_position
from sim2real_policy.runtime import OnnxRuntime

SECOND = 10**9
STORE = get_typestore(Stores.LATEST)
TYPES = STORE.types
JOINT_STATE, ARRAY = 'sensor_msgs/msg/JointState', 'std_msgs/msg/Float64MultiArray'
ODOMETRY = 'nav_msgs/msg/Odometry'
POSE, IMU = 'geometry_msgs/msg/PoseStamped', 'sensor_msgs/msg/Imu'
IMAGE, COMPRESSED = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'
DIAGNOSTIC = 'diagnostic_msgs/msg'
DRAW = f'{DIAGNOSTIC}/DiagnosticArray'


def message(name, /, **fields):
    return TYPES[name](**fields)


def header(stamp, frame=''):
    moment = message('builtin_interfaces/msg/Time', sec=stamp // SECOND, nanosec=stamp % SECOND)
    return message('std_msgs/msg/Header', stamp=moment, frame_id=frame)


def cdr(made, kind):
    return bytes(STORE.serialize_cdr(made, kind))


def joint_state(stamp, names, **values):
    fields = {n: np.array(values.get(n, ()), float) for n in ('position', 'velocity', 'effort')}
    return cdr(message(JOINT_STATE, header=header(stamp), name=list(names), **fields), JOINT_STATE)


def array(values, labels=()):
    dimension = message(
        'std_msgs/msg/MultiArrayDimension',
        label=','.join(labels),
        size=len(values),
        stride=len(values),
    )
    layout = message(
        'std_msgs/msg/MultiArrayLayout', dim=[dimension] if labels else [], data_offset=0
    )
    return cdr(message(ARRAY, layout=layout, data=np.array(values, float)), ARRAY)


def xyz(kind, values):
    return message(f'geometry_msgs/msg/{kind}', **dict(zip('xyz', map(float, values))))


def pose(position, frame):
    turned = message('geometry_msgs/msg/Quaternion', x=0.0, y=0.0, z=0.0, w=1.0)
    where = message('geometry_msgs/msg/Pose', position=xyz('Point', position), orientation=turned)
    return cdr(message(POSE, header=header(0, frame), pose=where), POSE)


def imu(stamp, angular, linear):
    return cdr(
        message(
            IMU,
            header=header(stamp),
            orientation=message('geometry_msgs/msg/Quaternion', x=0.0, y=0.0, z=0.0, w=1.0),
            angular_velocity=xyz('Vector3', angular),
            linear_acceleration=xyz('Vector3', linear),
            **{
                f'{name}_covariance': np.zeros(9)
                for name in ('orientation', 'angular_velocity', 'linear_acceleration')
            },
        ),
        IMU,
    )


def twist(values, kind):
    """Linear x and y, and angular z."""
    linear, angular = xyz('Vector3', (*values[:2], 0.0)), xyz('Vector3', (0.0, 0.0, values[2]))
    return cdr(message(kind, linear=linear, angular=angular), kind)


def odometry(
    stamp, linear, angular, position=(0, 0, 0), orientation=(0, 0, 0, 1), frame='base_link'
):
    xyzw = dict(zip('xyzw', map(float, orientation)))
    turned = message('geometry_msgs/msg/Quaternion', **xyzw)
    here = message('geometry_msgs/msg/Pose', position=xyz('Point', position), orientation=turned)
    moving = message(
        'geometry_msgs/msg/Twist', linear=xyz('Vector3', linear), angular=xyz('Vector3', angular)
    )
    made = message(
        ODOMETRY,
        header=header(stamp, 'odom'),
        child_frame_id=frame,
        pose=message('geometry_msgs/msg/PoseWithCovariance', pose=here, covariance=np.zeros(36)),
        twist=message(
            'geometry_msgs/msg/TwistWithCovariance', twist=moving, covariance=np.zeros(36)
        ),
    )
    return cdr(made, ODOMETRY)


def image(stamp, pixels, encoding):
    """An image as its bytes, and as a message."""
    made = message(
        IMAGE,
        header=header(stamp, 'camera'),
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=pixels[0].nbytes,
        data=np.frombuffer(pixels.tobytes(), np.uint8),
    )
    return cdr(made, IMAGE), made


def packed(stamp, pixels, codec):
    """RGB pixels as a CompressedImage."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format=codec)
    data = np.frombuffer(file.getvalue(), np.uint8)
    told = {'format': f'rgb8; {codec} compressed bgr8', 'data': data}
    return cdr(message(COMPRESSED, header=header(stamp, 'camera'), **told), COMPRESSED)


def draw(values, outcome=''):
    def status(name, said, **pairs):
        told = [message(f'{DIAGNOSTIC}/KeyValue', key=k, value=str(v)) for k, v in pairs.items()]
        about = {'level': 0, 'name': name, 'message': said, 'hardware_id': ''}
        return message(f'{DIAGNOSTIC}/DiagnosticStatus', **about, values=told)

    rows = [status(a, outcome, value=repr(v)) for a, v in values.items()]
    head = status('__draw__', '', schema=1, episode=0, seed=0)
    return cdr(message(DRAW, header=header(0), status=[head, *rows]), DRAW)


class Stack:
    """Simulator, policy and capture of one robot.

    Args:
        profile, bundle: of the robot.
        folder: spool of the clips.
        simulator: with the robot in it.
        lag: how long after a joint state its answer is recorded [ns].
        config: of the capture.
    """

    def __init__(self, profile, bundle, folder, simulator, *, start=0, lag=0, imu=False, **config):
        self.profile, self.bundle, self.simulator = profile, bundle, simulator
        self.imu = imu
        self.lag, self.stamp = lag, start
        self.reports, self.events = [], []
        self.world = {}
        self.capture = Capture(
            CaptureConfig(folder=str(folder), **{'before': 1.0, 'after': 0.5, **config}),
            profile,
            lambda: Context(
                profile.name,
                profile.content_hash,
                bundle.content_hash,
                {'values': dict(self.world)},
            ),
            self.reports.append,
        )
        for topic in ('/goal', '/simulator/draw_applied'):
            self.capture.pin(topic)
        meta = bundle.meta
        policy = PolicyConfig(bundle='given')
        tool = tool_position(meta, profile)
        self.controller = Controller(meta, profile, OnnxRuntime(bundle), policy, tool)
        self.seen = {}  # stamp -> observation, as the policy had it

    def goal(self, position):
        self.controller.goal(np.array(position))
        self._record('/goal', POSE, pose(position, self.profile.base_link))

    def draw(self, values):
        """Another world from now on."""
        self.world = dict(values)
        outcomes = self.simulator.apply(values)
        assert set(outcomes.values()) <= {'verified', 'applied'}
        self._record('/simulator/draw_applied', DRAW, draw(values, 'verified'))

    def _record(self, topic, kind, data):
        self.capture.record(topic, kind, data, self.stamp + self.lag)

    def run(self, seconds):
        """Samples, and the commands they ask for, for so long."""
        rate = self.profile.rates.joint_state_rate
        between = round(1 / rate / self.simulator.timestep)
        for _ in range(round(seconds * rate)):
            self.sample()
            self.simulator.step(between)
            self.stamp += round(between * self.simulator.timestep * SECOND)
        return self

    def sample(self):
        profile, controller, stamp = self.profile, self.controller, self.stamp
        reading = self.simulator.read()
        names = profile.joint_names
        measured = {q: getattr(reading, q)[0] for q in ('position', 'velocity', 'effort')}
        if self.imu:
            said = self.simulator.read_imu()
            angular, linear = said.angular_velocity[0], said.linear_acceleration[0]
            self._record('/imu', IMU, imu(stamp, angular, linear))
            sensed = {'angular_velocity': angular, 'linear_acceleration': linear}
            if 'imu' in controller.sources:  # the node listens only to what its policy sees
                controller.sense('imu', stamp * 1e-9, sensed)
            found = self.capture.detect(ImuSample(stamp * 1e-9, angular, linear), stamp)
            self.events += [event for event, _ in found]
        data = joint_state(stamp, names[::-1], **{q: v[::-1] for q, v in measured.items()})
        record = Record('/joint_states', JOINT_STATE, stamp, data)
        quantity = measured[profile.command.drives]
        for event, _ in self.capture.sample(record, quantity, stamp, **measured):
            self.events.append(event)
        order = [names.index(name) for name in self.bundle.meta.joints]
        for name, values in measured.items():
            controller.inputs[name][0] = values[order]
        if controller.sample(stamp // SECOND + stamp % SECOND * 1e-9, 0.0):
            self.act()

    def act(self):
        controller, stamp = self.controller, self.stamp
        command = controller.act()
        self.obey(command)
        topic = self.profile.command.topic
        self._record(f'/{topic}', ARRAY, array(command))
        self.capture.command('sent', command.copy(), stamp + self.lag)
        names = self.profile.command_names
        applied = joint_state(stamp, names, **{self.profile.command.drives: command})
        self._record('/policy/action_applied', JOINT_STATE, applied)
        self.capture.command('applied', command.copy(), stamp + self.lag, stamp)
        if controller.decided:
            self.seen[stamp] = controller.observation.copy()
            labels = self.bundle.meta.observation.labels
            self._record('/policy/observation', ARRAY, array(controller.observation, labels))

    def obey(self, command):
        """What the robot does with a command."""
        self.simulator.command(command)

    def trigger(self):
        return self.capture.trigger('asked for', self.stamp)[1]

    def clips(self):
        """Seal what is open; the clips' folders, in order."""
        assert self.capture.close(30.0)
        assert all(isinstance(report, Sealed) for report in self.reports), self.reports
        return [report.folder for report in self.reports]
