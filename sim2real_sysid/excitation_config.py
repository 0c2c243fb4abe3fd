"""Settings of an excitation."""

from __future__ import annotations

from dataclasses import dataclass

from sim2real_core.config import Config, parameter
from sim2real_core.errors import Faults

CRITERIA = ('condition', 'd-optimal')
BODIES = ('mass', 'payload', 'bodies')
"""What of the rigid bodies is to be identified: the payload's mass, inertia scaling along; the
payload's mass, centre of mass and inertia; those of all bodies."""


@dataclass(frozen=True, kw_only=True)
class ExcitationConfig(Config):
    """What an excitation is to be."""

    duration: float = parameter(60.0, 'Of the whole motion.', unit='s', low=1.0, high=3600.0)
    period: float = parameter(
        20.0,
        'Of the motion that repeats; rounded so that the duration is a whole number of them.',
        unit='s',
        low=0.5,
        high=600.0,
    )
    harmonics: int = parameter(8, 'Of the Fourier series of each joint.', low=2, high=50)
    criterion: str = parameter(
        'condition',
        'Minimize the condition number of the regressor, or maximize the determinant of its '
        'information matrix.',
        choices=CRITERIA,
    )
    identify: str = parameter(
        'payload',
        "Beside the joints' friction, armature and offset: the payload's mass alone, all of the "
        "payload's inertia, or that of all bodies.",
        choices=BODIES,
    )
    share: float = parameter(
        0.8, 'Of the limits of velocity, acceleration and effort that is used.', low=0.05, high=1.0
    )
    clearance: float = parameter(
        0.05, 'Distance kept from itself and from the floor.', unit='m', low=0.001, high=10.0
    )
    floor: float = parameter(
        0.0,
        "Height of the floor in the frame of the URDF's root; lower if the robot reaches lower "
        'at the start.',
        unit='m',
        low=-1e3,
        high=1e3,
    )
    box: tuple[float, ...] = parameter(
        (-1e3, -1e3, -1e3, 1e3, 1e3, 1e3),
        'Where the tool stays, in the base frame: from x, y, z to x, y, z.',
        unit='m',
    )
    iterations: int = parameter(40, 'Of the optimizer, in each of three rounds.', low=1, high=5000)
    seed: int = parameter(0, 'Of the random motions it begins with.', low=0)

    def check(self, faults: Faults) -> None:
        """A period fits the duration; a box has two corners."""
        if self.period > self.duration:
            faults.add('period', self.period, f'must be at most {self.duration:g} s, the duration')
        if len(self.box) != 6:
            faults.add('box', self.box, 'must be six numbers: from x, y, z to x, y, z')
        elif not all(low < high for low, high in zip(self.box[:3], self.box[3:])):
            faults.add('box', self.box, 'each of from x, y, z must be less than to x, y, z')
