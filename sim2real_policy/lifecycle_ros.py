"""A lifecycle node that outlives wrong requests, and leaves nothing behind."""

from __future__ import annotations

from typing import Any

from lifecycle_msgs.srv import ChangeState
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode


class ManagedNode(LifecycleNode):
    """rclpy's lifecycle node without what its versions in Humble and Jazzy lack.

    There, a request for a transition that the present state does not have (one that was asked
    for twice, say) leaves the executor as an exception, which ends the process.
    """

    def __init__(self, name: str, **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        served = next(service for service in self.services if service.srv_type is ChangeState)
        self._change = served.callback
        served.callback = self._on_change

    def _on_change(self, request: Any, response: Any) -> Any:
        try:
            return self._change(request, response)
        except rclpy_implementation.RCLError as error:
            asked = request.transition.label or request.transition.id
            self.get_logger().error(f'transition {asked} refused: {error}')
            response.success = False
            return response

    def destroy_node(self) -> None:
        """Destroy the state machine too, which rclpy leaves to the garbage collector."""
        self._state_machine.destroy_when_not_in_use()
        super().destroy_node()
