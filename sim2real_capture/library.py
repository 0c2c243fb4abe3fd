"""Sealed clips as data: listed, shown and checked, without ROS."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim2real_capture.clip import (
    BAG_METADATA,
    MANIFEST,
    PART,
    SCHEMA,
    SHIPPED,
    check_name,
    sha256_of,
)
from sim2real_core.errors import Fault, Faults, InputError

MOST = 1 << 63
"""Numbers of a manifest stay below: 292 years in nanoseconds."""
NUMBERS = {'stamp': MOST * 1e-9, 'score': math.inf, 'threshold': math.inf}
"""Of an event, and what they stay below, where they are finite."""


@dataclass(frozen=True)
class ClipInfo:
    """What a listing shows of a clip.

    Attributes:
        clip: its id.
        path: its folder.
        created: when it was triggered, UTC, ISO 8601.
        detectors: what triggered it, in order, without repetition.
        detail: what the first event says, e.g. the joints.
        duration: [s].
        messages: how many.
        size: bytes of its MCAP file.
        sha256: content hash of its MCAP file.
        end: ``complete``; why it is shorter than asked (``recovered`` after a crash); or
            ``damaged``, when ``detail`` says what is wrong with its manifest.
        shipped: the receiver that acknowledged it, ``''`` when none has.
    """

    clip: str
    path: Path
    created: str
    detectors: tuple[str, ...]
    detail: str
    duration: float
    messages: int
    size: int
    sha256: str
    end: str
    shipped: str = ''

    def as_json(self) -> dict[str, Any]:
        """As JSON data."""
        return {
            **dataclasses.asdict(self),
            'path': str(self.path),
            'detectors': list(self.detectors),
        }


def bag_name(clip: str) -> str:
    """Name of a clip's MCAP file."""
    return f'{clip}_0.mcap'


def parse_manifest(text: str | bytes, source: str = MANIFEST) -> dict[str, Any]:
    """Read and check a manifest.

    Args:
        text: JSON.
        source: where it came from, for messages.

    Raises:
        InputError: every fault found.
    """
    try:
        data = json.loads(text)
        json.dumps(data, ensure_ascii=False).encode()  # no half characters
    except (ValueError, RecursionError) as error:
        raise InputError(Fault('json', str(error), 'send a whole manifest', source)) from error
    faults = Faults(source)
    if not isinstance(data, dict) or data.get('schema') != SCHEMA:
        found = data.get('schema') if isinstance(data, dict) else data
        raise InputError(Fault('schema', found, f'this version reads schema {SCHEMA}', source))
    clip, files = data.get('clip'), data.get('files')
    try:
        check_name(clip if isinstance(clip, str) else '')
    except InputError as error:
        faults.extend(error)
    wanted = {bag_name(str(clip)), BAG_METADATA}
    if not isinstance(files, dict) or set(files) != wanted:
        faults.add('files', files, f'must name exactly {", ".join(sorted(wanted))}')
    else:
        for name, entry in files.items():
            entry = entry if isinstance(entry, dict) else {}
            if not is_sha256(entry.get('sha256')):
                faults.add(f'files.{name}.sha256', entry.get('sha256'), '64 hexadecimal digits')
            if type(entry.get('size')) is not int or not 0 <= entry['size'] < MOST:
                faults.add(f'files.{name}.size', entry.get('size'), 'must be a number of bytes')
    for key, kind in (
        ('created', str),
        ('end', str),
        ('messages', int),
        ('first_stamp', int),
        ('last_stamp', int),
        ('events', list),
        ('topics', dict),
    ):
        if type(data.get(key)) is not kind:
            faults.add(key, data.get(key), f'must be a JSON {kind.__name__}')
        elif kind is int and not 0 <= data[key] < MOST:
            faults.add(key, str(data[key])[:80], 'must be positive, and fit 63 bits')
    for i, event in enumerate(data['events'] if isinstance(data.get('events'), list) else ()):
        if not isinstance(event, dict) or not isinstance(event.get('detector'), str):
            faults.add(f'events[{i}]', event, 'must name its detector')
            continue
        for key, most in NUMBERS.items():
            if key in event and not _is_below(event[key], most):
                faults.add(f'events[{i}].{key}', event[key], 'must be a number')
    for name, topic in data['topics'].items() if isinstance(data.get('topics'), dict) else ():
        given = topic if isinstance(topic, dict) else {}
        if type(given.get('type')) is not str or type(given.get('messages')) is not int:
            faults.add(f'topics.{name}', topic, 'must give its type and how many messages')
    faults.check()
    return data


def _is_below(value: object, most: float) -> bool:
    """Whether this is a number, and below a limit where there is one."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    limit = min(most, MOST) if isinstance(value, int) else most  # an integer may fit no float
    return limit == math.inf or abs(value) < limit


def is_sha256(value: object) -> bool:
    """Whether this is a SHA-256 in lower-case hexadecimal."""
    return isinstance(value, str) and len(value) == 64 and not set(value) - set('0123456789abcdef')


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a sealed clip.

    Raises:
        InputError: there is none, or it is not whole.
    """
    path = folder / MANIFEST
    try:
        return parse_manifest(path.read_bytes(), str(path))
    except OSError as error:
        raise InputError(Fault('clip', str(folder), f'not a sealed clip ({error})')) from error


def clip_info(folder: Path) -> ClipInfo:
    """What a listing shows of one clip. See :func:`list_clips`."""
    try:
        manifest = read_manifest(folder)
    except InputError as error:
        return ClipInfo(folder.name, folder, '', (), str(error), 0.0, 0, 0, '', 'damaged')
    bag = manifest['files'][bag_name(manifest['clip'])]
    events = manifest['events']
    return ClipInfo(
        clip=manifest['clip'],
        path=folder,
        created=manifest['created'],
        detectors=tuple(dict.fromkeys(str(event['detector']) for event in events)),
        detail=str(events[0].get('detail', '')) if events else '',
        duration=(manifest['last_stamp'] - manifest['first_stamp']) * 1e-9,
        messages=manifest['messages'],
        size=bag['size'],
        sha256=bag['sha256'],
        end=manifest['end'],
        shipped=_receiver_of(folder),
    )


def _receiver_of(folder: Path) -> str:
    """Who acknowledged a clip; ``''`` also where the receipt was lost in a power cut."""
    try:
        return str(json.loads((folder / SHIPPED).read_bytes())['receiver'])
    except (OSError, ValueError, KeyError, TypeError):
        return ''


def list_clips(folder: str | Path) -> list[ClipInfo]:
    """The sealed clips of a spool or of a receiver's folder, oldest first, damaged ones before.

    Raises:
        InputError: the folder does not exist.
    """
    clips = [clip_info(path) for path in sealed_folders(folder)]
    return sorted(clips, key=lambda info: (info.created, info.clip))


def sealed_folders(folder: str | Path) -> list[Path]:
    """Where the sealed clips of a spool or of a receiver's folder are, in no order.

    Raises:
        InputError: the folder does not exist.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise InputError(Fault('folder', str(folder), 'give an existing folder of clips'))
    return [
        path.parent
        for path in folder.glob(f'*/{MANIFEST}')
        if not path.parent.name.startswith('.') and path.parent.suffix != PART
    ]


def unsealed_folders(folder: str | Path) -> list[Path]:
    """Folders that hold an MCAP file but no manifest: clips that were copied in part, say.

    What is being recorded or deleted there is none of them. The folder itself may be one.
    """
    folder = Path(folder).expanduser()
    found = {path.parent for path in (*folder.glob('*.mcap'), *folder.glob('*/*.mcap'))}
    return sorted(
        path
        for path in found
        if not (path / MANIFEST).exists() and not path.name.startswith('.') and path.suffix != PART
    )


def verify(folder: Path) -> None:
    """Check a clip's files against its manifest.

    Raises:
        InputError: naming every file that differs.
    """
    manifest = read_manifest(folder)
    faults = Faults(str(folder / MANIFEST))
    for name, entry in manifest['files'].items():
        path = folder / name
        found = sha256_of(path) if path.is_file() else 'missing'
        if found != entry['sha256']:
            faults.add(name, found, f'SHA-256 must be {entry["sha256"]}; ship the clip again')
    faults.check()


def find_clip(path: str | Path) -> Path:
    """The folder of a clip given as its folder or as a file in it.

    Raises:
        InputError: no sealed clip there.
    """
    path = Path(path).expanduser()
    folder = path.parent if path.is_file() else path
    if not (folder / MANIFEST).is_file():
        raise InputError(Fault('clip', str(path), f'give a clip folder (with {MANIFEST})'))
    return folder


def show_clip(path: str | Path) -> dict[str, Any]:
    """All that a clip says of itself, after its files were checked against their hashes.

    Returns:
        The manifest, with ``path``, ``duration`` [s] and ``shipped`` added.

    Raises:
        InputError: no clip, or a damaged one.
    """
    folder = find_clip(path)
    verify(folder)
    info = clip_info(folder)
    return {
        **read_manifest(folder),
        'path': str(folder),
        'duration': info.duration,
        'shipped': info.shipped,
    }
