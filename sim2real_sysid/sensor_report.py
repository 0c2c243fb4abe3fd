"""All sensors of a robot together: rest, every sensor's figures, delays, stamps; and a plot."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sim2real_core.profile import RobotProfile
from sim2real_core.records import ParameterEstimate
from sim2real_sysid.sensor_timing import delay, motion_jitter, smooth
from sim2real_sysid.sensors import UNITS, Assessment, Channel, assess, find_rest

Array = npt.NDArray[np.float64]

MOST_STATES = 4000  # of which inverse dynamics is computed
LEAST_DELAY_STD = 0.2  # of the period
DELAY_STD = 0.005  # [s]: a delay is identified up to this uncertainty
OTHER_CLOCK = 1.0  # [s]: log times further from the stamps are of another clock


def assess_all(
    profile: RobotProfile,
    channels: Sequence[Channel],
    stamp: Array,
    position: Array,
    tell: Callable[[float], None] = lambda share: None,
) -> tuple[dict[str, Assessment], list[slice]]:
    """Assess every sensor of a robot.

    Args:
        profile: the robot.
        channels: its sensors' readings.
        stamp: (n,) of the joint states [s], increasing.
        position: (n, nj).
        tell: called with the share that is done.

    Returns:
        By sensor, and the rows of the joint states at rest.
    """
    rest = find_rest(stamp, position, profile.array('velocity'))
    terms = _Terms(profile, stamp, position)
    found = {}
    for k, channel in enumerate(channels):
        tell(k / len(channels))
        assessment = assess(channel, _rows(channel, stamp, rest))
        jitter = _jitter(channel, assessment.parameters)
        found[channel.name] = replace(
            assessment, parameters={**assessment.parameters, 'jitter': jitter}
        )
    for channel in channels:
        late = terms.delay(channel)
        if late is not None:
            found[channel.name].parameters['delay'] = _delay(channel, late, found, terms.period)
    return found, rest


def _age(found: Mapping[str, Assessment], name: str, period: float) -> float:
    """Mean age [s] that a sensor's values have beyond its delay: by jitter, holds and losses."""
    if name not in found:
        return 0.0
    parameters = found[name].parameters
    jitter, hold, lost = (parameters[what].mean for what in ('jitter', 'period', 'dropout'))
    return 0.5 * (jitter + hold) + max(hold, period) * lost / (1.0 - min(lost, 0.9))


def _delay(
    channel: Channel, late: tuple[float, float], found: Mapping[str, Assessment], period: float
) -> ParameterEstimate:
    """The delay of a sensor behind positions that are not late themselves.

    Simulated and computed speeds are half a step off, drivers differentiate; so nothing is known
    better than to a part of the sample period.
    """
    name, _, what = channel.name.rpartition('_')
    age = _age(found, channel.name, period)
    reference = _age(found, f'{name}_position', period)
    mean = late[0] - age + reference
    std = math.hypot(late[1], LEAST_DELAY_STD * period, 0.1 * (age + reference))
    if what == 'effort':  # its model is not as good
        std *= 2.0
    return _estimate(mean, std, std <= DELAY_STD)


def _estimate(mean: float, std: float, good: bool) -> ParameterEstimate:
    status = 'identified' if good and math.isfinite(std) else 'not_identified'
    return ParameterEstimate(mean, std, status, 's')


def _rows(channel: Channel, stamp: Array, rest: Sequence[slice]) -> list[slice]:
    """Rows of a channel in the rests that the joint states show."""
    if channel.stamp is stamp:
        return list(rest)
    spans = [(stamp[rows.start], stamp[rows.stop - 1]) for rows in rest]
    edges = [np.searchsorted(channel.stamp, span) for span in spans]
    return [slice(int(first), int(last)) for first, last in edges if last - first > 1]


def _jitter(channel: Channel, parameters: Mapping[str, ParameterEstimate]) -> ParameterEstimate:
    """Of positions alone, which inertia keeps smooth: commands come in steps, efforts with them.

    Not where readings repeat: repeats in motion are errors that grow with speed, too.
    """
    noise, step = parameters['noise'], parameters['quantization']
    repeats = parameters['dropout'].mean > 0.01 or parameters['period'].mean > 0.0
    if noise.status != 'identified' or repeats or not channel.name.endswith('_position'):
        return _estimate(0.0, math.inf, False)
    floor = noise.mean**2 + step.mean**2 / 12.0
    width, std = motion_jitter(channel.stamp, channel.values, floor)
    good = std <= max(0.3 * width, 0.1 * float(np.median(np.diff(channel.stamp))))
    return _estimate(width, std, good)


class _Terms:
    """What signals must be made of, from the positions: the references for their delays."""

    def __init__(self, profile: RobotProfile, stamp: Array, position: Array) -> None:
        self._profile = profile
        self._stamp = stamp
        self.period = float(np.median(np.diff(stamp)))
        even = len(stamp) > 100 and float(np.diff(stamp).max()) < 10.0 * self.period
        self._even = even
        if not even:
            return
        n = int((stamp[-1] - stamp[0]) / self.period)
        self._time = stamp[0] + self.period * np.arange(n)
        self._q, self._v, self._a = (
            smooth(self._on_grid(stamp, position), order, self.period) for order in range(3)
        )
        self._cache: dict[str, Array] = {}

    def _on_grid(self, stamp: Array, values: Array) -> Array:
        return np.stack([np.interp(self._time, stamp, column) for column in values.T], axis=1)

    def delay(self, channel: Channel) -> tuple[float, float] | None:
        """Delay [s] of a sensor behind the positions; None where it has no reference."""
        name, _, what = channel.name.rpartition('_')
        if not self._even or what in ('position', 'accelerometer'):
            return None
        if not self._moves(name):
            return 0.0, math.inf
        values = smooth(self._on_grid(channel.stamp, channel.values), 0, self.period)
        if what == 'gyro':
            # Both as speeds, so that the frame of the sensor does not matter.
            return delay(self._time, np.linalg.norm(values, axis=1), self._turning()[:, None])
        j = self._profile.joint_names.index(name)
        if what == 'velocity':
            return delay(self._time, values[:, 0], self._v[:, [j]])
        every = max(1, len(self._time) // MOST_STATES)
        v = self._v[:, j]
        slow = 0.02 * np.abs(v).max()
        terms = np.column_stack([self._bodies(every)[:, j], self._a[:, j], v, np.tanh(v / slow)])
        return delay(self._time, values[:, 0], terms)

    def _moves(self, name: str) -> bool:
        limit = self._profile.array('velocity')
        speed = np.abs(self._v).max(axis=0) > 0.02 * limit
        names = self._profile.joint_names
        return bool(speed[names.index(name)] if name in names else speed.any())

    def _bodies(self, every: int) -> Array:
        """Efforts (n, nj) that the rigid bodies take."""
        if 'bodies' not in self._cache:
            from sim2real_sysid.dynamics import RigidBody

            body = RigidBody(self._profile)
            some = slice(None, None, every)
            states = zip(self._q[some], self._v[some], self._a[some])
            coarse = np.array([body.efforts(*state)[0] for state in states])
            self._cache['bodies'] = self._between(coarse, every)
        return self._cache['bodies']

    def _turning(self) -> Array:
        """Angular speed (n,) of the link that carries the IMU."""
        if 'turning' not in self._cache:
            import pinocchio

            from sim2real_core.kinematics import Coordinates, build_model, link_frame

            model = build_model(self._profile)
            data, coordinates = model.createData(), Coordinates(model, self._profile)
            frame = link_frame(model, self._profile.imu_link)
            every = max(1, len(self._time) // MOST_STATES)
            speeds = []
            for q, v in zip(self._q[::every], self._v[::every]):
                configuration = coordinates.configuration(q)
                pinocchio.forwardKinematics(model, data, configuration, coordinates.map @ v)
                speeds.append(
                    np.linalg.norm(pinocchio.getFrameVelocity(model, data, frame).angular)
                )
            self._cache['turning'] = self._between(np.array(speeds)[:, None], every)[:, 0]
        return self._cache['turning']

    def _between(self, coarse: Array, every: int) -> Array:
        from scipy.interpolate import CubicSpline

        return np.asarray(CubicSpline(self._time[::every], coarse)(self._time))


def stamp_figures(stamp: Array, log: Array) -> dict[str, float | None]:
    """How messages of a topic arrived.

    Args:
        stamp: (n,) header stamps [s], in the order of the log.
        log: (n,) times of the log [s].
    """
    steps = np.diff(stamp)
    steps = steps[steps > 0]
    if not len(steps):
        return {'messages': float(len(stamp))}
    period = float(np.median(steps))
    near = steps[steps < 1.5 * period]
    period = float(np.median(near))
    late = log - stamp
    same = abs(float(np.median(late))) < OTHER_CLOCK
    return {
        'messages': float(len(stamp)),
        'rate': 1.0 / period,
        'stamp_jitter': 1.4826 * float(np.median(np.abs(near - period))),
        'dropped': max(0.0, 1.0 - period * len(steps) / float(steps.sum())),
        'latency': float(np.median(late)) if same else None,
        'latency_std': float(np.std(late)) if same else None,
    }


def as_json(
    found: Mapping[str, Assessment],
    rest: Sequence[slice],
    stamp: Array,
    arrivals: Mapping[str, tuple[Array, Array]],
) -> dict[str, Any]:
    """For files: parameters by address, rests, topics, Allan curves."""
    parameters = {}
    for name, assessment in found.items():
        for what, p in assessment.parameters.items():
            std = p.std if math.isfinite(p.std) else None
            parameters[f'sensor.{name}.{what}'] = {
                'mean': p.mean, 'std': std, 'status': p.status,
                'unit': UNITS.get(what, p.unit),
            }  # fmt: skip
    return {
        'parameters': parameters,
        'rest': [[float(stamp[rows.start]), float(stamp[rows.stop - 1])] for rows in rest],
        'delay_reference': 'positions',
        'topics': {name: stamp_figures(*times) for name, times in arrivals.items()},
        'allan': {
            name: {
                'tau': a.curve.tau.tolist(),
                'deviation': a.curve.deviation.tolist(),
                'std': a.curve.std.tolist(),
                **a.figures,
            }
            for name, a in found.items()
        },
    }


def plot(found: Mapping[str, Assessment], path: str | Path) -> None:
    """Allan deviations at rest, one panel per unit."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = {name: a for name, a in found.items() if len(a.curve.tau)}
    units = list(dict.fromkeys(a.parameters['noise'].unit for a in shown.values())) or ['']
    figure = Figure(figsize=(8, 3 * len(units)), layout='constrained')
    FigureCanvasAgg(figure)
    for axes, unit in zip(
        np.atleast_1d(figure.subplots(len(units), 1, squeeze=False)[:, 0]), units
    ):
        for name, a in shown.items():
            if a.parameters['noise'].unit == unit:
                axes.loglog(a.curve.tau, a.curve.deviation, label=name)
        axes.set_xlabel('averaging time [s]')
        axes.set_ylabel(f'Allan deviation [{unit}]')
        axes.grid(alpha=0.3, which='both')
        if shown:
            axes.legend(fontsize='small')
    figure.savefig(str(path), dpi=120)
