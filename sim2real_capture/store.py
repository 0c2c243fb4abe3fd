"""The receiver's folder: what is arriving, and what has arrived.

::

    <folder>/.incoming/<robot>/<clip>/   arriving: manifest.json, and each file as far as it got
    <folder>/<clip>/                     kept: appears whole, by one rename, after verification
             received.json               who sent it, when, and how far its clock was off

What is arriving survives a restart, so that a sender goes on where it was. No clock, no network
here; one thread calls, apart from :meth:`Store.commit`, which may run in another.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim2real_capture.clip import MANIFEST, PART, check_name, sha256_of, sync, write_synced
from sim2real_capture.library import bag_name, parse_manifest
from sim2real_core.errors import Fault, InputError, Sim2RealError

INCOMING = '.incoming'
RECEIVED = 'received.json'
MAGIC = b'\x89MCAP0\r\n'
MOST_INCOMING = 256
"""Clips a robot may have begun to send; beyond it the one left alone for longest is forgotten."""
MOST_METADATA = 4 << 20
"""Bytes a clip's ``metadata.yaml`` may have."""


class TakenError(Sim2RealError):
    """Another clip has this name."""


class TooLargeError(Sim2RealError):
    """More than the receiver takes."""


class UnknownError(Sim2RealError):
    """Nothing of this name was announced."""


class FullError(Sim2RealError):
    """No room for now: what may be kept here is used up."""


class OffsetError(Sim2RealError):
    """The next byte wanted is another one.

    Attributes:
        offset: where the file goes on.
    """

    def __init__(self, offset: int) -> None:
        super().__init__(f'the next byte wanted is {offset}')
        self.offset = offset


class SpoiledError(Sim2RealError):
    """Files that came out different from what their clip says; they were thrown away."""


@dataclass(frozen=True)
class Usage:
    """How full a store is.

    Attributes:
        used: bytes of what is kept, and of all that clips under way were promised.
        most: how many there may be; 0 is no limit.
        full: a clip was turned away for want of room, and there is none for it yet.
    """

    used: int
    most: int
    full: bool


class Store:
    """Clips in a folder. Nothing that is kept is ever deleted here.

    Args:
        folder: must exist.
        clip_bytes: the most one clip may take.
        store_bytes: the most all may take, with those under way; 0 is no limit.
    """

    def __init__(self, folder: Path, clip_bytes: int, store_bytes: int = 0) -> None:
        self.folder = folder
        self._clip_bytes = clip_bytes
        self._store_bytes = store_bytes
        self._incoming = folder / INCOMING
        self._incoming.mkdir(exist_ok=True)
        self._kept = 0
        self._promised: dict[Path, int] = {}  # to clips that were announced, by their folder
        self._wanted = 0  # by the last clip there was no room for
        self.recount()

    @property
    def usage(self) -> Usage:
        """How full it is, as counted."""
        used = self._kept + sum(self._promised.values())
        full = self._wanted > 0 and not self._fits(self._wanted)
        return Usage(used, self._store_bytes, full)

    def recount(self) -> None:
        """Look at the folder again, as people may have deleted clips."""
        self._kept = sum(_weight(path) for path in self.folder.iterdir() if path.name[0] != '.')
        self._promised = dict(self._arriving())

    def _arriving(self) -> Iterator[tuple[Path, int]]:
        """Folders of what is under way, and what each was promised; without what is torn."""
        for path in self._incoming.glob('*/*'):
            body = _read(path / MANIFEST)
            if body is None:
                continue
            try:
                parse_manifest(body)
            except InputError:  # by a power cut: its sender begins anew
                self._forget(path)
            else:
                yield path, _promise(body)

    def _fits(self, size: int) -> bool:
        used = self._kept + sum(self._promised.values())
        return not self._store_bytes or used + size <= self._store_bytes

    def forget_older(self, oldest: float) -> int:
        """Drop what nobody went on sending since a time [s, Unix]; gives how many clips."""
        old = [p for p in self._incoming.glob('*/*') if _touched(p) < oldest]
        for path in old:
            self._forget(path)
        return len(old)

    def make_room(self, oldest: float) -> int:
        """For the clip last turned away, drop what nobody went on sending; gives how many clips.

        Args:
            oldest: since this time [s, Unix]. What stood still for longest goes first, and no
                more than must.
        """
        dropped = 0
        for path in sorted(self._promised, key=_touched):
            if self._fits(self._wanted) or _touched(path) >= oldest:
                break
            self._forget(path)
            dropped += 1
        return dropped

    def announce(self, robot: str, name: str, body: bytes) -> Mapping[str, int] | None:
        """A robot has a clip to send.

        Args:
            robot: its name.
            name: of the clip.
            body: the clip's manifest.

        Returns:
            How many bytes of each file are here; None when the clip is kept already.

        Raises:
            InputError: not a manifest of that clip.
            TakenError: another clip has this name.
            TooLargeError: it says that it is.
            FullError: there is no room for it now.
            OSError: the disk says no.
        """
        manifest = parse_manifest(body, f'manifest of {name}')
        if manifest['clip'] != check_name(name):
            raise InputError(Fault('clip', manifest['clip'], f'the address says {name}'))
        if self.kept(name) is not None:
            if self.kept(name) == body:
                return None
            raise TakenError(f'{name}: another clip has this name')
        sizes, size = _sizes(manifest), _promise(body)
        most = min(self._clip_bytes, self._store_bytes or self._clip_bytes)
        if size - len(body) > most or sizes['metadata.yaml'] > MOST_METADATA:
            raise TooLargeError(f'{name}: larger than the {most} B that a clip may be')
        folder = self._incoming / robot / name
        if _read(folder / MANIFEST) != body:
            if not self._fits(size - self._promised.get(folder, 0)):
                self._wanted = size
                raise FullError(f'{name}: no room left in {self._store_bytes} B (store_bytes)')
            self._begin(folder, body)
        here = {file: _size(folder / file) for file in sizes}
        if sum(sizes.values()) - sum(here.values()) > shutil.disk_usage(folder).free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
        return here

    def _begin(self, folder: Path, body: bytes) -> None:
        folder.parent.mkdir(exist_ok=True)
        others = sorted(folder.parent.iterdir(), key=_touched)
        for path in others[: max(0, len(others) + 1 - MOST_INCOMING)]:
            self._forget(path)
        self._forget(folder)
        folder.mkdir()
        part = folder / f'{MANIFEST}{PART}'
        part.write_bytes(body)
        part.replace(folder / MANIFEST)  # never half of it, also when the disk is full
        self._promised[folder] = _promise(body)
        self._wanted = 0

    def _forget(self, folder: Path) -> None:
        """Drop a clip that was arriving."""
        shutil.rmtree(folder, ignore_errors=True)
        self._promised.pop(folder, None)

    def append(self, robot: str, name: str, file: str, offset: int) -> Upload:
        """Go on with a file of an announced clip.

        Raises:
            UnknownError: no such clip was announced, or it has no such file.
            OffsetError: it goes on elsewhere.
        """
        folder = self._incoming / robot / check_name(name)
        body = _read(folder / MANIFEST)
        sizes = _sizes(json.loads(body)) if body else {}
        if file not in sizes:
            raise UnknownError(f'{name}: announce it first; then send what it says it has')
        upload = Upload(folder / file, offset, sizes[file])
        upload.check()
        return upload

    def commit(self, robot: str, name: str, received: Mapping[str, Any]) -> Path:
        """Verify a clip that is here as a whole, and let it appear.

        Args:
            robot: who sent it.
            name: of the clip.
            received: noted beside it.

        Raises:
            SpoiledError: files differ from what the manifest says; they are gone.
            InputError: this is no MCAP file.
            OSError: the disk says no; it may be tried again.
        """
        folder = self._incoming / robot / name
        manifest = json.loads((folder / MANIFEST).read_bytes())
        spoiled = [
            file
            for file, entry in manifest['files'].items()
            if sha256_of(folder / file) != entry['sha256']
        ]
        for file in spoiled:
            (folder / file).unlink()
        if spoiled:
            raise SpoiledError(f'{name}: arrived with another hash: {", ".join(sorted(spoiled))}')
        if not _is_mcap(folder / bag_name(name)):
            self._forget(folder)
            raise InputError(Fault('files', bag_name(name), 'must be an MCAP file, whole'))
        for file in (*manifest['files'], MANIFEST):
            sync(folder / file)
        write_synced(folder / RECEIVED, json.dumps(received, indent=1))
        sync(folder)
        final = self.folder / name
        folder.rename(final)
        self._promised.pop(folder, None)
        self._kept += _weight(final)
        sync(self.folder)
        return final

    def kept(self, name: str) -> bytes | None:
        """The manifest of a clip that is kept."""
        return _read(self.folder / check_name(name) / MANIFEST)


class Upload:
    """A file being continued. Several at once do no harm: who is behind is told so."""

    def __init__(self, path: Path, offset: int, size: int) -> None:
        self._path = path
        self.offset = offset
        self._size = size

    def check(self) -> None:
        """Raises OffsetError: the file does not go on where this sender thinks."""
        here = _size(self._path)
        if here != self.offset:
            raise OffsetError(here)

    def write(self, block: bytes) -> None:
        """Append; what the disk took of it counts, also when it says no in between.

        Raises:
            OffsetError: another sender was faster.
            TooLargeError: more than the manifest says.
            UnknownError: the clip was committed or forgotten meanwhile.
        """
        self.check()
        if self.offset + len(block) > self._size:
            raise TooLargeError(f'{self._path.name}: more than the {self._size} B announced')
        try:
            with self._path.open('ab', buffering=0) as stream:
                rest = memoryview(block)
                while rest:
                    written = stream.write(rest)
                    self.offset += written
                    rest = rest[written:]
        except FileNotFoundError as error:
            raise UnknownError(f'{self._path.name}: announce its clip again') from error


def manifest_hash(body: bytes) -> str:
    """What an acknowledgement names: the manifest's hash, which covers those of all files."""
    return hashlib.sha256(body).hexdigest()


def _sizes(manifest: Mapping[str, Any]) -> dict[str, int]:
    return {name: entry['size'] for name, entry in manifest['files'].items()}


def _promise(body: bytes) -> int:
    """Bytes that a clip with this manifest takes."""
    return sum(_sizes(json.loads(body)).values()) + len(body)


def _weight(folder: Path) -> int:
    """Bytes of a folder's files."""
    with contextlib.suppress(OSError):
        return sum(path.stat().st_size for path in folder.iterdir())
    return 0


def _size(path: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def _touched(folder: Path) -> float:
    """When something was last added to a folder or its files [s]; -inf when it is gone."""
    with contextlib.suppress(OSError):
        return max(p.stat().st_mtime for p in (folder, *folder.iterdir()))
    return -float('inf')


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _is_mcap(path: Path) -> bool:
    if _size(path) < 2 * len(MAGIC):
        return False
    with path.open('rb') as stream:
        first = stream.read(len(MAGIC))
        stream.seek(-len(MAGIC), os.SEEK_END)
        return first == stream.read() == MAGIC
