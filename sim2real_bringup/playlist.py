"""What of a bag to play, and under which names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sim2real_bringup.bags import BagTopic
from sim2real_bringup.catalog import ACTION_APPLIED, CLOCK, JOINT_STATES, NODES, PACE, topic_name
from sim2real_core.errors import Fault, InputError
from sim2real_core.profile import RobotProfile

NEVER = ('rosout', 'parameter_events', 'diagnostics', CLOCK.name, PACE.name)
"""About a run of nodes, not about the robot."""


@dataclass(frozen=True)
class Playlist:
    """Topics of a bag to play.

    Attributes:
        names: topic in the bag to the relative name it is played under.
        sensor: the topic in the bag whose every message the consumers acknowledge.
        recorded_actions: the topic in the bag that says what a policy sent then, or ``''``.
    """

    names: Mapping[str, str]
    sensor: str
    recorded_actions: str


def playlist(
    topics: Mapping[str, BagTopic],
    profile: RobotProfile,
    consumers: Iterable[str],
    namespace: str = '',
) -> Playlist:
    """Choose what to play.

    Everything recorded in the robot's namespace, except what the consumers themselves publish.

    Args:
        topics: of the bag.
        profile: the robot.
        consumers: nodes the bag is played through.
        namespace: that the bag was recorded under, ``/`` for none; found by the joint states when
            empty.

    Raises:
        InputError: no joint states, or those of several robots.
    """
    states = topic_name(JOINT_STATES, profile)
    candidates = [
        name
        for name, topic in topics.items()
        if name.strip('/') == states or name.endswith(f'/{states}')
        if topic.type == JOINT_STATES.type and topic.messages
    ]
    if namespace:
        named = f'{namespace}/{states}'.strip('/')
        candidates = [name for name in candidates if name.strip('/') == named]
    if len(candidates) != 1:
        has = ', '.join(f'{t.name} ({t.type}, {t.messages})' for t in topics.values()) or 'nothing'
        mend = f'must hold {states} ({JOINT_STATES.type}) of {profile.name}; it has: {has}'
        if candidates:
            mend = f'give bag_namespace, / for none; it has: {", ".join(sorted(candidates))}'
        raise InputError(Fault('bag', namespace or states, mend))
    prefix = candidates[0][: -len(states)]
    said = {topic_name(topic, profile) for node in consumers for topic in NODES[node].publishes}
    names = {}
    for name in topics:
        relative = name[len(prefix) :] if name.startswith(prefix) else ''
        if relative and relative not in said and relative.split('/')[-1] not in NEVER:
            names[name] = relative
    actions = f'{prefix}{ACTION_APPLIED.name}'
    return Playlist(names, candidates[0], actions if actions in topics else '')
