"""What runs at every step, compiled: one pass over memory, and every formula written once.

A ``part`` is a formula, for one channel or for the lanes of a block; a ``kernel`` goes over all
of them. What takes time is memory: the drives of all joints of all simulations lie in blocks of
:data:`LANES`, and a block is worked on from measurement to effort while it is in the processor's
cache; within it, the loops are simple enough for vector instructions.

Everything that is compiled is in this one file: numba compiles anew what it keeps of a kernel
when the kernel's own file changes, not when another one does.
"""

from __future__ import annotations

import functools
import math
import sys
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np
import numpy.typing as npt
from numba.core import event

from sim2real_core.nominal import ACTUATOR

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]
Keys = npt.NDArray[np.uint64]
Records = npt.NDArray[np.void]
Compiled = TypeVar('Compiled', bound=Callable[..., Any])

SLIDING = 700.0
"""From this exponent on stiction is gone to the last bit, and exp() is slow."""
ON_TIME = 1e-9
"""Seconds; a sample is due at its instant although clocks are sums of steps."""

COMPILING = 'compiling the steps of drives and sensors: some 20 s, once after a build'
UNKEPT = (
    'compiled code cannot be kept, so that every start takes half a minute longer: '
    'let NUMBA_CACHE_DIR name a folder that can be written and has room'
)
PARAMETERS = (*ACTUATOR, 'position_offset', 'saturation')
SETTINGS = np.dtype([(name, float) for name in PARAMETERS])
"""The parameters of a drive."""

LANES = 64
"""Drives of a block; (blocks, FIELDS, LANES) is how they lie in memory."""
(
    H,  # length of a step
    LATE, DECAY, LAGGED, XX, XV, VX, VV, SWUNG, RATE,  # what a command goes through
    PULL, DRAG, DEAD_ZONE, RIPPLE, PERIODS, WEAR, WORK,  # from there to an effort
    BRAKED, STAND, STIFF, DAMP,  # brakes
    SATURATION, SLOWER, COMPLIANCE, SETTLING, STRETCHING, REST,  # from there to the joint
    BACKLASH, PLAY, OFFSET, CONSTANT,  # and back to what is measured
) = range(31)  # fmt: skip
FIELDS = 31
"""Of a drive: what :func:`prepare` makes of its parameters, and its state."""

CHANNEL = np.dtype(
    [(name, float) for name in (
        'noise', 'bias', 'drift', 'correlation_time', 'scale', 'delay', 'jitter', 'period',
        'saturation', 'quantization', 'dropout',
        'reading', 'sampled', 'wandered', 'since',
    )]
)  # fmt: skip
"""A channel of a sensor: its parameters, what was read last, the instant of that sample, its
drift and since when."""


F1, F2, F3 = numba.float64[::1], numba.float64[:, ::1], numba.float64[:, :, ::1]
ANY2, ANY3 = (  # however it lies in memory, and only read
    numba.types.Array(numba.float64, ndim, 'A', readonly=True) for ndim in (2, 3)
)
N, B, N1, U1 = numba.int64, numba.boolean, numba.int64[::1], numba.uint64[::1]


@functools.cache
def _say_compiling() -> None:
    print(COMPILING, file=sys.stderr, flush=True)  # a node has no logger yet when it imports


class _Compiling(event.Listener):
    """Says, once in a process, that something is compiled that was not kept."""

    def on_start(self, _: Any) -> None:
        _say_compiling()

    def on_end(self, _: Any) -> None:
        """Nobody needs to know."""


def kernel(*arguments: Any) -> Callable[[Compiled], Compiled]:
    """A function that is compiled for these arguments when this module is imported.

    Once: it is kept beside its file, or in the user's cache where that folder cannot be written
    (an installation of the system's). Where there is no place at all, or no room, it is compiled
    by every process, which is said once, as is that something is compiled at all.
    """

    def compiled(function: Any) -> Any:
        with event.install_listener('numba:compile', _Compiling()):
            try:
                return numba.njit([arguments], cache=True, error_model='numpy')(function)
            except (RuntimeError, OSError):  # numba's own, and that of a full disk
                warnings.warn(UNKEPT, RuntimeWarning, stacklevel=1)
                return numba.njit([arguments], error_model='numpy')(function)

    return compiled


part = numba.njit(error_model='numpy')


# Numbers


@part
def mixed(z: Any) -> Any:
    """The output function of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014)."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@part
def number(key: Any, n: Any) -> Any:
    """Number ``n`` of the stream that begins at ``key``: 64 random bits."""
    return mixed(key + (np.uint64(n) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15))


@part
def uniform(key: Any, n: Any) -> Any:
    """Number ``n`` of a stream, uniform in (0, 1)."""
    return (float(number(key, n) >> np.uint64(12)) + 0.5) * 2.0**-52


@part
def normal(key: Any, n: Any) -> Any:
    """Number ``n`` of a stream, standard normal.

    The inverse of the normal distribution function to seven digits: AS 241, PPND7 (Wichura,
    Applied Statistics 37, 1988).
    """
    p = uniform(key, n)
    q = p - 0.5
    if abs(q) <= 0.425:
        r = 0.180625 - q * q
        above = ((59.109374720 * r + 159.29113202) * r + 50.434271938) * r + 3.3871327179
        return q * above / (((67.187563600 * r + 78.757757664) * r + 17.895169469) * r + 1.0)
    r = math.sqrt(-math.log(min(p, 1.0 - p)))
    if r <= 5.0:
        r -= 1.6
        above = ((0.17023821103 * r + 1.3067284816) * r + 2.7568153900) * r + 1.4234372777
        z = above / ((0.12021132975 * r + 0.73700164250) * r + 1.0)
    else:
        r -= 5.0
        above = ((0.017337203997 * r + 0.42868294337) * r + 3.0812263860) * r + 6.6579051150
        z = above / ((0.012258202635 * r + 0.24197894225) * r + 1.0)
    return z if q > 0.0 else -z


@kernel(N1, U1, N, U1)
def keyed(rows: Rows, seeds: Keys, tag: int, keys: Keys) -> None:
    """Where the streams of some simulations begin, from seed, simulation and tag."""
    for k, i in enumerate(rows):
        keys[i] = number(number(mixed(seeds[k]), i), tag)


# Signals


@part
def clip(value: float, lower: float, upper: float) -> float:
    """A value within limits; what is missing (nan) stays missing."""
    value = lower if value < lower else value
    return upper if value > upper else value


@part
def dead_zone(value: float, width: float) -> float:
    """What is left of a value beyond +- ``width``; all of it where the width is 0."""
    return value - clip(value, -width, width)


@part
def play(output: float, position: float, backlash: float) -> float:
    """Play (backlash) operator: the output follows once the gap is used up.

    Args:
        output: its output so far.
        position: its input now.
        backlash: width of the gap, in the unit of the position.

    Returns:
        The output now, within half a gap of the input.
    """
    return clip(output, position - 0.5 * backlash, position + 0.5 * backlash)


@part
def ago(history: Array, head: int, e: int, steps: float) -> float:
    """What a signal was so many steps ago, between two samples on the line through both.

    Args:
        history: (depth, n) ring of samples.
        head: where the newest is; older ones follow.
        e: which signal.
        steps: at least 0; no more than the ring has.
    """
    depth = len(history)
    if not steps < depth - 1:
        steps = depth - 1.0
    whole = int(steps)
    fraction = steps - whole
    place = head + whole
    place -= depth if place >= depth else 0
    before = place + 1
    before -= depth if before >= depth else 0
    late, later = history[place, e], history[before, e]
    # At a sample its neighbour does not count, be it missing.
    return late + fraction * (later - late) if fraction > 0.0 else late


@part
def remaining(elapsed: float, correlation: float) -> float:
    """What a Gauss-Markov process keeps of its value.

    All of it after no time; nothing after an infinite one, or where it is white (correlation
    time 0).
    """
    return math.exp(-elapsed / correlation) if elapsed > 0.0 else 1.0


@part
def gauss_markov(before: float, kept: float, fresh: float) -> float:
    """First-order Gauss-Markov (Ornstein-Uhlenbeck) process of unit variance.

    ``x(t + h) = x(t) exp(-h / T) + sqrt(1 - exp(-2 h / T)) n``, exact for any interval h
    (Gillespie, Phys. Rev. E 54, 1996).

    Args:
        before: its value.
        kept: what is :func:`remaining` of it.
        fresh: a normal number.
    """
    return kept * before + math.sqrt(1.0 - kept * kept) * fresh


# Drives


@part
def transition(w: float, z: float, h: float) -> tuple[float, float, float, float]:
    """The matrix exponential of ``x'' = -w^2 x - 2 z w x'`` over a step h.

    With c = cos and s = sin of ``w sqrt(1 - z^2) h``, the latter over ``w sqrt(1 - z^2)``, both
    times ``exp(-z w h)``; hyperbolic for z > 1, a series close to z = 1 (e.g. Franklin, Powell,
    Workman, Digital Control of Dynamic Systems, 1998, 4.3).
    """
    root = math.sqrt(abs(z * z - 1.0))
    angle = root * w * h
    if angle < 1e-4:
        square = (w * h) ** 2 * (z * z - 1.0)
        shrunk = math.exp(-z * w * h)
        c, s = shrunk * (1.0 + square / 2.0), shrunk * h * (1.0 + square / 6.0)
    elif z < 1.0:
        shrunk = math.exp(-z * w * h)
        c, s = shrunk * math.cos(angle), shrunk * math.sin(angle) / (w * root)
    else:
        slow, fast = math.exp(-w * h / (z + root)), math.exp(-w * h * (z + root))
        c, s = 0.5 * (slow + fast), 0.5 * (slow - fast) / (w * root)
    return c + z * w * s, s, -w * w * s, c - z * w * s


@part
def soften(d: Array, k: int, by_position: bool) -> None:
    """Take over the gains of the loop behind a shaft; see :func:`turn_shafts`."""
    compliance, h, stiffness, damping = d[COMPLIANCE, k], d[H, k], d[STIFF, k], d[DAMP, k]
    if not d[BRAKED, k]:
        stiffness, damping = d[PULL, k] if by_position else 0.0, d[DRAG, k]
    share = 1.0 / (1.0 + compliance * stiffness)
    settling = share * -math.expm1(-h / (compliance * share * damping))
    d[SETTLING, k] = settling
    d[STRETCHING, k] = settling * share * damping / h + share * stiffness


@kernel(numba.from_dtype(SETTINGS)[:, ::1], F2, F2, F1, B, F1, F2, F2, F2, F3, F2)
def prepare(
    settings: Records,
    gains: Array,
    brakes: Array,
    turn: Array,
    by_position: bool,
    length: Array,
    command: Array,
    position: Array,
    applied: Array,
    drives: Array,
    seen: Array,
) -> tuple[float, bool, bool, bool, bool, bool]:
    """Take over changed parameters.

    Args:
        settings: (nsim, nj) the parameters.
        gains: (2, nj) effort per unit of the command, and per unit of velocity against it.
        brakes: (2, nj) stiffness and damping of the brakes.
        turn: (nj,) of which ripple has so many periods.
        by_position: whether the command is a position.
        length: (nsim,) of a step [s].
        command: (nsim, nj) at which a lag that appears begins.
        position: (nsim, nj) of the joints, at which play that appears is in its middle.
        applied: (nsim, nj) effort on the joints.
        drives: (blocks, FIELDS, LANES), written.
        seen: (nsim, nj) what the encoders read, written.

    Returns:
        Longest delay in steps, and whether any drive lags in first order, in second order,
        fades, has play or a flexible shaft, has a flexible shaft.
    """
    latest, lags, swings, fades, loose, soft = 0.0, False, False, False, False, False
    nsim, nj = settings.shape
    for i in range(nsim):
        for j in range(nj):
            p, h = settings[i, j], length[i]
            d, k = drives[(i * nj + j) // LANES], (i * nj + j) % LANES
            d[H, k] = h
            d[LATE, k] = p.delay / h
            latest = max(latest, d[LATE, k])
            if d[DECAY, k] == 0.0:
                d[LAGGED, k] = command[i, j]
            d[DECAY, k] = math.exp(-h / p.time_constant)
            lags |= p.time_constant > 0.0
            if d[XV, k] == 0.0:
                d[SWUNG, k], d[RATE, k] = command[i, j], 0.0
            d[XX, k] = d[XV, k] = d[VX, k] = d[VV, k] = 0.0
            if p.natural_frequency > 0.0:
                step = transition(p.natural_frequency, p.damping_ratio, h)
                d[XX, k], d[XV, k], d[VX, k], d[VV, k] = step
                swings = True
            amplification = p.gain * p.torque_constant
            d[PULL, k], d[DRAG, k] = gains[0, j] * amplification, gains[1, j] * amplification
            d[STIFF, k], d[DAMP, k] = brakes[0, j], brakes[1, j]
            d[DEAD_ZONE, k] = p.dead_zone
            d[RIPPLE, k], d[PERIODS, k], d[WEAR, k] = p.ripple, p.ripple_periods / turn[j], p.wear
            fades |= p.ripple != 0.0 or p.wear != 0.0
            d[SATURATION, k], d[SLOWER, k] = p.saturation, 0.0
            if p.no_load_speed > 0.0 and not math.isinf(p.saturation):
                d[SLOWER, k] = p.saturation / p.no_load_speed
            if d[BACKLASH, k] == 0.0:
                d[PLAY, k] = position[i, j]
            d[COMPLIANCE, k], d[BACKLASH, k] = p.compliance, p.backlash
            loose |= p.backlash > 0.0 or p.compliance > 0.0
            if p.compliance > 0.0:
                soften(d, k, by_position)
                soft = True
            d[OFFSET, k], d[CONSTANT, k] = p.position_offset, p.torque_constant
            seen[i, j] = d[PLAY, k] + p.compliance * applied[i, j] + p.position_offset
    return latest, lags, swings, fades, loose, soft


@part
def arrive(d: Array, history: Array, head: int, first: int, command: Array) -> None:
    """Commands that have come through the delay."""
    if len(history) == 1:
        command[:] = history[head, first : first + len(command)]
        return
    for k in range(len(command)):
        command[k] = ago(history, head, first + k, d[LATE, k])


@part
def lag(d: Array, command: Array) -> None:
    """Lag of first order, exact over a step in which the command is held.

    A missing command (nan) goes on where it reappears, from zero.
    """
    for k in range(len(command)):
        x = d[LAGGED, k]
        x = x if x == x else 0.0
        d[LAGGED, k] = command[k] = command[k] + d[DECAY, k] * (x - command[k])


@part
def swing(d: Array, command: Array) -> None:
    """Lag of second order, likewise; from rest at zero."""
    for k in range(len(command)):
        x, v = d[SWUNG, k], d[RATE, k]
        x, v = (x if x == x else 0.0) - command[k], v if v == v else 0.0
        d[RATE, k] = d[VX, k] * x + d[VV, k] * v
        d[SWUNG, k] = command[k] = command[k] + (d[XX, k] * x + d[XV, k] * v)


@part
def serve(d: Array, command: Array, q: Array, v: Array, by_position: bool, effort: Array) -> None:
    """The effort that the servo asks for."""
    for k in range(len(q)):
        error = command[k] - q[k] if by_position else command[k]
        effort[k] = d[PULL, k] * dead_zone(error, d[DEAD_ZONE, k]) - d[DRAG, k] * v[k]


@part
def sine(turns: float) -> float:
    """``sin(2 pi turns)`` to seven digits: the series, within a quarter of a turn."""
    part = turns - np.rint(turns)
    near = abs(part)
    near = 0.5 - near if near > 0.25 else near
    x = 2.0 * math.pi * near
    y = x * x
    series = 1.0 - y / 72.0 * (1.0 - y / 110.0)
    series = x * (1.0 - y / 6.0 * (1.0 - y / 20.0 * (1.0 - y / 42.0 * series)))
    return series if part > 0.0 else -series


@part
def fading(d: Array, k: int, position: float) -> float:
    """Share of the effort that ripple and wear leave at this position."""
    left = 1.0 - d[WEAR, k] * d[WORK, k]
    return (1.0 + d[RIPPLE, k] * sine(d[PERIODS, k] * position)) * (left if left > 0.0 else 0.0)


@part
def fade(d: Array, q: Array, effort: Array) -> None:
    """What ripple and wear leave of the efforts."""
    for k in range(len(q)):
        effort[k] *= fading(d, k, q[k])


@part
def brake(
    d: Array, command: Array, q: Array, v: Array, load: Array, by_position: bool, effort: Array
) -> None:
    """The effort of brakes, where commands are missing (nan)."""
    for k in range(len(q)):
        braked = math.isnan(command[k])
        if braked:
            effort[k] = d[STIFF, k] * (d[STAND, k] - q[k]) - d[DAMP, k] * v[k] + load[k]
        if braked != d[BRAKED, k]:
            d[BRAKED, k] = braked
            if d[COMPLIANCE, k] > 0.0:
                soften(d, k, by_position)


@part
def bounds(d: Array, k: int, v: float) -> tuple[float, float]:
    """Smallest and largest effort at this velocity."""
    less = d[SLOWER, k] * v
    lower = -d[SATURATION, k] - (less if less < 0.0 else 0.0)
    upper = d[SATURATION, k] - (less if less > 0.0 else 0.0)
    return lower if lower < 0.0 else 0.0, upper if upper > 0.0 else 0.0


@part
def limit(
    d: Array, v: Array, effort: Array, brakes: bool, fades: bool, soft: bool, applied: Array
) -> None:
    """The efforts on the joints, and the work that they do."""
    if soft:
        for k in range(len(v)):
            damping = d[DAMP, k] if brakes and d[BRAKED, k] else d[DRAG, k]
            d[REST, k] = effort[k] + damping * v[k]
    for k in range(len(v)):
        lower, upper = bounds(d, k, v[k])
        rigid = clip(effort[k], lower, upper)
        applied[k] = applied[k] if soft and d[COMPLIANCE, k] > 0.0 else rigid
    if fades:
        for k in range(len(v)):
            d[WORK, k] += abs(applied[k] * v[k]) * d[H, k]


@part
def measure(
    d: Array,
    position: Array,
    velocity: Array,
    loose: bool,
    soft: bool,
    applied: Array,
    q: Array,
    v: Array,
    effort: Array,
) -> None:
    """What drives measure of joints after a step: q, v and effort.

    ``v`` is that of the step before when this begins. The effort in flexible shafts goes on.
    """
    for k in range(len(q)):
        effort[k] = applied[k] / d[CONSTANT, k]
    if not loose:
        for k in range(len(q)):
            q[k], v[k] = position[k] + d[OFFSET, k], velocity[k]
        return
    for k in range(len(q)):
        before = d[PLAY, k]
        d[PLAY, k] = play(before, position[k], d[BACKLASH, k])
        q[k] = d[PLAY, k] - before  # moved, for now
    if soft:
        turn_shafts(d, q, v, applied)
    for k in range(len(q)):
        differs = d[BACKLASH, k] > 0.0 or (soft and d[COMPLIANCE, k] > 0.0)
        v[k] = q[k] / d[H, k] if differs else velocity[k]
        q[k] = d[PLAY, k] + d[OFFSET, k]
        if soft:
            q[k] += d[COMPLIANCE, k] * applied[k]


@part
def turn_shafts(d: Array, moved: Array, v: Array, applied: Array) -> None:
    """The effort in flexible shafts after a step, and how far that moves the motors.

    With s = 1 / (1 + c K) and the effort f = (m - q) / c in the shaft, where q moves by
    ``moved`` in a step h: ``f += s ((f_rest - f - s D moved / h) (1 - e) - K moved)``,
    ``e = exp(-h / (c s D))``, within what bounds the effort at the velocity ``v`` with which the
    step began. Fading changes f_rest alone within a step.
    """
    for k in range(len(v)):
        before = applied[k]
        change = (d[REST, k] - before) * d[SETTLING, k] - d[STRETCHING, k] * moved[k]
        lower, upper = bounds(d, k, v[k])
        after = clip(before + change, lower, upper)
        applied[k] = after if d[COMPLIANCE, k] > 0.0 else before
        moved[k] += d[COMPLIANCE, k] * (applied[k] - before)


@kernel(F3, B, F1, F1, B, F2, N, F1, B, B, B, B, B, B, B, F2, F1)
def run(
    drives: Array,
    measuring: bool,
    position: Array,
    velocity: Array,
    driving: bool,
    history: Array,
    head: int,
    load: Array,
    by_position: bool,
    brakes: bool,
    lags: bool,
    swings: bool,
    fades: bool,
    loose: bool,
    soft: bool,
    measured: Array,
    applied: Array,
) -> None:
    """Measure after a step, drive in the next one, or both. Here n = nsim * nj.

    Args:
        drives: (blocks, FIELDS, LANES).
        measuring: whether to measure.
        position: (n,) of the joints.
        velocity: (n,).
        driving: whether to drive.
        history: (depth, n) ring of commands; see :func:`ago`.
        head: where the newest is.
        load: (n,) effort that carries the joints, for brakes.
        by_position: whether commands are positions.
        brakes: whether there are brakes.
        lags: whether any drive lags in first order; see :func:`prepare`, also for the rest.
        swings: in second order.
        fades: fades.
        loose: has play or a flexible shaft.
        soft: has a flexible shaft.
        measured: (3, n) position, velocity and effort, written by measuring.
        applied: (n,) the effort; its state where shafts are flexible.
    """
    command, asked = np.empty(LANES), np.empty(LANES)
    for b in range(len(drives)):
        first = b * LANES
        last = min(first + LANES, applied.size)
        d, out = drives[b], applied[first:last]
        u, f = command[: last - first], asked[: last - first]
        q, v, effort = measured[0, first:last], measured[1, first:last], measured[2, first:last]
        if measuring:
            moved = position[first:last], velocity[first:last]
            measure(d, *moved, loose, soft, out, q, v, effort)
        if driving:
            arrive(d, history, head, first, u)
            if lags:
                lag(d, u)
            if swings:
                swing(d, u)
            serve(d, u, q, v, by_position, f)
            if fades:
                fade(d, q, f)
            if brakes:
                brake(d, u, q, v, load[first:last], by_position, f)
            limit(d, v, f, brakes, fades, soft, out)


@kernel(F3, F1, F1, F1)
def lean(drives: Array, seen: Array, load: Array, command: Array) -> None:
    """Command (n,) position loops as far ahead as they need to carry a load (n,)."""
    for e in range(len(command)):
        d, k, carried = drives[e // LANES], e % LANES, load[e]
        stiffness = d[PULL, k] * fading(d, k, seen[e])
        if stiffness > 0.0 and carried != 0.0:
            command[e] += carried / stiffness + math.copysign(d[DEAD_ZONE, k], carried)


@kernel(F3, F2, N, F1, F1, B, F1)
def tell(
    drives: Array,
    history: Array,
    head: int,
    position: Array,
    seen: Array,
    by_position: bool,
    out: Array,
) -> None:
    """What drives without flaws are to be told (n,); see :meth:`Actuators.faultless`."""
    for b in range(len(drives)):
        first = b * LANES
        d, u = drives[b], out[first : first + LANES]
        arrive(d, history, head, first, u)
        lag(d, u)
        swing(d, u)
        for k in range(len(u)):
            told, wide, e = u[k], d[DEAD_ZONE, k], first + k
            if not by_position:
                told = dead_zone(told, wide)
            else:
                if wide > 0.0:
                    told = seen[e] + dead_zone(told - seen[e], wide)
                if seen[e] != position[e]:
                    told += position[e] - seen[e]
            u[k] = told


@kernel(F2, F2, F2, F2, F2, F2, F1, F2)
def rub(
    coulomb: Array,
    static: Array,
    speed: Array,
    wear: Array,
    heat: Array,
    velocity: Array,
    length: Array,
    out: Array,
) -> None:
    """Friction (nsim, nj) of joints, which it wears; see :class:`Friction`."""
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            v, level = velocity[i, j], coulomb[i, j]
            if static[i, j] != level:
                exponent = (v / speed[i, j]) ** 2
                if exponent < SLIDING:
                    level += (static[i, j] - level) * math.exp(-exponent)
            if wear[i, j] != 0.0:
                level *= 1.0 + wear[i, j] * heat[i, j]
            heat[i, j] += level * abs(v) * length[i]
            out[i, j] = level


# Surroundings


@kernel(F2, F1, F1, F1, U1, U1)
def blow(
    gusts: Array, elapsed: Array, correlation: Array, gust: Array, keys: Keys, counts: Keys
) -> None:
    """Go on with the gusts (nsim, 3) of unit variance; all else is of (nsim,)."""
    for i in range(len(gusts)):
        if gust[i] != 0.0:
            kept = remaining(elapsed[i], correlation[i])
            for k in range(3):
                n = counts[i] * np.uint64(3) + np.uint64(k)
                gusts[i, k] = gauss_markov(gusts[i, k], kept, normal(keys[i], n))
            counts[i] += np.uint64(1)
            elapsed[i] = 0.0


@kernel(F1, F1, F2, F1, F1, F1, F1, U1, U1, N, F3)
def push(
    waits: Array,
    left: Array,
    force: Array,
    rate: Array,
    impulse: Array,
    duration: Array,
    length: Array,
    keys: Keys,
    counts: Keys,
    place: int,
    wrench: Array,
) -> None:
    """Go on with the pushes on one body by a step; see :class:`Pushes`. All of (nsim,).

    Args:
        waits: mean periods until the next push; nan: to be drawn.
        left: of the present push [s].
        force: (nsim, 3) of the present push [N].
        rate: mean number of pushes in a step.
        impulse: of a push [N*s].
        duration: of a push [s].
        length: of a step [s].
        keys: of the streams of random numbers.
        counts: of the pushes so far.
        place: of the body in ``wrench``.
        wrench: (nsim, n, 6), to which the force is added.
    """
    for i in range(len(waits)):
        first, over = np.uint64(4) * counts[i], left[i] <= 0.5 * length[i]
        if over:
            force[i] = 0.0
        if math.isnan(waits[i]):
            waits[i] = -math.log(uniform(keys[i], first))
        waits[i] -= rate[i]
        if over and waits[i] <= 0.0 and rate[i] > 0.0:
            left[i] = max(np.rint(duration[i] / length[i]), 1.0) * length[i]
            x = normal(keys[i], first + np.uint64(1))
            y = normal(keys[i], first + np.uint64(2))
            z = normal(keys[i], first + np.uint64(3))
            size = impulse[i] / left[i] / math.sqrt(x * x + y * y + z * z)
            force[i, 0], force[i, 1], force[i, 2] = size * x, size * y, size * z
            counts[i] += np.uint64(1)
            waits[i] = -math.log(uniform(keys[i], first + np.uint64(4)))
        left[i] -= length[i]
        for k in range(3):
            wrench[i, place, k] += force[i, k]


@kernel(F3, F2, F1, F2, ANY2, ANY2, F1, N1, F3)
def resist(
    velocity: Array,
    wind: Array,
    gust: Array,
    gusts: Array,
    half_drag: Array,
    mass: Array,
    length: Array,
    places: Rows,
    wrench: Array,
) -> None:
    """Add the air's resistance to wrenches (nsim, n, 6); see :meth:`Disturbances.step`."""
    for i in range(len(velocity)):
        for m, place in enumerate(places):
            x = velocity[i, m, 0] - (wind[i, 0] + gust[i] * gusts[i, 0])
            y = velocity[i, m, 1] - (wind[i, 1] + gust[i] * gusts[i, 1])
            z = velocity[i, m, 2] - (wind[i, 2] + gust[i] * gusts[i, 2])
            drag = half_drag[i, m] * math.sqrt(x * x + y * y + z * z)
            drag /= 1.0 + drag * length[i] / mass[i, m]
            wrench[i, place, 0] -= drag * x
            wrench[i, place, 1] -= drag * y
            wrench[i, place, 2] -= drag * z


@kernel(ANY3, ANY3, ANY3, N1, N1, F3)
def centre_velocity(
    twists: Array, centres: Array, trees: Array, bodies: Rows, roots: Rows, out: Array
) -> None:
    """Velocity (nsim, m, 3) of some bodies' centres of mass.

    Args:
        twists: (nsim, nbody, 6) angular and linear velocity of each body, the latter of the
            point that is at the centre of mass of its kinematic tree.
        centres: (nsim, nbody, 3) of mass of the bodies.
        trees: (nsim, nbody, 3) of mass of all that hangs on a body.
        bodies: (m,) which.
        roots: (m,) their trees' first bodies.
        out: written.
    """
    for i in range(len(out)):
        for m, (body, root) in enumerate(zip(bodies, roots)):
            x, y, z = twists[i, body, 0], twists[i, body, 1], twists[i, body, 2]
            a = centres[i, body, 0] - trees[i, root, 0]
            b = centres[i, body, 1] - trees[i, root, 1]
            c = centres[i, body, 2] - trees[i, root, 2]
            out[i, m, 0] = twists[i, body, 3] + y * c - z * b
            out[i, m, 1] = twists[i, body, 4] + z * a - x * c
            out[i, m, 2] = twists[i, body, 5] + x * b - y * a


# Sensors


@kernel(N1, numba.from_dtype(CHANNEL)[:, ::1], F2, N, N, F1, F1, U1, U1, F2)
def read(
    rows: Rows,
    channels: Records,
    history: Array,
    head: int,
    each: int,
    time: Array,
    length: Array,
    keys: Keys,
    counts: Keys,
    out: Array,
) -> None:
    """Take a sample (n, width) of some simulations; see :class:`Sensors`.

    Args:
        rows: (n,) which.
        channels: (nsim, width).
        history: (depth, parts * nsim * each) ring of true values; see :func:`ago`.
        head: where the newest is.
        each: channels of a part, of which one after the other is there for all simulations.
        time: (nsim,) of that one [s].
        length: (nsim,) of a step [s].
        keys: (nsim,) of the streams of random numbers.
        counts: (nsim,) of the samples so far.
        out: written.
    """
    width = out.shape[1]
    for k, i in enumerate(rows):
        now, key = time[i], keys[i]
        for j in range(width):
            c = channels[i, j]
            n = (counts[i] * np.uint64(width) + np.uint64(j)) * np.uint64(4)
            age = c.delay
            if c.jitter > 0.0:
                age += c.jitter * uniform(key, n)
            held = False
            if c.period > 0.0:
                taken = np.floor((now - age + ON_TIME) / c.period) * c.period
                held = taken <= c.sampled
                c.sampled = max(taken, c.sampled)
                age = max(now - taken, 0.0)
            if c.drift != 0.0:
                fresh = normal(key, n + np.uint64(1))
                kept = remaining(now - c.since, c.correlation_time)
                c.wandered = gauss_markov(c.wandered, kept, fresh)
                c.since = now
            if held or (c.dropout > 0.0 and uniform(key, n + np.uint64(2)) < c.dropout):
                out[k, j] = c.reading
                continue
            e = (j // each * len(time) + i) * each + j % each
            value = ago(history, head, e, age / length[i])
            if c.scale != 1.0:
                value *= c.scale
            if c.bias != 0.0:
                value += c.bias
            if c.drift != 0.0:
                value += c.drift * c.wandered
            if c.noise != 0.0:
                value += c.noise * normal(key, n + np.uint64(3))
            if c.saturation > 0.0:
                value = clip(value, -c.saturation, c.saturation)
            if c.quantization > 0.0:
                value = np.rint(value / c.quantization) * c.quantization
            out[k, j] = c.reading = value
        counts[i] += np.uint64(1)
