"""The simulator node's services: std_srvs always, simulation_interfaces where they exist."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from std_srvs.srv import SetBool, Trigger

from sim2real_core.errors import Sim2RealError


class Control(Protocol):
    """What the services do."""

    @property
    def paused(self) -> bool:
        """Whether simulated time stands still."""
        ...

    def reset_world(self, time: bool = True, state: bool = True) -> None:
        """Simulated time to zero, the robot to its default pose, or both."""
        ...

    def pause(self, paused: bool) -> str:
        """Stop simulated time, or let it run; says why that cannot be, or ``''``."""
        ...

    def step_world(self, steps: int) -> str:
        """Take physics steps while paused; says why they were not all taken, or ``''``."""
        ...

    def quit(self) -> None:
        """End the process."""
        ...


def serve(node: Node, control: Control, steps: int, group: CallbackGroup | None = None) -> None:
    """Offer a simulator's services: the standard ones, and simulation_interfaces if installed.

    Args:
        node: the simulator node.
        control: what they do.
        steps: physics steps in a control period.
        group: of their callbacks.
    """
    StandardServices(node, control, steps, group)
    try:
        SimulationInterfaces(node, control, group)
    except ImportError:
        node.get_logger().info('simulation_interfaces is not installed: std_srvs only')


class StandardServices:
    """``~/reset``, ``~/pause`` and ``~/step`` (one control period).

    Args:
        node: the simulator node.
        control: what they do.
        steps: physics steps in a control period.
        group: of their callbacks.
    """

    def __init__(
        self, node: Node, control: Control, steps: int, group: CallbackGroup | None = None
    ) -> None:
        self._control = control
        self._steps = steps
        for kind, name, callback in (
            (Trigger, 'reset', self._on_reset),
            (SetBool, 'pause', self._on_pause),
            (Trigger, 'step', self._on_step),
        ):
            answer = _answering(callback, self._refuse)
            node.create_service(kind, f'~/{name}', answer, callback_group=group)

    @staticmethod
    def _refuse(response: Any, why: str) -> Any:
        response.success, response.message = False, why
        return response

    def _on_reset(self, _: Any, response: Any) -> Any:
        self._control.reset_world()
        response.success, response.message = True, 'at time zero in the default pose'
        return response

    def _on_pause(self, request: Any, response: Any) -> Any:
        trouble = self._control.pause(request.data)
        response.success = not trouble
        response.message = trouble or ('paused' if request.data else 'running')
        return response

    def _on_step(self, _: Any, response: Any) -> Any:
        trouble = 'pause the simulation first'
        if self._control.paused:
            trouble = self._control.step_world(self._steps)
        response.success = not trouble
        response.message = trouble or f'{self._steps} physics steps taken'
        return response


class SimulationInterfaces:
    """The services of ROS 2's simulation_interfaces, with Gazebo's private names.

    Args:
        node: the simulator node.
        control: what they do.
        group: of their callbacks.

    Raises:
        ImportError: simulation_interfaces is not installed.
    """

    def __init__(self, node: Node, control: Control, group: CallbackGroup | None = None) -> None:
        from simulation_interfaces.msg import Result, SimulationState, SimulatorFeatures
        from simulation_interfaces.srv import (
            GetSimulationState,
            GetSimulatorFeatures,
            ResetSimulation,
            SetSimulationState,
            StepSimulation,
        )

        self._control = control
        self._result, self._state, self._features = Result, SimulationState, SimulatorFeatures
        self._reset, self._set = ResetSimulation.Request, SetSimulationState.Response
        self._stopped = False
        for kind, name, callback in (
            (ResetSimulation, 'reset_simulation', self._on_reset),
            (StepSimulation, 'step_simulation', self._on_step),
            (GetSimulationState, 'get_simulation_state', self._on_get_state),
            (SetSimulationState, 'set_simulation_state', self._on_set_state),
            (GetSimulatorFeatures, 'get_simulator_features', self._on_features),
        ):
            answer = _answering(callback, self._refuse)
            node.create_service(kind, f'~/{name}', answer, callback_group=group)

    def _refuse(self, response: Any, why: str) -> Any:
        return self._done(response, self._result.RESULT_OPERATION_FAILED, why)

    def _done(self, response: Any, result: int = -1, message: str = '') -> Any:
        if message and result < 0:
            result = self._result.RESULT_OPERATION_FAILED
        response.result.result = self._result.RESULT_OK if result < 0 else result
        response.result.error_message = message
        return response

    def _on_reset(self, request: Any, response: Any) -> Any:
        scope = request.scope or self._reset.SCOPE_ALL
        self._control.reset_world(
            time=bool(scope & self._reset.SCOPE_TIME),
            state=bool(scope & self._reset.SCOPE_STATE),
        )
        return self._done(response)  # nothing is ever spawned: that scope is always reset

    def _on_step(self, request: Any, response: Any) -> Any:
        if not self._control.paused:
            wrong = self._result.RESULT_INCORRECT_STATE
            return self._done(response, wrong, 'pause the simulation first')
        return self._done(response, message=self._control.step_world(int(request.steps)))

    def _present(self) -> int:
        if not self._control.paused:
            self._stopped = False
            return int(self._state.STATE_PLAYING)
        return int(self._state.STATE_STOPPED if self._stopped else self._state.STATE_PAUSED)

    def _on_get_state(self, _: Any, response: Any) -> Any:
        response.state.state = self._present()
        return self._done(response)

    def _on_set_state(self, request: Any, response: Any) -> Any:
        wanted, state = request.state.state, self._state
        if wanted == self._present():
            return self._done(response, self._set.ALREADY_IN_TARGET_STATE, 'already so')
        if wanted == state.STATE_PLAYING:
            return self._done(response, message=self._control.pause(False))
        if wanted == state.STATE_PAUSED:
            if self._stopped:
                wrong = self._set.INCORRECT_TRANSITION
                return self._done(response, wrong, 'a stopped simulation can be played')
            self._control.pause(True)
        elif wanted == state.STATE_STOPPED:
            self._control.pause(True)
            self._control.reset_world()
            self._stopped = True
        elif wanted == state.STATE_QUITTING:
            self._control.quit()
        else:
            wrong = self._result.RESULT_FEATURE_UNSUPPORTED
            return self._done(response, wrong, f'state {wanted} cannot be set')
        return self._done(response)

    def _on_features(self, _: Any, response: Any) -> Any:
        f = self._features
        response.features.features = [
            f.SIMULATION_RESET,
            f.SIMULATION_RESET_TIME,
            f.SIMULATION_RESET_STATE,
            f.SIMULATION_STATE_GETTING,
            f.SIMULATION_STATE_SETTING,
            f.SIMULATION_STATE_PAUSE,
            f.STEP_SIMULATION_SINGLE,
            f.STEP_SIMULATION_MULTIPLE,
        ]
        response.features.custom_info = 'sim2real, embedded MuJoCo'
        return response


def _answering(
    callback: Callable[[Any, Any], Any], refuse: Callable[[Any, str], Any]
) -> Callable[[Any, Any], Any]:
    """A callback that answers also when what it does fails."""

    def answer(request: Any, response: Any) -> Any:
        try:
            return callback(request, response)
        except Sim2RealError as error:
            return refuse(response, str(error))

    return answer
