"""Settings of the identification from recordings."""

from __future__ import annotations

from dataclasses import dataclass

from sim2real_core.config import Config, parameter
from sim2real_core.errors import Faults
from sim2real_sysid.torque_constants import (
    check_torque_constants,
    parameter_of_torque_constants,
)

FRICTION = ('symmetric', 'directional', 'stribeck', 'directional_stribeck')
MODELS = tuple(name + late for name in FRICTION for late in ('', '_late'))
"""Of friction, from few parameters to many; see :mod:`sim2real_sysid.batch.models`."""
METHODS = ('auto', 'least_squares', 'output_error', 'cma', 'sbi')


@dataclass(frozen=True, kw_only=True)
class FitConfig(Config):
    """Settings of a fit; the defaults serve any robot."""

    method: str = parameter(
        'auto',
        'auto: output_error where a simulation of what least_squares found stays on course all '
        'along, else least_squares; least_squares: on filtered signals; output_error: '
        'Gauss-Newton over rollouts of the simulator; cma: CMA-ES over rollouts; sbi: '
        'simulation-based inference.',
        choices=METHODS,
    )
    bandwidth: float = parameter(
        0.0,
        'Bandwidth of the zero-phase filter of the positions; 0 is a tenth of the sample rate, '
        'or less where noise of the accelerations would count.',
        unit='Hz',
        low=0.0,
        high=1e4,
    )
    bodies: str = parameter(
        'payload',
        'payload: the other links are as the URDF has them; all: also report base parameters of '
        'all bodies, and bodies that they may come from.',
        choices=('payload', 'all'),
    )
    window: float = parameter(
        0.0,
        'Length of the rollouts of output error; 0 chooses: as long as they stay on course.',
        unit='s',
        low=0.0,
        high=1e5,
    )
    heldout: float = parameter(
        0.2, 'Share of the end of each recording that is held out.', low=0.0, high=0.9
    )
    iterations: int = parameter(40, 'Most Gauss-Newton steps of output error.', low=1, high=1000)
    evaluations: int = parameter(
        4000, 'Most rollouts of CMA-ES, or simulations of sbi.', low=10, high=10_000_000
    )
    threads: int = parameter(0, 'Threads that simulate; 0 for all processors.', low=0, high=1024)
    seed: int = parameter(0, 'Of what is drawn: CMA-ES, sbi.', low=0)
    relative_std: float = parameter(
        0.03,
        'A parameter counts as identified up to this standard deviation, as a share of its value '
        'or of the smallest value that matters.',
        low=0.001,
        high=1.0,
    )
    model_error: float = parameter(
        0.004,
        'Relative standard deviation of every term of the model: what the URDF gets wrong, say.',
        low=0.0,
        high=0.5,
    )
    torque_constants: tuple[float, ...] = parameter_of_torque_constants()

    def check(self, faults: Faults) -> None:
        """Every effort is worth something."""
        check_torque_constants(self.torque_constants, faults)
