"""Rollouts of the embedded simulator along recordings: many parameter vectors at once.

A recording is cut into windows; each is simulated from its own initial state under every
parameter vector, all in one batch: P vectors and W windows are P * W simulations in step. Windows
that follow one another form a chain: one begins where the other ends.
Driven by efforts, the measured ones act on the joints; driven by commands, the drives make the
effort, as the robot's own do, and what they remember of earlier commands is given to them first.

Example: 48 s of six joints at 250 Hz in windows of 1 s, 51 parameter vectors: 2448 simulations of
1000 physics steps, positions (51, 48, 250, 6).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sim2real_core.addresses import quantity
from sim2real_core.nominal import nominal
from sim2real_core.profile import RobotProfile
from sim2real_core.profile_sections import Command
from sim2real_sysid.batch.data import Recording, Segment
from sim2real_sysid.batch.signals import smooth

if TYPE_CHECKING:
    from sim2real_sim.mujoco_simulator import MujocoSimulator

Array = npt.NDArray[np.float64]

LIGHTEST = 0.01  # share of its nominal mass that a body is left in a simulation
ENDLESS = 1e6  # effort limit where the effort is given and need not be limited
EDGE_SAMPLES = 20
REMEMBERED = 0.5  # [s] of earlier commands that a drive is told at the begin of a window
MOST = 8_000_000  # numbers that one batch is driven by; memory is what limits it


@dataclass(frozen=True)
class Windows:
    """W windows of n samples.

    Attributes:
        period: time between samples [s].
        position: (W, n, nj) measured.
        effort: (W, n, nj) measured, NaN where it was not.
        start: (2, W, nj) initial positions and velocities.
        counts: (W, n) whether the sample was measured; windows at the end of a segment are short.
        begin: (W,) time of the first sample [s].
        segments: (W,) from which the window is.
        chains: places of the windows that follow one another.
    """

    period: float
    position: Array
    effort: Array
    start: Array
    counts: npt.NDArray[np.bool_]
    begin: Array
    segments: tuple[Segment, ...]
    chains: tuple[tuple[int, ...], ...]

    def __len__(self) -> int:
        return len(self.position)


def cut(
    recordings: Sequence[Recording],
    chain: float = 0.0,
    window: float = 0.0,
    bandwidth: float = 0.0,
) -> Windows:
    """Windows of recordings.

    Args:
        recordings: at least one segment in all.
        chain: time after which the measured state is begun with anew [s]; 0 takes each segment
            whole. What is left at the end of a segment counts if it is half as long.
        window: longest window of a chain [s]; 0 makes one window of it.
        bandwidth: of the filter that gives the initial states [Hz]; see
            :func:`sim2real_sysid.batch.signals.smooth`.
    """
    segments = [segment for recording in recordings for segment in recording.segments]
    period = segments[0].period
    longest = max(map(len, segments))
    whole = min(longest, round(chain / period)) if chain else longest
    n = min(whole, max(2, round(window / period))) if window else whole
    parts: list[tuple[Segment, int, int]] = []
    chains: list[tuple[int, ...]] = []
    for segment in segments:
        for first in range(0, len(segment), whole):
            last = min(first + whole, len(segment))
            if last - first < 0.5 * whole and first > 0:
                continue
            places = range(len(parts), len(parts) + -(-(last - first) // n))
            parts += [(segment, k, min(k + n, last)) for k in range(first, last, n)]
            chains.append(tuple(places))
    shape = (len(parts), n, segments[0].position.shape[1])
    position, effort, start = np.zeros(shape), np.zeros(shape), np.zeros((2, *shape[::2]))
    counts = np.zeros(shape[:2], dtype=bool)
    smoothed = {id(segment): smooth(segment, bandwidth)[:2] for segment in segments}
    for w, (segment, first, last) in enumerate(parts):
        size = last - first
        for target, source in ((position, segment.position), (effort, segment.effort)):
            target[w, :size] = source[first:last]
            target[w, size:] = source[last - 1]
        start[:, w] = [values[first] for values in smoothed[id(segment)]]
        if first == 0:
            start[:, w] = _edge(segment)
        counts[w, :size] = True
    begin = np.array([segment.start + first * period for segment, first, _ in parts])
    owners = tuple(segment for segment, _, _ in parts)
    return Windows(period, position, effort, start, counts, begin, owners, tuple(chains))


def _edge(segment: Segment) -> Array:
    """State (2, nj) at the begin of a segment: a parabola, where a filter would see one side."""
    n = min(len(segment), EDGE_SAMPLES)
    powers = (segment.period * np.arange(n))[:, None] ** np.arange(3)
    return np.asarray(np.linalg.lstsq(powers, segment.position[:n], rcond=None)[0][:2])


class Rollouts:
    """Simulates windows under parameter vectors.

    Args:
        profile: the robot.
        windows: of its recordings.
        addresses: of the parameters (p,).
        commanded: driven by the recorded commands instead of the measured efforts.
        threads: 0 for all processors.

    Raises:
        InputError: driven by commands, and there are none.
    """

    def __init__(
        self,
        profile: RobotProfile,
        windows: Windows,
        addresses: Sequence[str],
        *,
        commanded: bool = False,
        threads: int = 0,
    ) -> None:
        self.profile, self.windows = profile, windows
        self.addresses = tuple(addresses)
        self.commanded = commanded
        self._threads = threads
        self._simulated = _without_noise(profile, commanded)
        self._simulator: MujocoSimulator | None = None
        self.steps = max(1, round(windows.period / profile.rates.timestep))
        self._bounds = [_bounds(address, profile) for address in self.addresses]
        self._inputs = self._commands() if commanded else self._efforts()

    def _efforts(self) -> Array:
        """(n * steps, W, nj) efforts, straight lines between samples."""
        effort = np.nan_to_num(self.windows.effort)
        following = np.concatenate([effort[:, 1:], effort[:, -1:]], axis=1)
        share = np.arange(self.steps)[:, None] / self.steps
        fine = effort[:, :, None] + (following - effort)[:, :, None] * share
        return np.moveaxis(fine.reshape(len(effort), -1, effort.shape[2]), 1, 0)

    def _commands(self) -> Array:
        """(remembered + n * steps, W, nj) commands in force at each physics step."""
        windows, step = self.windows, self.windows.period / self.steps
        before = round(REMEMBERED / step)
        ticks = np.arange(-before, windows.position.shape[1] * self.steps) * step
        rows = []
        for begin, segment in zip(windows.begin, windows.segments):
            # A command counts from the step that begins with it, as it does in a simulation.
            at = np.searchsorted(segment.command_stamp, begin + ticks + 1e-6 * step, 'right') - 1
            rows.append(segment.command[np.maximum(at, 0)])
        return np.moveaxis(np.array(rows), 1, 0)

    def __call__(self, vectors: Array, start: Array | None = None) -> tuple[Array, Array]:
        """Simulate.

        Args:
            vectors: (P, p) parameters; what an address does not admit is clipped.
            start: (P, 2, W, nj) initial states; the measured ones when None.

        Returns:
            Positions and velocities (P, 2, n + 1, W, nj), the last one a sample after the window;
            efforts (P, W, n, nj), zero where they are given.
        """
        vectors = np.atleast_2d(vectors)
        size = max(1, MOST // (self._inputs.size + 1))
        parts = []
        for first in range(0, len(vectors), size):
            some = slice(first, first + size)
            parts.append(self._run(vectors[some], None if start is None else start[some]))
        states, efforts = (np.concatenate(part) for part in zip(*parts))
        return states, efforts

    def _run(self, vectors: Array, start: Array | None) -> tuple[Array, Array]:
        windows = self.windows
        (n_windows, n, nj), count = windows.position.shape, len(vectors)
        simulator = self._ready(count * n_windows)
        simulator.apply(self._values(vectors))
        if start is None:
            start = np.broadcast_to(windows.start, (count, *windows.start.shape))
        first = start.transpose(1, 0, 2, 3).reshape(2, count * n_windows, nj)
        simulator.reset(position=first[0], velocity=first[1])
        inputs = self._driving(vectors)
        if self.commanded:
            position, velocity, effort = self._follow(simulator, inputs)
        else:
            position, velocity = (
                np.concatenate([begin[None], states[self.steps - 1 :: self.steps]])
                for begin, states in zip(first, simulator.rollout(inputs))
            )
            effort = np.zeros_like(position)
        states = np.array([position, velocity]).reshape(2, n + 1, count, n_windows, nj)
        effort = effort.reshape(n + 1, count, n_windows, nj)
        return np.moveaxis(states, 2, 0), np.moveaxis(effort[:-1], 0, 2)

    def _driving(self, vectors: Array) -> Array:
        """(..., P * W, nj) commands, or the efforts at the time they acted."""
        late = [f'sensor.{joint}_effort.delay' for joint in self.profile.joint_names]
        inputs = np.tile(self._inputs, (1, len(vectors), 1))
        if self.commanded or late[0] not in self.addresses:
            return inputs
        steps = vectors[:, [self.addresses.index(name) for name in late]]
        steps = steps / (self.windows.period / self.steps)
        tick, last = np.arange(len(inputs)), len(inputs) - 1
        parts = inputs.reshape(len(inputs), len(vectors), len(self.windows), -1)
        for (k, j), step in np.ndenumerate(steps):
            before = math.floor(step)
            first, second = (np.clip(tick + before + n, 0, last) for n in (0, 1))
            signal = self._inputs[:, :, j]
            parts[:, k, :, j] = signal[first] + (step - before) * (signal[second] - signal[first])
        return inputs

    def _follow(self, simulator: MujocoSimulator, commands: Array) -> tuple[Array, Array, Array]:
        """Position as measured, velocity, and effort (n + 1, nsim, nj), driven by commands."""
        n = self.windows.position.shape[1]
        before = len(commands) - n * self.steps
        simulator.prime(commands[:before])
        out = np.empty((3, n + 1, *commands.shape[1:]))
        for k in range(n + 1):
            reading = simulator.read()
            out[:, k] = reading.position, simulator.state()[1], reading.effort
            for command in commands[before + k * self.steps :][: self.steps]:
                simulator.command(command)
                simulator.step()
        return out[0], out[1], out[2]

    def _ready(self, nsim: int) -> MujocoSimulator:
        if self._simulator is None or self._simulator.nsim != nsim:
            from sim2real_sim.mujoco_simulator import MujocoSimulator

            self._simulator = MujocoSimulator(
                self._simulated,
                nsim,
                self._threads,
                timestep=self.windows.period / self.steps,
                contacts=False,
            )
        return self._simulator

    def _values(self, vectors: Array) -> dict[str, Array]:
        """Values of each address for every simulation, within what it admits."""
        spread = np.repeat(vectors, len(self.windows), axis=0)
        values = {
            address: np.clip(column, *bounds)
            for address, column, bounds in zip(self.addresses, spread.T, self._bounds)
            if not address.startswith('sensor.')  # in the efforts, see _driving
        }
        for joint in self.profile.joint_names:  # a Stribeck velocity of 0 means no effect
            if f'joint.{joint}.stribeck_velocity' not in values:
                continue
            none = spread[:, self.addresses.index(f'joint.{joint}.stribeck_velocity')] <= 0
            friction = [v for a, v in values.items() if f'joint.{joint}.coulomb_friction' in a]
            static = f'joint.{joint}.static_friction'
            values[static] = np.where(none, np.mean(friction, axis=0), values[static])
        for joint in () if self.commanded else self.profile.joint_names:
            values[f'actuator.{joint}.saturation'] = np.array(ENDLESS)
        return values


def _bounds(address: str, profile: RobotProfile) -> tuple[float, float]:
    """What an address admits, and a simulation: a body that moves has a mass."""
    limits = quantity(address, profile)
    least = LIGHTEST * nominal(profile, address) if address.endswith('.mass') else -math.inf
    return max(limits.low, least), limits.high


def _without_noise(profile: RobotProfile, commanded: bool) -> RobotProfile:
    """The robot with perfect sensors; driven by efforts where commands do not drive it."""
    joints = tuple(
        replace(joint, position_noise=0.0, velocity_noise=0.0, effort_noise=0.0)
        for joint in profile.joints
    )
    profile = replace(profile, joints=joints)
    return profile if commanded else replace(profile, command=Command(interface='effort'))


def drivable(profile: RobotProfile, recordings: Sequence[Recording]) -> bool:
    """Whether the recorded commands can drive a simulation of the robot."""
    if not all(recording.commanded for recording in recordings):
        return False
    gains = {'position': 'stiffness', 'velocity': 'damping'}.get(profile.command.interface)
    return gains is None or bool((profile.array(gains) > 0).all())
