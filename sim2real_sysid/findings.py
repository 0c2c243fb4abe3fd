"""What is wrong with a log, as records that online and batch identification share."""

from __future__ import annotations

from dataclasses import dataclass, replace

POSITION, EFFORT, TIME = 'position', 'effort', 'time'
KINDS = {
    'position_stuck': (POSITION, 'check the encoder, its cable, and whether the joint is free'),
    'position_held': (POSITION, 'let the driver read the encoder for every message'),
    'position_jumps': (POSITION, 'check unit, wrapping and encoder'),
    'position_order': (POSITION, 'publish values in the order of the names, in every message'),
    'position_missing': (POSITION, 'publish the joint, with its name, in every message'),
    'position_range': (POSITION, 'check the unit (degrees?) and the zero, or the limits'),
    'effort_missing': (EFFORT, 'publish a finite effort in every message, or none at all'),
    'effort_constant': (EFFORT, 'publish what is measured, or no effort where none is'),
    'effort_units': (
        EFFORT,
        'publish N*m (N), on the side of the joint; or mend URDF and profile',
    ),
    'effort_sign': (EFFORT, 'turn its sign; or mend the axis, or how the robot is mounted'),
    'effort_saturated': (
        EFFORT,
        'move slower or with less load, or widen the range of the sensor',
    ),
    'stamp_order': (TIME, 'stamp each message once, when it is measured, and keep the order'),
    'stamp_restart': (TIME, 'keep one clock for the whole log'),
    'stamp_invalid': (TIME, 'set header.stamp in the driver'),
    'stamp_units': (TIME, 'give stamps in seconds, or the time of the log its unit'),
    'stamp_gaps': (TIME, 'check the driver and the network, or cut the log there'),
    'stamp_jitter': (TIME, 'stamp in the driver, from the clock of the measurement'),
    'messages_dropped': (TIME, 'record on the robot, or with a deeper queue'),
}
"""What can be found: which signal it spoils, and how to mend it."""


@dataclass(frozen=True)
class Finding:
    """Something wrong with a log.

    Attributes:
        joint: its name; ``''`` where it is about the messages.
        what: of ``KINDS``.
        since: time of the first evidence [s].
        until: time of the newest evidence [s].
        evidence: what was seen, for people.
    """

    joint: str
    what: str
    since: float
    until: float
    evidence: str

    @property
    def spoils(self) -> str:
        """The signal that cannot be believed: ``position``, ``effort`` or ``time``."""
        return KINDS[self.what][0]

    @property
    def mend(self) -> str:
        """What would help."""
        return KINDS[self.what][1]

    def __str__(self) -> str:
        place = f'{self.joint}: ' if self.joint else ''
        return f'{place}{self.evidence} (since {self.since:.2f} s): {self.mend}'

    def as_json(self) -> dict[str, str | float]:
        """For files."""
        return {
            'joint': self.joint,
            'what': self.what,
            'since': self.since,
            'until': self.until,
            'evidence': self.evidence,
            'mend': self.mend,
        }


class Findings:
    """Collects findings; of one kind and joint there is one, kept up to date."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], Finding] = {}

    def note(self, joint: str, what: str, since: float, until: float, evidence: str) -> None:
        """Evidence from ``since`` to ``until`` [s]."""
        before = self._found.get((joint, what))
        new = Finding(joint, what, float(since), float(until), evidence)
        if before is not None and before.since <= since:
            new = replace(new, since=before.since)
        self._found[joint, what] = new

    def all(self) -> tuple[Finding, ...]:
        """In the order they were found."""
        return tuple(self._found.values())
