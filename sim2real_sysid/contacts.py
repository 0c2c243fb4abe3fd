"""Friction and restitution of a surface, from recorded poses of something that touched it.

The poses of a body that was pushed and let go, so that it slides to rest, and that was dropped, so
that it bounces, say all: no force is measured. Moments that obey a simple law are looked for, the
rest (hands, pushes, rolling) is left alone:

- *Flights*: the height is a parabola of gravity's curvature. Between two that follow one another
  there was an impact; of its speeds before and after, ``restitution = -after / before``.
- *Slides*: the body goes straight on a surface and gets evenly slower. Along its way, which may
  rise by an angle, ``slowing = g sin(angle) + friction * g cos(angle)`` (Coulomb).

Example: 20 s of poses at 200 Hz with five slides and three drops are arrays (4000,), (4000, 3).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sim2real_core.records import ParameterEstimate

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

GRAVITY = 9.81  # [m/s^2]
WINDOW = 0.06  # [s], in which motion is about a parabola
FEWEST = 9  # samples of a window
NEAR = 0.25  # of gravity: how near to free fall a flight must look
FIT = 3.5  # standard deviations of the noise: what still belongs to a law
SHORTEST = 0.08  # [s] of a slide
EVEN = 2.5  # standard deviations of what is left, for a slowing to be even
LEAST_SPEED = 0.05  # [m/s] at its beginning
TOUCH = 0.1  # [s]: longest gap between two flights with one impact
LEAST_IMPACT = 0.15  # [m/s]
RESTS = 0.15  # [s]
LIFTED = 0.05  # [m] from an impact's level: held up, not at rest on the surface
SOFTEST = 0.02  # [s] from the touch to the deepest point, about
LEAST_STD = 0.005  # what geometry and calibration leave open, relative
IDENTIFIED = {'friction': 0.05, 'restitution': 0.1}
"""Standard deviation, as a share of the value, up to which a quantity is identified."""


class Slide(NamedTuple):
    """A body slid. Times [s], speed at its beginning [m/s], friction and its uncertainty."""

    start: float
    end: float
    speed: float
    friction: float
    std: float


class Impact(NamedTuple):
    """A body bounced.

    Attributes:
        time: where the parabolas before and after meet [s].
        speed: downward, before it, there [m/s].
        after: upward, after it, there [m/s].
        level: height there [m].
        std: uncertainty of the speeds.
        level_std: uncertainty of the height.
        rest: height at which the body came to rest later [m]; NaN where it did not.
    """

    time: float
    speed: float
    after: float
    level: float
    std: float
    level_std: float
    rest: float = math.nan


class _Track(NamedTuple):
    """A body's way and what parabolas over windows about every sample say of it.

    Attributes:
        stamp: (n,) [s].
        position: (n, 3) [m], z up.
        velocity: (n, 3) [m/s].
        acceleration: (n, 3) [m/s^2].
        noise: standard deviation of the positions [m].
        blur: standard deviation of the accelerations [m/s^2].
    """

    stamp: Array
    position: Array
    velocity: Array
    acceleration: Array
    noise: float
    blur: float


def _track(stamp: Array, position: Array) -> _Track | None:
    """None where there are too few poses."""
    period = float(np.median(np.diff(stamp))) if len(stamp) > 1 else 1.0
    w = max(FEWEST, 2 * round(0.5 * WINDOW / period) + 1)
    if len(stamp) < 3 * w:
        return None
    half = w // 2
    x = period * (np.arange(w) - half)
    design = np.stack([np.ones(w), x, 0.5 * x * x], axis=1)
    fit = np.linalg.pinv(design)
    cut = np.lib.stride_tricks.sliding_window_view(position, w, axis=0)  # (n - w + 1, 3, w)
    level, slope, curve = np.moveaxis(cut @ fit.T, 2, 0)
    rest = cut - (np.stack([level, slope, curve], axis=2) @ design.T)
    noise = float(np.median(np.sqrt(np.square(rest).sum(axis=2) / (w - 3))))
    pad = ((half, half), (0, 0))
    velocity, acceleration = (np.pad(part, pad, mode='edge') for part in (slope, curve))
    # Where samples are missing, windows mean nothing.
    blur = noise * float(np.sqrt(np.square(fit[2]).sum()))
    uneven = np.concatenate([[False], np.diff(stamp) > 1.5 * period])
    near = np.convolve(uneven.astype(float), np.ones(w), mode='same') > 0.5
    acceleration[near] = np.nan
    return _Track(stamp, position, velocity, acceleration, max(noise, 1e-9), blur)


def _runs(flags: Flags) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(int)))
    return [(int(first), int(last)) for first, last in zip(edges[::2], edges[1::2])]


class _Flight(NamedTuple):
    """A parabola of the height: ``height + speed (t - time) - g/2 (t - time)^2``."""

    first: int
    last: int
    time: float
    height: float
    speed: float
    cov: Array

    def at(self, time: float) -> tuple[float, float]:
        """Height [m] and vertical speed [m/s]."""
        t = time - self.time
        return (
            self.height + self.speed * t - 0.5 * GRAVITY * t * t, self.speed - GRAVITY * t
        )  # fmt: skip


def _flights(track: _Track) -> list[_Flight]:
    slack = NEAR * GRAVITY + 3.0 * track.blur
    free = np.abs(track.acceleration + np.array([0.0, 0.0, GRAVITY])).max(axis=1) < slack
    found: list[_Flight] = []
    for first, last in _runs(free):
        if last - first < 3:
            continue
        flight = _fit_flight(track, first, last)
        for _ in range(20):  # as far as the law holds
            first, last = _grow(track, flight)
            if (first, last) == (flight.first, flight.last):
                break
            flight = _fit_flight(track, first, last)
        if flight.last - flight.first >= 5 and (not found or flight.first >= found[-1].last - 2):
            found.append(flight)
    return found


def _fit_flight(track: _Track, first: int, last: int) -> _Flight:
    time = track.stamp[first:last]
    middle = float(time.mean())
    t = time - middle
    design = np.stack([np.ones_like(t), t], axis=1)
    cov = np.linalg.inv(design.T @ design)
    height, speed = cov @ design.T @ (track.position[first:last, 2] + 0.5 * GRAVITY * t * t)
    return _Flight(first, last, middle, float(height), float(speed), track.noise**2 * cov)


def _grow(track: _Track, flight: _Flight) -> tuple[int, int]:
    """Rows about the middle of a flight that lie on its parabola."""
    t = track.stamp - flight.time
    parabola = flight.height + flight.speed * t - 0.5 * GRAVITY * t * t
    near = np.abs(track.position[:, 2] - parabola) < FIT * track.noise
    # One sample off is noise; two in a row are the end.
    near[1:-1] |= near[:-2] & near[2:]
    middle = (flight.first + flight.last) // 2
    before = np.flatnonzero(~near[:middle])
    after = np.flatnonzero(~near[middle:])
    first = int(before[-1]) + 1 if len(before) else 0
    last = middle + int(after[0]) if len(after) else len(near)
    return (first, last) if last - first >= 5 else (flight.first, flight.last)


def find_impacts(stamp: Array, position: Array) -> list[Impact]:
    """Impacts on level ground between two flights.

    Args:
        stamp: (n,) [s], increasing.
        position: (n, 3) of the centre of a body [m], z up.
    """
    track = _track(stamp, position)
    if track is None:
        return []
    found = []
    flights = _flights(track)
    for one, other in itertools.pairwise(flights):
        if stamp[other.first] - stamp[one.last - 1] > TOUCH:
            continue
        # Both parabolas have the same curvature, so they meet once.
        other_height, other_speed = other.at(one.time)
        rate = one.speed - other_speed
        if abs(rate) < 1e-9:
            continue
        meet = one.time + (other_height - one.height) / rate
        inside = stamp[one.last - 1] - TOUCH <= meet <= stamp[other.first] + TOUCH
        before, after = one.at(meet)[1], other.at(meet)[1]
        if not inside or before > -LEAST_IMPACT or after < 0.0:
            continue
        if after > -1.05 * before:
            continue  # somebody pushed
        spread = float(one.cov[1, 1] + other.cov[1, 1])
        # An error of the height shifts the meeting and so both speeds.
        heights = float(one.cov[0, 0] + other.cov[0, 0])
        std = math.sqrt(spread + heights * (GRAVITY / rate) ** 2)
        level = one.at(meet)[0]
        rest = _rest(track, other.last, level)
        found.append(Impact(meet, -before, after, level, std, math.sqrt(heights), rest))
    return found


def _rest(track: _Track, row: int, level: float) -> float:
    """Height [m] near ``level`` at which a body comes to rest after a row; NaN if it does not."""
    period = float(np.median(np.diff(track.stamp)))
    w = max(FEWEST, round(RESTS / period))
    slow = 4.0 * track.noise / WINDOW + 0.01
    for first, last in _runs(np.linalg.norm(track.velocity[row:], axis=1) < slow):
        height = float(np.median(track.position[row + first : row + last, 2]))
        if last - first >= w and abs(height - level) < LIFTED:
            return height
    return math.nan


def _asymmetry() -> tuple[Array, Array]:
    """Time after the meeting of the parabolas per time before it, by restitution.

    Of a contact that is a spring and a damper and ends when its force does (Schwager and
    Poeschel, Granular Matter 9, 2007), for damping ratios ``z``.
    """
    ratio = np.linspace(0.0, 3.0, 120).astype(complex) + 1e-9
    root = np.sqrt(1.0 - ratio**2)
    end = (np.log((ratio - 1j * root) / (ratio + 1j * root)) / (-2j * root) * 2.0).real
    # The force ends where 2 z v + x = 0; x = exp(-z t) sin(w t) / w.
    end = np.where(end <= 0, end + (2.0 * np.pi / root.real.clip(1e-3)), end)
    decay = np.exp(-ratio * end)
    depth = (decay * np.sin(root * end) / root).real
    speed = (decay * (np.cos(root * end) - ratio * np.sin(root * end) / root)).real
    meet = (depth - speed * end) / (1.0 - speed)
    return -speed, (end - meet) / meet


def touch_time(impacts: Sequence[Impact]) -> tuple[float, float]:
    """Time [s] from the touch to the meeting of the parabolas, and its uncertainty.

    The contact gives way, so that the parabolas meet below the surface, the deeper the faster.
    This is for bodies that were never seen at rest on it; else each impact tells its own.
    """
    x = np.array([impact.speed for impact in impacts])
    y = np.array([impact.level for impact in impacts])
    s = np.array([impact.level_std for impact in impacts])
    design = np.column_stack([np.ones_like(x), -x]) / s[:, None]
    precision = design.T @ design + np.diag([1e-6, SOFTEST**-2])
    cov = np.linalg.inv(precision)
    fit = cov @ design.T @ (y / s)
    rest = (y / s) - design @ fit
    worse = max(1.0, float(np.square(rest).sum()) / max(len(x) - 2, 1))
    return float(np.clip(fit[1], 0.0, SOFTEST)), math.sqrt(worse * float(cov[1, 1]))


def restitutions(impacts: Sequence[Impact]) -> list[tuple[float, float]]:
    """Restitution of each impact, and its uncertainty.

    The speeds are those at the touch and at the end of the contact, not where the parabolas
    meet: gravity pulls in between.
    """
    if not impacts:
        return []
    usual = touch_time(impacts)
    table, ratios = _asymmetry()
    order = np.argsort(table)
    found = []
    for impact in impacts:
        early, early_std = usual
        if math.isfinite(impact.rest):
            early = float(np.clip((impact.rest - impact.level) / impact.speed, 0.0, SOFTEST))
            early_std = math.hypot(impact.level_std, 0.1 * early * impact.speed) / impact.speed
        value = impact.after / impact.speed
        for _ in range(20):
            ratio = float(np.interp(value, table[order], ratios[order]))
            before = impact.speed - GRAVITY * early
            value = max(impact.after - GRAVITY * ratio * early, 0.0) / before
        slope = GRAVITY * (ratio + value) * early_std
        std = math.hypot(impact.std * math.sqrt(1.0 + value**2), slope) / before
        found.append((value, std))
    return found


def find_slides(stamp: Array, position: Array) -> list[Slide]:
    """Straight slides that get evenly slower.

    Args:
        stamp: (n,) [s], increasing.
        position: (n, 3) of a body [m], z up.
    """
    track = _track(stamp, position)
    if track is None:
        return []
    period = float(np.median(np.diff(stamp)))
    speed = np.linalg.norm(track.velocity, axis=1)
    slip = 4.0 * track.noise / WINDOW + 0.5 * LEAST_SPEED
    down = np.abs(track.acceleration[:, 2]) < 0.5 * GRAVITY + 3.0 * track.blur
    found = []
    for first, last in _runs((speed > slip) & down):
        if (last - first) * period >= SHORTEST:
            slide = _fit_slide(track, first, last, period)
            if slide is not None:
                found.append(slide)
    return found


def _fit_slide(track: _Track, first: int, last: int, period: float) -> Slide | None:
    """The longest part of a run, up to its end, with an even slowing; None if there is none."""
    edge = max(2, round(0.5 * WINDOW / period))  # windows at the end see the stop, too
    last = last - edge
    shortest = max(FEWEST, round(SHORTEST / period))
    for start in range(first, last - shortest + 1, max(1, edge // 2)):
        found = _even(track, start, last)
        if found is not None:
            # The push may have ended between two of the beginnings that were tried.
            inside = min(start + edge // 2, last - shortest)
            return _even(track, inside, last) or found
    return None


def _even(track: _Track, first: int, last: int) -> Slide | None:
    """A slide from sample to sample, if straight and even."""
    time, points = track.stamp[first:last], track.position[first:last]
    t = time - time.mean()
    design = np.stack([np.ones_like(t), t, 0.5 * t * t], axis=1)
    cov = np.linalg.inv(design.T @ design)
    fit = cov @ design.T @ points  # (3, 3): place, velocity, acceleration
    rest = points - design @ fit
    degrees = 3 * (len(t) - 3)
    if np.square(rest).sum() > degrees * track.noise**2 * (1.0 + EVEN * math.sqrt(2.0 / degrees)):
        return None
    # What a push that is not over, or a stop that is, leaves first is a third power of time.
    cubic = t**3 - design @ (cov @ design.T @ t**3)
    power = float(np.square(cubic).sum())
    if np.abs(cubic @ rest).max() > EVEN * track.noise * math.sqrt(power):
        return None
    begin = fit[1] + fit[2] * t[0]
    speed = float(np.linalg.norm(begin))
    if speed < LEAST_SPEED:
        return None
    along = points[-1] - points[0]
    way = along / np.linalg.norm(along)
    slowing = -float(fit[2] @ way)
    aside = fit[2] + slowing * way
    blur = track.noise * math.sqrt(float(cov[2, 2]))
    if np.linalg.norm(aside) > 4.0 * blur + 0.05 * abs(slowing):
        return None
    rise = float(way[2])
    flat = math.sqrt(max(1.0 - rise * rise, 0.0))
    if flat < 0.5:
        return None
    friction = (slowing / GRAVITY - rise) / flat
    tilt = track.noise / float(np.linalg.norm(along))
    std = math.hypot(blur / GRAVITY, tilt) / flat
    if friction < 4.0 * std:  # it rolls, or is in the air
        return None
    return Slide(float(time[0]), float(time[-1]), speed, friction, std)


def combine(values: Sequence[float], stds: Sequence[float]) -> tuple[float, float]:
    """Mean of measurements that vary more than their uncertainty says, and its uncertainty.

    The excess variance is that of DerSimonian and Laird (1986); outliers, more than three median
    deviations off, do not count.

    Returns:
        Zero and infinite where there is nothing.
    """
    x, s = np.asarray(values, dtype=float), np.asarray(stds, dtype=float)
    if len(x) == 0:
        return 0.0, math.inf
    off = np.abs(x - np.median(x))
    keep = off <= 3.0 * np.maximum(1.4826 * np.median(off), s) + 1e-12
    x, s = x[keep], np.maximum(s[keep], LEAST_STD * np.abs(x[keep]) + 1e-12)
    weight = s**-2
    mean = float((weight * x).sum() / weight.sum())
    excess = float((weight * np.square(x - mean)).sum()) - (len(x) - 1)
    room = float(weight.sum() - np.square(weight).sum() / weight.sum())
    between = max(excess / room, 0.0) if len(x) > 1 and room > 0 else 0.0
    weight = 1.0 / (s**2 + between)
    mean = float((weight * x).sum() / weight.sum())
    return mean, math.hypot(math.sqrt(1.0 / float(weight.sum())), LEAST_STD * mean)


def assess(stamp: Array, position: Array, surface: str) -> dict[str, Any]:
    """Friction and restitution of a surface.

    Args:
        stamp: (n,) [s].
        position: (n, 3) of a body that slid and bounced on it [m], z up.
        surface: its name in addresses.

    Returns:
        ``parameters``: address to :class:`ParameterEstimate`; ``slides`` and ``impacts``.
    """
    order = np.argsort(stamp, kind='stable')
    stamp, position = stamp[order], position[order]
    good = np.isfinite(position).all(axis=1) & np.isfinite(stamp)
    good[1:] &= np.diff(stamp) > 0
    stamp, position = stamp[good], position[good]
    slides, impacts = find_slides(stamp, position), find_impacts(stamp, position)
    pairs = {
        'friction': [(slide.friction, slide.std) for slide in slides],
        'restitution': restitutions(impacts),
    }
    parameters = {}
    for what, found in pairs.items():
        mean, std = combine([value for value, _ in found], [s for _, s in found])
        good_enough = std <= IDENTIFIED[what] * mean
        status = 'identified' if good_enough else 'not_identified'
        parameters[f'surface.{surface}.{what}'] = ParameterEstimate(mean, std, status, '1')
    return {'parameters': parameters, 'slides': slides, 'impacts': impacts}
