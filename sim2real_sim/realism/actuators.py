"""From command to effort."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from sim2real_core.nominal import ACTUATOR
from sim2real_sim.realism import compiled
from sim2real_sim.realism.signals import History

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]
NO_COMMAND = np.nan  # travels through delay and lag as a command does


class Actuators:
    """From command to effort, for all joints of all simulations.

    A drive follows its command late (``delay``), through a lag of first (``time_constant``) and
    one of second order (``natural_frequency``, ``damping_ratio``). It takes no notice of a
    velocity or effort command within +- ``dead_zone``, a position loop of an error within it.
    What it then asks for is multiplied with ``gain``, ``torque_constant``, ``1 - wear * work``
    (``work``: the mechanical work it has done or braked since the reset; wear in proportion to
    load times distance is Archard's law, J. Appl. Phys. 24, 1953) and ``1 + ripple sin(2 pi n
    turns)`` with n = ``ripple_periods``. It is limited to ``saturation``, and in the direction of
    motion by the torque-speed line of a DC motor, ``saturation (1 - speed / no_load_speed)``.

    Between motor and link there is play (``backlash``) and a shaft of some ``compliance`` c. The
    motor has no inertia (the link's armature stands for it), so with a servo of stiffness K and
    damping D the motor's angle m follows ``D m' = K (u - m) - (m - q) / c``, integrated exactly
    over a step in which the link's q moves evenly; the link feels ``(m - q) / c``, and the effort
    tends to that of the rigid drive as c goes to 0. The encoder is on the motor's side and reads
    ``position_offset`` too much.

    Attributes:
        parameters: (nsim, nj) arrays of what is named above, in SI units of the joint; 0 for
            none, but 1 where something is multiplied with it. Call :meth:`update` after writing.
        measured: (3, nsim, nj) position, velocity and effort as the drives see them; the next
            measurement overwrites them. The effort is the one really applied in the step,
            inferred with the nominal torque constant as drives do.

    Args:
        interface: ``position``, ``velocity`` or ``effort``: what a command means.
        stiffness: (nj,) gain of the drives' position loop.
        damping: (nj,) gain of their velocity loop.
        saturation: (nj,) largest effort; may be infinite, and then at any speed.
        nsim: number of simulations.
        brake: ((nj,), (nj,)) stiffness and damping that hold a joint without a command, beside
            the effort that carries its load.
        turn: (nj,) a turn, of which ripple has ``ripple_periods`` [rad or m].
    """

    def __init__(
        self,
        interface: str,
        stiffness: Array,
        damping: Array,
        saturation: Array,
        nsim: int,
        brake: tuple[Array, Array],
        turn: npt.ArrayLike = 2.0 * math.pi,
    ) -> None:
        self._by_position = interface == 'position'
        self._interface = interface
        self._stiffness = stiffness
        self._damping = damping
        self._brakes = np.array(brake, dtype=float)
        shape = (nsim, len(stiffness))
        self._turn = np.broadcast_to(np.asarray(turn, dtype=float), shape[1:]).copy()
        self._settings = np.zeros(shape, dtype=compiled.SETTINGS)
        self.parameters = {name: self._settings[name] for name in compiled.PARAMETERS}
        for name, neutral in {**ACTUATOR, 'saturation': saturation}.items():
            self.parameters[name][:] = neutral
        blocks = -(-nsim * shape[1] // compiled.LANES)
        self._drives = np.zeros((blocks, compiled.FIELDS, compiled.LANES))
        self._place = np.arange(nsim * shape[1]).reshape(shape)
        self._command = np.zeros(shape)
        self._history = History(shape)  # of the command
        self._position = np.zeros(shape)
        self.measured = np.zeros((3, *shape))
        self._unloaded = np.zeros(shape)
        self._applied = np.zeros(shape)
        self._features = [False] * 5  # see compiled.prepare

    def update(self, step_length: Array) -> None:
        """Take over changed parameters.

        Args:
            step_length: (nsim, 1) length of a physics step [s].
        """
        stiffness, damping = self._stiffness, self._damping
        gains = {
            'position': (stiffness, damping),
            'velocity': (damping, damping),
            'effort': (np.ones_like(damping), np.zeros_like(damping)),
        }[self._interface]
        latest, *self._features = compiled.prepare(
            self._settings,
            np.array(gains),
            self._brakes,
            self._turn,
            self._by_position,
            step_length[:, 0].copy(),
            self._command,
            self._position,
            self._applied,
            self._drives,
            self.measured[0],
        )
        self._history.reach(latest)

    def _put(self, field: int, rows: Rows | slice, values: npt.ArrayLike) -> None:
        """Write a field of the drives of some simulations."""
        block, lane = np.divmod(self._place[rows], compiled.LANES)
        self._drives[block, field, lane] = values

    def reset(self, rows: Rows, position: Array, velocity: Array) -> None:
        """Forget the past of some simulations.

        The position loop is commanded to stay here; brakes hold.

        Args:
            rows: which simulations.
            position: (n, nj) of their joints.
            velocity: (n, nj).
        """
        self._position[rows] = position
        self.measured[0, rows] = position + self.parameters['position_offset'][rows]
        self.measured[1, rows] = velocity
        self.measured[2, rows] = 0.0
        self._put(compiled.PLAY, rows, position)
        self._applied[rows] = 0.0
        self._put(compiled.WORK, rows, 0.0)
        self.settle(rows, self._stay(rows))

    def settle(self, rows: Rows, values: Array) -> None:
        """Set the command (n, nj) of some simulations, as if it had been this one forever."""
        self._command[rows] = values
        self._history.fill(rows, values)
        self._put(compiled.LAGGED, rows, values)
        self._put(compiled.SWUNG, rows, values)
        self._put(compiled.RATE, rows, 0.0)

    def command(self, rows: Rows | slice, values: Array) -> None:
        """Set the command (n, nj) of some simulations."""
        self._command[rows] = values

    def _stay(self, rows: Rows | slice) -> Array:
        """The command (n, nj) to stay where the joints are measured."""
        here = self.measured[0, rows]
        if self._by_position:
            return here
        self._put(compiled.STAND, rows, here)
        return np.full_like(here, NO_COMMAND)

    def hold(self, load: Callable[[], Array]) -> None:
        """Hold the joints where they are measured, until the next command.

        Args:
            load: gives the effort (nsim, nj) that carries the joints at rest. The position loop
                is commanded as far ahead as it needs for that.
        """
        self._command[:] = self._stay(slice(None))
        if self._by_position:
            flat = self._command.reshape(-1)
            compiled.lean(self._drives, self.measured[0].reshape(-1), load().reshape(-1), flat)

    @property
    def commanded(self) -> Array:
        """The command in force (nsim, nj), zero where a brake holds."""
        return np.where(np.isnan(self._command), 0.0, self._command)

    def measure(self, position: Array, velocity: Array) -> None:
        """Measure the joints after a step; see ``measured``.

        Args:
            position: (nsim, nj) true; kept.
            velocity: (nsim, nj) true.
        """
        self._position = position
        self._run(True, position, velocity, False, self._unloaded)

    def drive(self, load: Callable[[], Array]) -> Array:
        """Effort (nsim, nj) on the joints in the next step, from what was measured last.

        It is overwritten by the next one.

        Args:
            load: gives the effort (nsim, nj) that carries the joints; asked where brakes hold.
        """
        self._run(False, self._unloaded, self._unloaded, True, self._push(load))
        return self._applied

    def measure_and_drive(
        self, position: Array, velocity: Array, load: Callable[[], Array]
    ) -> Array:
        """Both at once, which is faster: memory is what takes time."""
        self._position = position
        self._run(True, position, velocity, True, self._push(load))
        return self._applied

    def _push(self, load: Callable[[], Array]) -> Array:
        """Send the command on its way; the load for brakes, where some may hold."""
        self._history.next()[:] = self._command
        brakes = not self._by_position and math.isnan(self._history.samples.sum())
        return load() if brakes else self._unloaded

    def _run(
        self, measuring: bool, position: Array, velocity: Array, driving: bool, load: Array
    ) -> None:
        samples, size = self._history.samples, self._command.size
        lags, swings, fades, loose, soft = self._features
        compiled.run(
            self._drives,
            measuring,
            position.reshape(-1),
            velocity.reshape(-1),
            driving,
            samples.reshape(len(samples), size),
            self._history.head,
            load.reshape(-1),
            self._by_position,
            not self._by_position,
            lags,
            swings,
            fades,
            loose,
            soft,
            self.measured.reshape(3, size),
            self._applied.reshape(-1),
        )

    def faultless(self) -> Array:
        """The command (nsim, nj) that makes a drive without flaws move as this one does.

        For who stands between a policy and a drive and can change nothing but commands; the
        drive takes them for one step. Delay, lags and dead zone act on any command, play and
        offset of the encoder on that of a position loop. A drive commanded by effort has no loop:
        all else that makes an effort from a command acts, too.
        """
        if self._interface == 'effort':
            return self.drive(lambda: self._unloaded)
        self._history.next()[:] = self._command
        samples, out = self._history.samples, np.empty_like(self._command)
        compiled.tell(
            self._drives,
            samples.reshape(len(samples), out.size),
            self._history.head,
            self._position.reshape(-1),
            self.measured[0].reshape(-1),
            self._by_position,
            out.reshape(-1),
        )
        return out
