"""Keeps a robot in a world: through the end of gzserver, deletions by hand and draws."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sim2real_core.errors import InputError, MissingError, Sim2RealError
from sim2real_core.profile import RobotProfile
from sim2real_sim import sdf
from sim2real_sim.config import GazeboConfig
from sim2real_sim.gazebo_classic.drives import Drives
from sim2real_sim.gazebo_classic.introspection import Step
from sim2real_sim.gazebo_classic.reader import RobotReader
from sim2real_sim.gazebo_classic.server import Server
from sim2real_sim.gazebo_classic.world import ClassicWorld
from sim2real_sim.world import Pose, WorldError

Array = npt.NDArray[np.float64]


@dataclass
class Place:
    """Where a robot comes from.

    Attributes:
        pose: where it stands.
        spawn: put it there; else the world's own file brings it.
    """

    pose: Pose = field(default_factory=Pose)
    spawn: bool = True

    @classmethod
    def of(cls, config: GazeboConfig) -> Place:
        """As the bridge's parameters say."""
        turn = 0.5 * config.yaw
        upright = (0.0, 0.0, math.sin(turn), math.cos(turn))
        return cls(Pose((config.x, config.y, config.z), upright), config.spawn)


class Keeper:
    """A robot in a world that may end, lose it or rest.

    :meth:`check` is called again and again and mends what it finds: it connects, starts a
    gzserver of our own anew, puts the robot back and applies the last draw again, so that no
    world is nominal without being said so. One thread calls everything but :meth:`command`.

    Attributes:
        name: of the robot's model.
        drives: the robot's.
        reader: reads it.
        trouble: why the world is not as it should be, or ``''``.
        held: simulated time stands still as it was asked to.
        values: what was applied last, to be applied again.
        outcomes: of that.
        place: where the robot comes from.
        beside: puts into a world what belongs beside the robot.

    Args:
        profile: the robot.
        connect: connects to a gzserver.
        listener: called with each physics step, in a thread of the transport.
        place: where the robot comes from.
        server: a gzserver of our own, started here.
        pace: simulated seconds a second, at most; as the world says when 0.
        patience: seconds without a word after which the world counts as stuck.
    """

    def __init__(
        self,
        profile: RobotProfile,
        connect: Callable[[], ClassicWorld],
        listener: Callable[[Step], None],
        place: Place,
        server: Server | None = None,
        pace: float = 0.0,
        patience: float = 2.0,
    ) -> None:
        self.drives = Drives(profile)
        self.reader = RobotReader(profile, self.drives)
        self.trouble = 'not connected yet'
        self.held = False
        self.values: dict[str, float] = {}
        self.outcomes: dict[str, str] = {}
        self.beside: Callable[[ClassicWorld], None] | None = None
        self._profile = profile
        self.name = profile.name
        self._connect = connect
        self._listener = listener
        self.place = place
        self._server = server
        self._pace = pace
        self._patience = patience
        self._world: ClassicWorld | None = None
        self._away = False  # it was deleted through us
        self._owes = False  # time rests because of us, and is to go on
        self._whole = False  # the robot is in the world as it was drawn last
        self._busy = threading.Lock()  # the robot is being put or changed: commands wait

    @property
    def world(self) -> ClassicWorld:
        """The world.

        Raises:
            WorldError: there is none now, or it is stuck.
        """
        if self._world is None:
            raise WorldError(self.trouble)
        silence = self._world.silence()
        if silence > self._patience:
            allowed = f'{self._patience:g} s are allowed'
            raise WorldError(f'gzserver has said nothing for {silence:.0f} s, {allowed}')
        return self._world

    def troubles(self) -> list[str]:
        """Why addresses of the last draw failed, one line each."""
        return [] if self._world is None else self._world.troubles

    def respawned(self) -> str:
        """Why the last draw had the robot spawned anew, or ``''``."""
        return '' if self._world is None else self._world.respawned

    def resting(self) -> bool:
        """Whether simulated time stands still, asked to or not."""
        return self._world is not None and not self._world.lost and self._world.paused()

    def check(self) -> list[str]:
        """Look after the world; gives what was found wrong or mended, in words.

        Raises:
            InputError: the server's arguments.
            MissingError: no Gazebo is installed.
        """
        notes = []
        try:
            if self._world is not None and self._world.lost:
                self._world.close()
                self._world, self._whole, self._owes = None, False, False
                self.trouble = 'gzserver ended: connecting to the next one'
                notes.append(self.trouble)
            if self._world is None:
                self._restart(notes)
                self._world = self._connect()
                self._populate()
                notes.append(f'{self.name} is in {self._world.version}')
            elif not self._away and not (self._whole and self.name in self.world.models()):
                self._populate()
                notes.append(f'model {self.name} was not in the world as drawn: put there again')
            elif self._owes:
                with self.still():
                    notes.append('simulated time goes on')
        except (InputError, MissingError):
            raise  # no other try mends it
        except Sim2RealError as error:
            if str(error) != self.trouble:
                notes.append(str(error))
            self.trouble = str(error)
            return notes
        self.trouble = ''
        return notes

    def command(self, values: Array) -> None:
        """Command the robot; while it is being put or changed, as soon as that is done.

        Raises:
            WorldError: the world does not take it.
        """
        self.drives.command(values)
        self._pass_on()

    def hold(self) -> None:
        """Have the robot stay where it is.

        Raises:
            WorldError: as :meth:`command`.
        """
        position = self.reader.true().position[0]
        if np.isfinite(position).all():
            self.drives.hold(position)
            self._pass_on()

    def apply(self, values: Mapping[str, float]) -> dict[str, str]:
        """Apply a draw; see :meth:`sim2real_sim.world.World.apply`.

        It is applied again when the robot has to be put back.

        Raises:
            InputError: a value that cannot be; nothing was applied.
            WorldError: there is no world.
        """
        with self.still() as world:
            self.outcomes = self._apply(world, values)
            self.values = dict(values)
            self._settle(world)
        return self.outcomes

    def read_back(self, address: str) -> float:
        """The value that the engine says it has; NaN where it cannot be asked."""
        if self.reader.sensors.has(address):
            return self.reader.sensors.value(address)
        with contextlib.suppress(Sim2RealError):
            value = self.world.get(self.name, address)
            return math.nan if value is None else value
        return math.nan

    def reset(self, world_time: bool = True) -> None:
        """Robot to its default pose, with the world and its time back at the start if asked to.

        Raises:
            WorldError: it was not done.
        """
        with self.still() as world:
            if world_time:
                world.reset()
            self._stand(world)

    def spawn(self, model: str, text: str, pose: Pose) -> None:
        """Put a model into the world; under the robot's name it is the robot.

        Raises:
            InputError: not SDF of a model.
            WorldError: it was not done.
        """
        with self.still() as world:
            world.spawn(model, text, pose)
            if model == self.name:
                self._settle(world)
                self._away, self._whole = False, True

    def delete(self, model: str) -> None:
        """Take a model out of the world; the robot too, which then is not put back.

        Raises:
            WorldError: it was not done.
        """
        with self.still() as world:
            self._away = self._away or model == self.name
            world.delete(model)

    def pause(self, paused: bool) -> None:
        """Stop simulated time, or let it run.

        Raises:
            WorldError: it does not.
        """
        self.world.pause(paused)
        self.held, self._owes = paused, False

    def step(self, steps: int) -> None:
        """Take physics steps while time stands still.

        Raises:
            WorldError: they were not all taken.
        """
        self.world.step(steps)

    def close(self) -> None:
        """Let go of the world; a gzserver of our own ends."""
        if self._world is not None:
            self._world.close()
        if self._server is not None:
            self._server.stop()

    def _restart(self, notes: list[str]) -> None:
        server = self._server
        if server is not None and (server.process is None or server.process.poll() is not None):
            server.stop()  # what was started beside it
            server.start()
            notes.append('gzserver is started')

    def _populate(self) -> None:
        """Have the robot in the world as it was drawn last, in its default pose."""
        self._whole = False
        with self.still() as world:
            if self.place.spawn:
                world.spawn(self.name, sdf.from_profile(self._profile), self.place.pose)
            elif self.name not in world.models():
                raise WorldError(f'no model {self.name} in the world')
            if self.beside is not None:
                self.beside(world)
            self._stand(world)
            if self.values:
                self.outcomes = self._apply(world, self.values)
                self._settle(world)
        self._whole = True

    def _apply(self, world: ClassicWorld, values: Mapping[str, float]) -> dict[str, str]:
        """Apply a draw: what joints' sensors do is ours, the rest the world's."""
        sensors = self.reader.sensors
        own = {a: v for a, v in values.items() if sensors.has(a)}
        sensors.check(own)
        rest = {a: v for a, v in values.items() if a not in own}
        outcomes = {**world.apply(self.name, rest), **dict.fromkeys(own, 'verified')}
        sensors.apply(own)
        return {address: outcomes[address] for address in values}

    def _stand(self, world: ClassicWorld) -> None:
        """Put the robot into its default pose, at rest and held there."""
        position = self._profile.array('default_position')
        pose = self.place.pose if self.place.spawn else world.state(self.name).pose
        world.restore(self.name, self.reader.at(position, pose))
        self.drives.hold(position)
        self._settle(world)

    def _settle(self, world: ClassicWorld) -> None:
        """Have the robot driven and listened to, after it was put or changed."""
        self.drives.limit(self.values)
        x, y, z = (world.get(self.name, f'world.gravity.{axis}') for axis in 'xyz')
        if x is not None and y is not None and z is not None:
            self.reader.gravity = (x, y, z)
        if self._pace:
            world.pace(self._pace)  # a draw may have changed the length of a step
        world.follow(self.name, self._listener)
        world.drive(self.name, self.drives.loops())
        world.set_effort(self.name, self.drives.efforts())

    def _pass_on(self) -> None:
        if self._world is None or not self._busy.acquire(blocking=False):
            return  # it goes out when the robot is there again
        try:
            self._world.drive(self.name, self.drives.loops(), confirmed=False)
            self._world.set_effort(self.name, self.drives.efforts(), confirmed=False)
        finally:
            self._busy.release()

    @contextlib.contextmanager
    def still(self) -> Iterator[ClassicWorld]:
        """Simulated time at rest, commands waiting; it goes on afterwards if it did before.

        What a stuck gzserver was asked for it may do later: after a failure the robot counts as
        not there as it was drawn.
        """
        with self._busy:
            world = self.world
            try:
                if not world.paused():
                    self._owes = True
                    world.pause(True)
                yield world
            except WorldError:
                self._whole = False
                raise
            finally:
                if self._owes and not (self.held or world.lost):
                    world.pause(False)
                    self._owes = False
