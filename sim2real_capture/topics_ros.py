"""Raw subscriptions to topics whose type and QoS only their publishers know."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from sim2real_capture.conversions import message_class
from sim2real_core.qos import offered_qos

OnMessage = Callable[[str, str, bytes], None]
DEPTH = 1000
"""Joint states and commands that may wait: a second of them on fast robots."""


class RecordedTopics:
    """Subscribes to topics as their publishers appear, in a QoS that hears all of them.

    Args:
        node: the node.
        topics: name, relative or absolute, to what is called with full topic name, type name
            and the serialized message.
        deep: those of them whose messages are small and come often.
        types: those that are read, to the types that can be; publishers of others are not heard.
        on_latched: called with the name of a topic all of whose publishers are transient local.
    """

    def __init__(
        self,
        node: Node,
        topics: Mapping[str, OnMessage],
        on_latched: Callable[[str], None],
        deep: frozenset[str] = frozenset(),
        types: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        self._node = node
        self._on_latched = on_latched
        self._topics = {node.resolve_topic_name(topic): take for topic, take in topics.items()}
        self._deep = {node.resolve_topic_name(topic) for topic in deep}
        self._types = {node.resolve_topic_name(t): kinds for t, kinds in (types or {}).items()}
        self._subscriptions: dict[str, Any] = {}
        self.unheard: dict[str, str] = {}
        """Topic to why none of its messages is recorded, though there are publishers."""

    @property
    def waiting(self) -> list[str]:
        """Topics nobody publishes yet."""
        return [n for n in self._topics if n not in self._subscriptions and n not in self.unheard]

    def discover(self) -> None:
        """Subscribe to what has appeared since; call it now and then."""
        for name, take in self._topics.items():
            wanted, every = self._types.get(name), self._node.get_publishers_info_by_topic(name)
            offers = [o for o in every if wanted is None or o.topic_type in wanted]
            if every and not offers:
                self.unheard[name] = (
                    f'{every[0].topic_type} instead of {" or ".join(wanted or ())}'
                )
            if not offers:
                continue
            offered = [offer.qos_profile for offer in offers]
            qos = offered_qos(offered, DEPTH) if name in self._deep else offered_qos(offered)
            present = self._subscriptions.get(name)
            if present is not None:
                if not _stricter(present.qos_profile, qos):
                    continue
                # A publisher that offers less has come; it would not be heard.
                self._node.destroy_subscription(present)
            kind = offers[0].topic_type
            subscription = subscribe_raw(self._node, name, kind, qos, take)
            if subscription is None:
                self.unheard[name] = f'{kind} is not installed'
                continue
            self._subscriptions[name] = subscription
            self.unheard.pop(name, None)
            if qos.durability == DurabilityPolicy.TRANSIENT_LOCAL:
                self._on_latched(name)


def subscribe_raw(
    node: Node, topic: str, kind: str, qos: QoSProfile, on_message: OnMessage
) -> Any:
    """Subscribe without decoding; None where the message package is not installed."""
    message = message_class(kind)
    if message is None:
        return None
    name = node.resolve_topic_name(topic)
    return node.create_subscription(message, name, partial(on_message, name, kind), qos, raw=True)


def _stricter(one: QoSProfile, other: QoSProfile) -> bool:
    """Whether ``one`` asks for more than ``other``."""
    return (
        one.reliability == ReliabilityPolicy.RELIABLE
        and other.reliability != ReliabilityPolicy.RELIABLE
    ) or (
        one.durability == DurabilityPolicy.TRANSIENT_LOCAL
        and other.durability != DurabilityPolicy.TRANSIENT_LOCAL
    )
