"""Probes of what a camera sees: light and colour, by the brightness of the ball."""

from __future__ import annotations

from functools import partial

from sim2real_sim.verify.models import BALL, LINK, RADIUS
from sim2real_sim.verify.probes import Probe, Sees, Stage

LIGHT = 'sun'
COLORS = 'rgb'
PATCH = 8  # half the width of what is looked at, in the middle of the picture [pixel]


def _lit(channel: int | None, stage: Stage, value: float) -> float:
    """How much brighter the ball is than with a value of zero.

    A matt surface sends back light times colour (Lambert), whatever else shines on it.
    """
    stage.apply(0.0)
    dark = _brightness(stage, channel)
    stage.apply(value)
    return _brightness(stage, channel) - dark


def _brightness(stage: Stage, channel: int | None) -> float:
    picture = stage.world.picture()  # type: ignore[attr-defined]
    row, column = picture.shape[0] // 2, picture.shape[1] // 2
    patch = picture[row - PATCH : row + PATCH, column - PATCH : column + PATCH].astype(float)
    return float(patch.mean() if channel is None else patch[..., channel].mean())


_picture = partial(
    Probe,
    sdf=BALL,
    height=RADIUS,
    predict=lambda value: value,
    ratio=True,
    needs=Sees,
)
PROBES = (
    _picture(
        kind='light',
        address=f'light.{LIGHT}.intensity',
        values=(0.5, 1.0),
        measure=partial(_lit, None),
    ),
    *(
        _picture(
            kind='light',
            address=f'light.{LIGHT}.color.{color}',
            values=(0.3, 0.6),
            measure=partial(_lit, channel),
        )
        for channel, color in enumerate(COLORS)
    ),
    *(
        _picture(
            kind='color',
            address=f'visual.{LINK}.color.{color}',
            values=(0.3, 0.6),
            measure=partial(_lit, channel),
        )
        for channel, color in enumerate(COLORS)
    ),
)
