"""Whose an endpoint is, as far as the graph tells.

Endpoints are known as surely as they are connected. Whose they are is told on a way of its own,
which on a busy machine may be later, and may lose what was said last for good. So nobody waits
for a name alone, nor for longer than :data:`NAMED_WITHIN`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from rclpy.topic_endpoint_info import TopicEndpointInfo

NAMED_WITHIN = 10.0  # [s]
_UNNAMED = ('_NODE_NAME_UNKNOWN_', '_CREATED_BY_BARE_DDS_APP_')


def is_named(end: TopicEndpointInfo) -> bool:
    """Whether it is known whose an endpoint is."""
    return end.node_name not in _UNNAMED


def lacking(
    wanted: Iterable[str], ends: Collection[TopicEndpointInfo], guess: bool = False
) -> set[str]:
    """Those of the nodes ``wanted`` that have none of these endpoints of a topic.

    Args:
        wanted: names of nodes.
        ends: publishers or subscriptions.
        guess: take as many endpoints that are not named for those that lack, if there are.
    """
    lack = set(wanted).difference(end.node_name for end in ends)
    unnamed = sum(not is_named(end) for end in ends)
    return set() if guess and unnamed >= len(lack) else lack
