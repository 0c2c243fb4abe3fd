"""Numbers in SDF elements, read and written in place."""

from __future__ import annotations

from typing import NamedTuple

from sim2real_sim.sdf_text import Element

NO_POSE = '0 0 0 0 0 0'


class Place(NamedTuple):
    """Where a number is.

    Attributes:
        path: of the element, from the object's; ``''`` is the object itself.
        at: index of the number among those in the element.
        default: content of the element when it is not there; ``''`` when nobody knows.
    """

    path: str
    at: int = 0
    default: str = '0'


def as_float(text: str) -> float | None:
    """The number that a text is, or None."""
    try:
        return float(text)
    except ValueError:
        return None


def number(element: Element, place: Place) -> float | None:
    """The number at a place; None when neither the text nor the default has it."""
    found = element.find(place.path) if place.path else element
    text = found.text if found is not None else ''
    parts = (text or place.default).split()
    return as_float(parts[place.at]) if place.at < len(parts) else None


def put(element: Element, place: Place, value: float) -> None:
    """Write a number; a place that has it already, or would by default, stays as it is."""
    if number(element, place) == value:
        return
    found = element.make(place.path) if place.path else element
    parts = (found.text or place.default or '1 1 1 1').split()
    if found.tag == 'pose' and not found.text and found.get('rotation_format') == 'quat_xyzw':
        parts = '0 0 0 0 0 0 1'.split()
    parts[place.at] = repr(float(value))
    found.set_text(' '.join(parts))
