"""Policies of BeyondMimic and of mjlab's tracking task, which follow the motion in their file.

Such a model takes the observation and the number of the step. Beside the action it gives what the
motion is at that step, joints first: ``joint_pos``, ``joint_vel``, ``body_quat_w`` (w, x, y, z).
Whoever runs it puts that into the observation, as the terms ``command`` and
``motion_anchor_ori_b``. Here it is put there inside: the number of the step becomes a state, and
the observation is what a robot senses, its orientation (by the IMU) first.

``motion_anchor_ori_b`` is the orientation of the motion's anchor body as seen from the robot's,
two columns of the matrix row by row. The motion is turned about the vertical first, so that it
begins with the heading that the robot has then.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sim2real_core.errors import Faults
from sim2real_policy.bundle import open_session
from sim2real_policy.description import Description
from sim2real_policy.foreign_mjlab import mjlab_names, mjlab_terms
from sim2real_policy.onnx_graph import constant, in_order, keep_outputs, onnx_package, shape_of

if TYPE_CHECKING:
    from sim2real_core.profile import RobotProfile

Array32 = npt.NDArray[np.float32]
Array = npt.NDArray[np.float64]

INPUTS, OUTPUTS = {'obs', 'time_step'}, {'actions', 'joint_pos', 'joint_vel', 'body_quat_w'}
COMMAND, ORIENTATION = 'command', 'motion_anchor_ori_b'
INSIDE = (COMMAND, ORIENTATION)
"""Terms of the observation that are made of the motion."""

STATES = (('time_in', 'time_out', [1, 1]), ('heading_in', 'heading_out', [1, 2]))
"""Input, output and shape of the number of the step, and of cosine and sine of the motion's turn
(zeros before it is known)."""

XYZW, WXYZ = (0, 1, 2, 3), (1, 2, 3, 0)

PROCESSING = 'observation_terms_'
PLAIN = {'1.000', '0.000', '-inf;inf', 'True', 'False', '0', '1', '1.0'}
"""Entries of mjlab 1.6 that leave a term as it is."""


def is_motion(model: Any) -> bool:
    """Whether a model has the inputs and outputs of one that follows a motion."""
    inputs, outputs = (
        {end.name for end in ends} for ends in (model.graph.input, model.graph.output)
    )
    return inputs >= INPUTS and outputs >= OUTPUTS


class Motion:
    """What the metadata of such a file say of its observation.

    Args:
        properties: of the model file.
        profile: the robot.
        told: keys that the YAML says.
        file: named in faults.

    Raises:
        InputError: terms that no robot can give, or an anchor that the file does not name.

    Attributes:
        names: of the terms, in the network's order.
        widths: of those that are sensed.
        anchor: index of the anchor body.
        size: elements of what is sensed, the orientation first.
        seen: elements of the network's observation.
        described: what the file says.
    """

    def __init__(
        self, properties: Mapping[str, str], profile: RobotProfile, told: Container[str], file: str
    ) -> None:
        faults = Faults(file)
        self.names = mjlab_names(properties['observation_names'])
        bodies = mjlab_names(properties.get('body_names', ''))
        anchor = properties.get('anchor_body_name', '')
        if 'observation' in told:
            faults.add('observation', '', 'leave it out: the file of a motion says it')
        if anchor not in bodies:
            faults.add('anchor_body_name', anchor, f'must be one of body_names: {bodies}')
        sensed = [name for name in self.names if name not in INSIDE]
        plain = {k: v for k, v in properties.items() if not k.startswith('observation_terms_')}
        terms = mjlab_terms(
            {**plain, 'observation_names': ','.join(sensed)}, None, profile, faults
        )
        for key in properties:
            if key.startswith('observation_terms_') and set(properties[key].split(',')) - PLAIN:
                faults.add(key, properties[key], 'must be plain for the file of a motion')
        faults.check()
        joints = len(mjlab_names(properties['joint_names']))
        per_joint = ('joint_position', 'joint_velocity', 'previous_action')
        counts = [joints if term['kind'] in per_joint else 3 for term in terms]
        self.widths = dict(zip(sensed, counts))
        self.anchor, self.size = bodies.index(anchor), 4 + sum(counts)
        inside = {COMMAND: 2 * joints, ORIENTATION: 6}
        self.seen = sum(counts) + sum(inside.get(name, 0) for name in self.names)
        self.file = file
        observation = [{'kind': 'imu_orientation'}, *terms]
        remark = (
            f'the IMU is taken for fixed to {anchor}, without a turn between them; base_ang_vel '
            'comes from the same IMU'
        )
        states = [dict(zip(('input', 'output', 'shape'), state)) for state in STATES]
        self.described = Description(
            {'observation': observation, 'state': states}, remarks=(remark,)
        )

    def parts(self, take: Callable[[int, int], Any]) -> dict[str, Any]:
        """Each sensed term by its name; ``take`` gives elements begin to end of all sensed."""
        ends = np.cumsum([4, *self.widths.values()]).tolist()
        return {name: take(*each) for name, *each in zip(self.widths, ends, ends[1:])}


def products(order: Sequence[int]) -> Array:
    """(16, 9) from the products of a unit quaternion's elements to its matrix, row by row.

    Args:
        order: where x, y, z and w are.

    Source: the homogeneous form, e.g. Diebel, Representing Attitude (2006), eq. 125.
    """
    x, y, z, w = order
    rows = [
        [(x, x, 1), (y, y, -1), (z, z, -1), (w, w, 1)], [(x, y, 2), (w, z, -2)],
        [(x, z, 2), (w, y, 2)], [(x, y, 2), (w, z, 2)],
        [(y, y, 1), (x, x, -1), (z, z, -1), (w, w, 1)], [(y, z, 2), (w, x, -2)],
        [(x, z, 2), (w, y, -2)], [(y, z, 2), (w, x, 2)],
        [(z, z, 1), (x, x, -1), (y, y, -1), (w, w, 1)],
    ]  # fmt: skip
    found = np.zeros((16, 9))
    for column, terms in enumerate(rows):
        for first, second, factor in terms:
            found[4 * first + second, column] += factor
    return found


class _Graph:
    """Adds nodes to a graph, all of operators that have not changed since ONNX 1.6."""

    def __init__(self, graph: Any) -> None:
        self.graph, self.nodes = graph, list(graph.node)
        self.make = onnx_package().helper.make_node

    def node(self, kind: str, inputs: Sequence[str], output: str = '', **more: Any) -> str:
        """Add one; the name of its output."""
        output = output or f'motion.{len(self.nodes)}'
        self.nodes.append(self.make(kind, list(inputs), [output], **more))
        return output

    def value(self, values: Any, kind: Any = np.float32) -> str:
        """Add a constant; its name."""
        name = f'motion.{len(self.graph.initializer)}.value'
        constant(self.graph, name, np.asarray(values, kind))
        return name

    def shaped(self, name: str, *shape: int) -> str:
        """The same values in another shape."""
        return self.node('Reshape', [name, self.value(shape, np.int64)])

    def picked(self, name: str, indices: Any, axis: int = 1) -> str:
        """Some of the values."""
        return self.node('Gather', [name, self.value(indices, np.int64)], axis=axis)

    def times(self, first: str, second: str) -> str:
        """Product of two matrices."""
        return self.node('MatMul', [first, second])

    def matrix(self, quaternion: str, order: Sequence[int]) -> str:
        """(3, 3) of a quaternion (1, 4) of any length."""
        column, row = self.shaped(quaternion, 4, 1), self.shaped(quaternion, 1, 4)
        unit = self.node('Div', [self.times(column, row), self.times(row, column)])
        elements = self.times(self.shaped(unit, 1, 16), self.value(products(order)))
        return self.shaped(elements, 3, 3)

    def heading(self, matrix: str) -> str:
        """(1, 2) unit vector to where the first axis points, from above."""
        ahead = self.picked(self.shaped(matrix, 1, 9), [0, 3])
        square = self.times(ahead, self.shaped(ahead, 2, 1))
        return self.node('Div', [ahead, self.node('Sqrt', [square])])

    def turn(self, own: str, wanted: str) -> str:
        """(3, 3) about the vertical, from the motion's heading to the robot's, kept as a state."""
        pairs = self.times(self.shaped(self.heading(wanted), 2, 1), self.heading(own))
        # Cosine and sine of the angle between two headings, by the products of theirs.
        angle = self.value([[1, 0], [0, 1], [0, -1], [1, 0]])
        found = self.times(self.shaped(pairs, 1, 4), angle)
        known = self.times('heading_in', self.shaped('heading_in', 2, 1))
        begun = self.node('Greater', [known, self.value([[0.5]])])
        self.node('Where', [begun, 'heading_in', found], 'heading_out')
        about = self.value([[1, 0, 0, 0, 1, 0, 0, 0, 0], [0, -1, 0, 1, 0, 0, 0, 0, 0]])
        upright = self.value([[0, 0, 0, 0, 0, 0, 0, 0, 1]])
        return self.shaped(self.node('Add', [self.times('heading_out', about), upright]), 3, 3)


def insert_motion(model: Any, motion: Motion) -> None:
    """Let a model take what is sensed, and put the motion into its observation itself.

    Args:
        model: changed in place; takes ``observation`` (1, size) and :data:`STATES`.
        motion: what its metadata say.

    Raises:
        InputError: it takes something else than its metadata say.
    """
    onnx, g = onnx_package(), _Graph(model.graph)
    entries = {end.name: end for end in model.graph.input}
    _check_ends(entries, motion)
    step = entries['time_step']
    number = g.shaped('time_in', *(1 for _ in shape_of(step)))
    g.node('Cast', [number], 'time_step', to=step.type.tensor_type.elem_type)
    g.node('Add', ['time_in', g.value([[1.0]])], 'time_out')
    parts = motion.parts(lambda begin, end: g.picked('observation', np.arange(begin, end)))
    own = g.matrix(g.picked('observation', np.arange(4)), XYZW)
    wanted = g.matrix(g.picked('body_quat_w', motion.anchor), WXYZ)
    back = g.node('Transpose', [own], perm=[1, 0])
    relative = g.times(back, g.times(g.turn(own, wanted), wanted))
    parts[ORIENTATION] = g.shaped(g.picked(relative, [0, 1]), 1, -1)
    joints = [g.shaped(name, 1, -1) for name in ('joint_pos', 'joint_vel')]
    parts[COMMAND] = g.node('Concat', joints, axis=1)
    g.node('Concat', [parts[name] for name in motion.names], 'obs', axis=1)
    inputs = {'observation': [1, motion.size], **{before: shape for before, _, shape in STATES}}
    results = {after: shape for _, after, shape in STATES}
    del g.graph.input[:], g.graph.node[:]
    for ends, names in ((g.graph.input, inputs), (g.graph.output, results)):
        about = onnx.helper.make_tensor_value_info
        ends.extend(about(name, onnx.TensorProto.FLOAT, shape) for name, shape in names.items())
    keep_outputs(model, ['actions', *results])
    weights = {tensor.name for tensor in g.graph.initializer}
    g.graph.node.extend(in_order(g.nodes, weights | set(inputs)))


def _check_ends(entries: Mapping[str, Any], motion: Motion) -> None:
    """Whether the model takes the observation that its metadata list, and one number of a step."""
    kinds, faults = onnx_package().TensorProto.DataType, Faults(motion.file)
    for name, allowed in {'obs': ['FLOAT'], 'time_step': ['FLOAT', 'INT64']}.items():
        number = entries[name].type.tensor_type.elem_type
        kind = next((known for known, other in kinds.items() if other == number), number)
        if kind not in allowed:
            faults.add(f'model.input[{name}]', kind, f'must be of type {" or ".join(allowed)}')
    obs, step = shape_of(entries['obs']), shape_of(entries['time_step'])
    if len(obs) != 2 or obs[0] not in (None, 1) or obs[1] not in (None, motion.seen):
        mend = f'must be (1, {motion.seen}), as observation_names say: {", ".join(motion.names)}'
        faults.add('model.input[obs]', obs, mend)
    if any(size not in (None, 1) for size in step):
        faults.add('model.input[time_step]', step, 'must be one number')
    faults.check()


class MotionReference:
    """A model as it is, beside a motion that is put into its observation as in training.

    Args:
        model: the original file.
        motion: what its metadata say.
        file: for faults.
    """

    def __init__(self, model: bytes, motion: Motion, file: str) -> None:
        self._session, self._motion = open_session(model, file), motion
        self.reset()

    def reset(self) -> None:
        """To the beginning of the motion; the robot's heading is seen anew."""
        self._step = 0
        self._turn: Array | None = None

    def infer(self, observation: Array32, others: Mapping[str, Array32]) -> npt.NDArray[Any]:
        """Action (1, nj) for what is sensed (1, size)."""
        step = next(end for end in self._session.get_inputs() if end.name == 'time_step')
        feed: dict[str, Any] = {'obs': np.zeros((1, self._motion.seen), np.float32)}
        kind = np.int64 if step.type == 'tensor(int64)' else np.float32
        feed['time_step'] = np.full((1,) * len(step.shape), self._step, kind)
        names = ['joint_pos', 'joint_vel', 'body_quat_w']
        position, velocity, bodies = self._session.run(names, feed)
        own = rotation(observation[0, :4])
        wanted = rotation(np.roll(bodies[0, self._motion.anchor], -1))
        if self._turn is None:
            angle = np.arctan2(own[1, 0], own[0, 0]) - np.arctan2(wanted[1, 0], wanted[0, 0])
            cosine, sine = np.cos(angle), np.sin(angle)
            self._turn = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
        parts = self._motion.parts(lambda begin, end: observation[0, begin:end])
        parts[ORIENTATION] = (own.T @ self._turn @ wanted)[:, :2].ravel()
        parts[COMMAND] = np.concatenate([position.ravel(), velocity.ravel()])
        whole = np.concatenate([parts[name] for name in self._motion.names])
        feed['obs'] = whole.astype(np.float32)[None]
        self._step += 1
        return np.asarray(self._session.run(['actions'], feed)[0])


def rotation(quaternion: npt.NDArray[Any]) -> Array:
    """Matrix (3, 3) of a quaternion (x, y, z, w) of any length."""
    x, y, z, w = np.asarray(quaternion, np.float64) / np.linalg.norm(quaternion)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + 2 * w * cross + 2 * cross @ cross)
