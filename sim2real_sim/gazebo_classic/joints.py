"""Joint commands: constant efforts and the engine's own position loops."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from sim2real_sim.gazebo_classic.ignition import Ignition, full_name
from sim2real_sim.gazebo_classic.messages import Messages
from sim2real_sim.gazebo_classic.waiting import until
from sim2real_sim.world import WorldError

COMMAND = 'ignition.msgs.JointCmd'


class Drive(NamedTuple):
    """A loop in the engine: ``stiffness (target - q) + damping (speed - dq/dt)`` every step.

    Attributes:
        stiffness: [N*m/rad or N/m].
        damping: [N*m*s/rad or N*s/m].
        target: [rad or m].
        speed: [rad/s or m/s].
    """

    stiffness: float
    damping: float
    target: float
    speed: float = 0.0


class JointCommands:
    """Commands to the joints of a Gazebo, confirmed by asking the engine for them.

    Args:
        ignition: the transport.
        messages: Gazebo's message classes.
        partition: that of the Gazebo.
        timeout: deadline of every wait [s].
    """

    def __init__(
        self, ignition: Ignition, messages: Messages, partition: str, timeout: float
    ) -> None:
        self._ignition = ignition
        self._messages = messages
        self._partition = partition
        self._timeout = timeout

    def effort(self, model: str, efforts: Mapping[str, float], confirmed: bool = True) -> None:
        """Drive joints with constant efforts [N*m or N].

        Args:
            model: whose joints.
            efforts: by joint.
            confirmed: return when the engine has them, else at once.

        Raises:
            WorldError: the model has no such joint, or the engine did not take it.
        """
        commands = []
        for joint, effort in efforts.items():
            command = self._command(model, joint)
            command.force_optional.data = effort
            commands.append(command)
        self._send(model, commands, confirmed)

    def drive(self, model: str, drives: Mapping[str, Drive], confirmed: bool = True) -> None:
        """Drive joints by position or velocity loops.

        The damping acts on the velocity alone, so that a new target gives no kick: Gazebo's
        position loop would differentiate the error.

        Args:
            model: whose joints.
            drives: by joint.
            confirmed: return when the engine has them, else at once.

        Raises:
            WorldError: the model has no such joint, or the engine did not take it.
        """
        commands = []
        for joint, drive in drives.items():
            command = self._command(model, joint)
            for loop, gain, target in (
                (command.position, drive.stiffness, drive.target),
                (command.velocity, drive.damping, drive.speed),
            ):
                loop.target_optional.data = target
                loop.p_gain_optional.data = gain
                loop.i_gain_optional.data = 0.0
                loop.d_gain_optional.data = 0.0
            commands.append(command)
        self._send(model, commands, confirmed)

    def release(self, model: str, joints: Mapping[str, Any]) -> None:
        """Take all commands back from joints."""
        commands = []
        for joint in joints:
            command = self._command(model, joint)
            command.reset = True
            commands.append(command)
        self._send(model, commands)

    def _command(self, model: str, joint: str) -> Any:
        return self._messages.type(COMMAND)(name=f'{model}::{joint}')

    def _send(self, model: str, commands: list[Any], confirmed: bool = True) -> None:
        """Send commands; returns when the engine has the last of them, hence all, or at once."""
        if not commands:
            return
        topic = full_name(self._partition, f'/{model}/joint_cmd')
        if not self._ignition.listened(topic):
            self._ignition.advertise(topic, COMMAND)
            self._ignition.wait(
                lambda: self._ignition.listened(topic),
                f'model {model!r} that takes joint commands',
            )
        for command in commands:
            self._ignition.publish(topic, command)
        if not confirmed:
            return
        last = commands[-1]
        until(
            lambda: _has(self._ask(model, last.name), last),
            f'command in joint {last.name}',
            self._timeout,
        )

    def _ask(self, model: str, name: str) -> Any:
        """The command that a joint has; empty when there is no such joint."""
        request = self._messages.type('ignition.msgs.StringMsg')(data=name)
        service = full_name(self._partition, f'/{model}/joint_cmd_req')
        return self._ignition.request(service, request, COMMAND)


def _has(present: Any, wanted: Any) -> bool:
    """Whether a joint has a command.

    Raises:
        WorldError: there is no such joint.
    """
    if present.name != wanted.name:
        raise WorldError(f'Gazebo has no joint {wanted.name!r}')
    if wanted.reset:
        loops = present.position, present.velocity
        driven = any(loop.HasField('target_optional') for loop in loops)
        return not (driven or present.HasField('force_optional'))
    return covers(present, wanted)


def covers(present: Any, wanted: Any) -> bool:
    """Whether every field that is set in one message has the same value in another."""
    return all(
        covers(getattr(present, field.name), value)
        if field.message_type
        else getattr(present, field.name) == value
        for field, value in wanted.ListFields()
    )
