"""What a policy saw and did, frame by frame: its observation code and its network, once more.

Observations are held against those that were published. What is not published, the images a
network saw and what it remembered, is told by what it did: its action shows in the next published
observation where that has ``previous_action``, and in the command that was sent, unless the guard
changed it. So of several images the one is taken that leads to what was done. A memory is known
from a frame on in which the policy began anew (it is zeros then); in a clip that shows no such
frame it is followed from zeros, and known once the policy does ``SURE`` times in a row what the
robot did: most memories forget how they began. A policy that never agrees stays unknown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product

import numpy as np

from sim2real_learning.clips_frames import ATOL, RTOL, Array, Array32, Flags, Frames, Rows, Seeing
from sim2real_learning.clips_images import Camera
from sim2real_learning.network import Memory, Network
from sim2real_policy.action import ActionMap
from sim2real_policy.bundle import BundleMetadata
from sim2real_policy.observation import Assembler

SURE = 10
"""Frames in a row in which the policy must do what the robot did for its memory to be the same."""
ROUNDING = 1e-12
"""Of a command, relative to it."""
MOST = 27
"""Sets of images that are tried for one frame."""


@dataclass(frozen=True)
class Replay:
    """What came of the frames.

    Attributes:
        observation: (n, d) as derived; NaN where what was before the clip shows.
        action: (n, na) within the bundle's ``clip``; NaN where it is not known.
        memory: (n, m) what the network remembered when it saw them, all of it in a row.
        images: (n, cameras) numbers of the images; -1 for none.
        certain: (n,) whether images and memory are those of the robot.
        begun: (n,) whether the memory is known because the policy began anew in the clip.
    """

    observation: Array32
    action: Array32
    memory: Array32
    images: Rows
    certain: Flags
    begun: Flags


def replay(
    frames: Frames,
    network: Network,
    said: Array32 | None,
    seeing: Seeing,
    cameras: Sequence[Camera],
    told: Rows,
) -> Replay:
    """Go through the frames as the policy did.

    Args:
        frames: of the clip.
        network: of the policy that ran.
        said: (n, d) what it published to have seen; None where nothing was.
        seeing: its observation code.
        cameras: one for each of its image inputs.
        told: (na,) places of its commands among the frames'.
    """
    meta = network.bundle.meta
    count, width = len(frames.stamp), len(meta.action.scale)
    observation = np.full((count, meta.observation.size), np.nan, np.float32)
    actions = np.full((count, width), np.nan, np.float32)
    memories = np.full((count, sum(part.size for part in network.fresh())), np.nan, np.float32)
    images = np.full((count, len(cameras)), -1, np.intp)
    recall = _Recall(network, bool(cameras), count)
    evidence = _Evidence(frames, meta, said, seeing, told)
    action = np.full((1, width), np.nan)
    assembler = seeing.assembler()
    for k in range(count):
        now = {name: value[k : k + 1] for name, value in frames.inputs.items()}
        hole, shown = k > 0 and bool(frames.holes[k] > frames.holes[k - 1]), False
        if k == 0:  # what was before is not known
            unknown = {name: np.full_like(value, np.nan) for name, value in now.items()}
            assembler.update({**unknown, 'action': action})
        elif hole:
            assembler.reset()
        seen = assembler.update({**now, 'action': action})[0]
        if said is not None and not np.array_equal(seen, said[k]):
            for begun in _begun(now, width, seeing):
                if np.allclose(begun.values[0], said[k], RTOL, ATOL):
                    assembler, seen, shown = begun, begun.values[0], True
                    break
        observation[k] = seen
        saw = seen if said is None else said[k]
        if not np.isfinite(saw).all():
            continue
        recall.go_on(shown, hole, evidence.follows(k))
        memories[k] = np.concatenate([[], *(part.ravel() for part in recall.memory)])
        found = _best(network, saw, recall.memory, cameras, frames, evidence, k)
        if found is None:  # it had not seen an image yet
            recall.lose()
            continue
        images[k] = found.images
        recall.keep(k, found)
        if found.agrees is False:
            action = np.full((1, width), np.nan)
        elif np.isfinite(found.action).all():  # else the policy stopped and remembers the last
            action = found.action[None]
            actions[k] = found.action
    return Replay(observation, actions, memories, images, recall.certain, recall.begun)


@dataclass(frozen=True)
class _Found:
    """What a frame may have been.

    Attributes:
        images: numbers of the images seen.
        only: there are no others it may have seen.
        action: (na,) that they lead to.
        after: what is remembered then.
        agrees: whether that is what the robot did; None where that cannot be told.
    """

    images: tuple[int, ...]
    only: bool
    action: Array
    after: Memory
    agrees: bool | None


class _Recall:
    """What the network remembers, from when on that is known, and so which frames are.

    A network without a memory remembers nothing, and that is always known.
    """

    def __init__(self, network: Network, images: bool, count: int) -> None:
        self._network = network
        self.memory = network.fresh()
        self._known = self._from_begin = not self.memory
        self._plain = not self.memory and not images
        self._agreed: list[int] = []  # frames in a row that agreed while it was not known
        self.certain = np.zeros(count, bool)
        self.begun = np.zeros(count, bool)

    def go_on(self, shown: bool, hole: bool, follows: bool) -> None:
        """Before a frame.

        Args:
            shown: its observation shows that the policy begins anew.
            hole: joint states are missing before it, so that it should.
            follows: it is the next one after that before it.
        """
        if not self.memory:
            return
        if shown or hole or not follows:
            self.lose()
        if shown or hole:
            self.memory = self._network.fresh()
        if shown:
            self._known = self._from_begin = True

    def lose(self) -> None:
        """It may be another one from here on."""
        if self.memory:
            self._known = self._from_begin = False
            self._agreed.clear()

    def keep(self, k: int, found: _Found) -> None:
        """Take over what a frame is found to have been."""
        self.memory = found.after
        if self._plain:
            self.certain[k] = True
        elif found.agrees is False or not (found.only or found.agrees):
            self.lose()
        elif self._known:
            self.certain[k], self.begun[k] = True, self._from_begin
        elif found.agrees:
            self._agreed.append(k)
            if len(self._agreed) >= SURE:
                self.certain[self._agreed] = True
                self._known = True
                self._agreed.clear()


class _Evidence:
    """What a clip tells of the actions of its frames."""

    def __init__(
        self,
        frames: Frames,
        meta: BundleMetadata,
        said: Array32 | None,
        seeing: Seeing,
        told: Rows,
    ) -> None:
        self._frames, self._said, self._seeing = frames, said, seeing
        self._command = frames.command[:, told]
        self._order = ActionMap(meta.action, seeing.default).order
        self._scale = np.abs(np.array(meta.action.scale))
        self._shown = seeing.columns(frozenset({'action'}))
        apart = np.diff(frames.stamp) * 1e-9
        self._next = np.abs(apart - meta.control_period) < 0.5 * meta.control_period

    def follows(self, k: int) -> bool:
        """Whether a frame is the next one after that before it."""
        return 0 < k <= len(self._next) and bool(self._next[k - 1])

    def judge(self, k: int, action: Array) -> tuple[float, bool | None]:
        """How far an action (na,) is from what the robot did.

        Returns:
            The distance, 1 where it is as much as arithmetic explains; and whether it is the same
            action: None where that cannot be told, as the guard may have changed it.
        """
        if not np.isfinite(action).all():
            return np.inf, None
        order = self._order(action, self._frames.inputs['command'][k])
        # Held against one another as actions: a small scale would hide how far they are apart.
        room = (ATOL + RTOL * np.abs(action)) * self._scale + ROUNDING * np.abs(order)
        off = np.abs(order - self._command[k]) / np.where(room > 0.0, room, ROUNDING)
        far = float(off.max()) if np.isfinite(off).all() else np.inf
        if far <= 1.0 or self._said is None or not self._shown.size or not self.follows(k + 1):
            return far, True if far <= 1.0 else None
        shown = self._said[k + 1, self._shown]
        as_is, none = (self._showing(a) for a in (action, np.zeros_like(action)))
        far = float((np.abs(as_is - shown) / (ATOL + RTOL * np.abs(shown))).max())
        if far <= 1.0:
            return far, True
        # After a new beginning the last action shows as zeros, whatever it was.
        return far, None if np.allclose(none, shown, RTOL, ATOL) else False

    def _showing(self, action: Array) -> Array32:
        """How an action shows in the next observation."""
        return self._seeing.at_once({'action': action[None]}, 1)[0, self._shown]


def _best(
    network: Network,
    saw: Array32,
    memory: Memory,
    cameras: Sequence[Camera],
    frames: Frames,
    evidence: _Evidence,
    k: int,
) -> _Found | None:
    """The likeliest images of a frame that lead to what was done; else those that come nearest."""
    choices = [c.choices(int(frames.stamp[k]), int(frames.time[k])) for c in cameras]
    only = all(whole and len(numbers) == 1 for numbers, whole in choices)
    best: _Found | None = None
    nearest = np.inf
    for numbers in islice(product(*(numbers for numbers, _ in choices)), MOST):
        images: Mapping[str, Array32] = {
            camera.image.name: camera.seen(number) for camera, number in zip(cameras, numbers)
        }
        action, after = network.step(saw, images, memory)
        far, agrees = evidence.judge(k, action) if memory or cameras else (0.0, None)
        if best is None or far < nearest:
            best, nearest = _Found(numbers, only, action, after, agrees), far
        if agrees:
            break
    return best


def _begun(now: Mapping[str, Array], width: int, seeing: Seeing) -> Iterator[Assembler]:
    """The observation code as it is if the policy begins in this very frame.

    It then goes on from the last command, or, where it was let go of, from where the robot is.
    """
    rest = now['position'] if seeing.position_command else np.zeros((1, width))
    for command in (now['command'], rest):
        assembler = seeing.assembler()
        assembler.update({**now, 'command': command, 'action': np.zeros((1, width))})
        yield assembler
