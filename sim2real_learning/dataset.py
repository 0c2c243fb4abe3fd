"""A data set of failures: cases from clips, told apart, labelled and versioned.

A version is never changed. A later one names those it came from, holds their cases and the new
ones, and is identified by its content alone: the same clips, labels and bundle give the same
hash wherever and whenever. See ``dataset_lerobot.py`` for how it lies on disk.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from sim2real_capture.catalogue import LABELS, severity
from sim2real_capture.clip import MANIFEST
from sim2real_capture.library import bag_name, clip_info
from sim2real_core.errors import Fault, InputError
from sim2real_core.profile import RobotProfile
from sim2real_learning.clips import Clip, known_of, read_clip
from sim2real_learning.clips_episodes import Derived, Episode, derive
from sim2real_learning.dataset_similarity import SIMILAR, nearest, signature
from sim2real_learning.network import Network
from sim2real_policy.bundle import Bundle, BundleMetadata
from sim2real_policy.images import ImageInput

SCHEMA = 1
LEFT_OUT = ('false alarm', 'duplicate')
Tell = Callable[[float, str], None]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One clip of a data set.

    Attributes:
        clip: its id.
        sha256: of its MCAP file.
        created: when, UTC, ISO 8601.
        bundle: content hash of the policy that ran.
        label: what a person said of it, one of ``catalogue.LABELS``.
        detectors: what raised the alarm.
        detail: what the first event says, e.g. the joints.
        severity: largest score over its threshold; 1 where there is none, as an operator's.
        failed: stamp of the first event [ns].
        estimate: what was known of the robot: ``{address: {mean, std, status}}``.
        episodes: its frames.
    """

    clip: str
    sha256: str
    created: str
    bundle: str
    label: str
    detectors: tuple[str, ...]
    detail: str
    severity: float
    failed: int
    estimate: Mapping[str, Any] = field(default_factory=dict)
    episodes: tuple[Episode, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """One version.

    Attributes:
        robot: name of its profile.
        period: time between frames [s].
        observation: (d,) labels of the observation's elements.
        action: (na,) names of the action's elements.
        command: (nc,) names of the command's elements.
        task: what the policy was to do, in words.
        memory: (m,) names of what a recurrent network remembers.
        images: what the network sees beside the observation, and how.
        cases: in order of their clips' ids.
        parents: content hashes of the versions it came from.
        repeats: ids of clips that were left out because they repeat a case, in order; no part of
            the content.
    """

    robot: str
    period: float
    observation: tuple[str, ...]
    action: tuple[str, ...]
    command: tuple[str, ...]
    task: str
    memory: tuple[str, ...] = ()
    images: tuple[ImageInput, ...] = ()
    cases: tuple[Case, ...] = ()
    parents: tuple[str, ...] = ()
    repeats: tuple[str, ...] = ()

    @property
    def frames(self) -> int:
        """How many, in all cases."""
        return sum(len(e.stamp) for case in self.cases for e in case.episodes)

    @property
    def content_hash(self) -> str:
        """SHA-256 of all that a training could see, and where it came from."""
        digest = hashlib.sha256()
        head = [SCHEMA, self.robot, self.period, self.observation, self.action, self.command]
        digest.update(json.dumps([*head, self.task]).encode())
        if self.memory or self.images:
            more = [self.memory, [asdict(image) for image in self.images]]
            digest.update(json.dumps(more).encode())
        for case in self.cases:
            digest.update(json.dumps([case.clip, case.sha256, case.bundle, case.label]).encode())
            for episode in case.episodes:
                for values in (
                    episode.stamp,
                    episode.observation,
                    episode.action,
                    episode.command,
                    episode.memory,
                ):
                    digest.update(np.ascontiguousarray(values).tobytes())
                for image in self.images:
                    digest.update(episode.images[image.name].sha256.encode())
        return digest.hexdigest()


@dataclass(frozen=True)
class Fate:
    """What became of one clip.

    Attributes:
        clip: its id.
        kept: whether it is in the data set.
        reason: why not, or what was lost of it.
        frames: in the data set.
    """

    clip: str
    kept: bool
    reason: str
    frames: int = 0


def describe(bundle: Bundle, profile: RobotProfile, task: str = '') -> Dataset:
    """An empty data set of what a bundle sees and does.

    Args:
        bundle: the policy.
        profile: its robot.
        task: in words; made from the bundle's goal when empty.
    """
    meta = bundle.meta
    words = {'tool_position': 'bring the tool to the goal', 'none': 'run the policy'}
    return Dataset(
        robot=profile.name,
        period=meta.control_period,
        observation=meta.observation.labels,
        action=meta.command_names,
        command=profile.command_names,
        task=task or words.get(meta.goal.kind, meta.goal.kind),
        memory=memory_names(meta),
        images=meta.images,
    )


def memory_names(meta: BundleMetadata) -> tuple[str, ...]:
    """Names of what a recurrent network remembers, e.g. ``h[0]``; none of any other."""
    return tuple(f'{s.input}[{k}]' for s in meta.state for k in range(math.prod(s.shape)))


def ingest(
    base: Dataset,
    folders: Sequence[Path],
    profile: RobotProfile,
    policies: Iterable[Network],
    labels: Mapping[str, str],
    *,
    similar: float = SIMILAR,
    confirmed: bool = False,
    tell: Tell = lambda share, what: None,
) -> tuple[Dataset, list[Fate]]:
    """A version with more clips.

    Args:
        base: the version before, or an empty one (see :func:`describe`).
        folders: of the clips.
        profile: of the robot that recorded them.
        policies: that ran; each clip is read with the one it names.
        labels: clip to label, as far as there are any; they hold for the base's clips too.
        similar: clips nearer to another one than this are left out (see ``signature``).
        confirmed: take only what a person called a real failure.
        tell: told how much is done (0 to 1), and of which clip.

    Returns:
        The version (its parent is the base, unless that is empty), and what became of every clip.

    Raises:
        InputError: labels that there are not, or policies that see something else than the base.
    """
    by_hash = {policy.bundle.content_hash: policy for policy in policies}
    for policy in by_hash.values():
        _check(base, policy.bundle.meta)
    wrong = {clip: label for clip, label in labels.items() if label not in LABELS}
    if wrong:
        raise InputError(
            Fault('labels', wrong, f'must be one of {", ".join(filter(None, LABELS))}')
        )
    cases: list[Case] = []
    fates: list[Fate] = []
    repeats = set(base.repeats)
    for case in base.cases:
        label = labels.get(case.clip, case.label)
        refused = _refused(label, confirmed)
        if refused:
            fates.append(Fate(case.clip, False, refused))
            repeats.clear()  # which of them repeat this one is not known: the next look tells
        else:
            cases.append(replace(case, label=label))
    known = {case.sha256: case.clip for case in cases}
    for number, folder in enumerate(folders):
        tell(number / len(folders), folder.name)
        info = clip_info(folder)
        label = labels.get(info.clip, '')
        refused = _refused(label, confirmed)
        if refused:
            fates.append(Fate(info.clip, False, refused))
        elif info.sha256 and info.sha256 in known:
            fates.append(Fate(info.clip, False, f'is in it already, as {known[info.sha256]}'))
            repeats.add(info.clip)
        elif info.clip in known.values():
            why = f'another clip of this name, with other messages, is in it ({folder})'
            fates.append(Fate(info.clip, False, why))
        else:
            made, fate = _case(folder, profile, by_hash, label)
            fates.append(fate)
            if made is not None:
                cases.append(made)
                known[made.sha256] = made.clip
    kept, copies = _told_apart(cases, {case.clip for case in base.cases}, similar)
    fates = [copies.get(fate.clip, fate) if fate.kept else fate for fate in fates]
    tell(1.0, '')
    parents = (base.content_hash,) if base.cases else ()
    repeats = (repeats | set(copies)) - {case.clip for case in kept}
    whole = replace(base, cases=tuple(kept), parents=parents, repeats=tuple(sorted(repeats)))
    return whole, fates


def _check(base: Dataset, meta: BundleMetadata) -> None:
    faults = [
        Fault(
            f'bundle.{name}',
            ours,
            f'the data set has {theirs}: give what fits it, or begin another one',
        )
        for name, ours, theirs in (
            ('robot', meta.robot, base.robot),
            ('observation', meta.observation.labels, base.observation),
            ('command_names', meta.command_names, base.action),
            ('control_period', meta.control_period, base.period),
            ('images', meta.images, base.images),
            ('state', memory_names(meta), base.memory),
        )
        if ours != theirs
    ]
    if faults:
        raise InputError(*faults)


def _refused(label: str, confirmed: bool) -> str:
    if label in LEFT_OUT:
        return f'labelled {label}'
    return 'not labelled a real failure' if confirmed and label != 'real failure' else ''


def _case(
    folder: Path, profile: RobotProfile, policies: Mapping[str, Network], label: str
) -> tuple[Case | None, Fate]:
    """Read one clip; whatever is wrong with it is told, and the others go on."""
    try:
        clip = read_clip(folder, profile)
        world = known_of(clip.manifest, folder / MANIFEST)
        policy = _policy_of(clip, policies)
        derived = derive(clip, profile, policy)
    except InputError as error:
        why = '; '.join(f'{fault.field}: {fault.mend}' for fault in error.faults)
        return None, Fate(folder.name, False, why)
    frames = sum(len(episode.stamp) for episode in derived.episodes)
    lost = _lost(derived, int(clip.states.stamp[0])) if len(clip.states.stamp) else ''
    if not frames:
        return None, Fate(clip.name, False, f'no frame is left: {lost or "no command in it"}')
    events = clip.manifest['events']
    worst = severity(events)
    case = Case(
        clip=clip.name,
        sha256=str(clip.manifest['files'][bag_name(clip.name)]['sha256']),
        created=str(clip.manifest['created']),
        bundle=policy.bundle.content_hash,
        label=label,
        detectors=tuple(dict.fromkeys(str(event['detector']) for event in events)),
        detail=str(clip.event.get('detail', '')),
        severity=1.0 if worst is None else worst,
        failed=round(float(clip.event.get('stamp', 0.0)) * 1e9),
        estimate=world.estimate,
        episodes=derived.episodes,
    )
    return case, Fate(clip.name, True, lost, frames)


def _policy_of(clip: Clip, policies: Mapping[str, Network]) -> Network:
    """The policy that a clip names; the only one, where the clip could not hear its name."""
    ran = str(clip.manifest.get('bundle', ''))
    if ran in policies:
        return policies[ran]
    if not ran and len(policies) == 1:
        return next(iter(policies.values()))
    mend = f'ran another policy ({ran[:12] or "not said"}): give its bundle'
    raise InputError(Fault('clip.bundle', ran, mend, str(clip.folder)))


def _lost(derived: Derived, begin: int) -> str:
    """What is not in the data set, and from when a memory is known; times since ``begin`` [ns]."""
    parts = (
        (derived.unknown, 'show what was before the clip'),
        (derived.disagreeing, 'are not what the policy published'),
        (derived.untold, 'do not tell what was seen or remembered then'),
        (derived.lonely, 'stand alone'),
    )
    words = [f'{count} of {derived.frames} frames {why}' for count, why in parts if count]
    if derived.frames and not derived.published:
        words.append('no published observations to compare with')
    if derived.settled is not None:
        words.append(f'its memory is known from {(derived.settled - begin) * 1e-9:.3f} s on')
        if derived.exact is None:
            words.append('as it does what the robot did: the clip shows no beginning')
        elif derived.exact > derived.settled:
            words.append(
                f'and exact from {(derived.exact - begin) * 1e-9:.3f} s, where it begins anew'
            )
        else:
            words.append('exactly: it begins there')
    return ', '.join(words)


def _told_apart(
    cases: Sequence[Case], before: set[str], similar: float
) -> tuple[list[Case], dict[str, Fate]]:
    """Cases by their clips' ids, without those that repeat another; what was there first stays."""
    order = sorted(cases, key=lambda case: (case.clip not in before, case.created, case.clip))
    copies = {}
    kept: list[Case] = []
    for case, (place, distance) in zip(order, nearest([signature(c) for c in order], similar)):
        if place is None or case.clip in before:
            kept.append(case)
        else:
            why = f'is like {order[place].clip} (distance {distance:.2g})'
            copies[case.clip] = Fate(case.clip, False, why)
    return sorted(kept, key=lambda case: case.clip), copies
