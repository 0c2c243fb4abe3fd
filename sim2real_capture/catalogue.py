"""An index of the clips in a folder, in SQLite, and the labels people gave them.

The folder is the truth: each label also lies beside its clip (``label.json``), so that a
catalogue that is missing, damaged or behind is made again from the folder. Where the folder
cannot be written to, the catalogue lives in memory.
"""

from __future__ import annotations

import contextlib
import json
import math
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from sim2real_capture.clip import MANIFEST, PART, check_name, sync, write_synced
from sim2real_capture.library import bag_name, read_manifest, sealed_folders
from sim2real_capture.store import RECEIVED
from sim2real_core.errors import Fault, InputError

FILE = '.catalogue.sqlite'
LABEL = 'label.json'
LABELS = ('real failure', 'false alarm', 'duplicate', '')
"""What a clip is; ``''``: nobody has said yet."""
WAIT = 10.0
"""For another process that writes [s]."""

_TABLE = """
CREATE TABLE IF NOT EXISTS clips (
    clip TEXT PRIMARY KEY, created TEXT NOT NULL, robot TEXT NOT NULL, received TEXT NOT NULL,
    detectors TEXT NOT NULL, detail TEXT NOT NULL, severity REAL, duration REAL NOT NULL,
    messages INTEGER NOT NULL, size INTEGER NOT NULL, sha256 TEXT NOT NULL, ending TEXT NOT NULL,
    profile TEXT NOT NULL, bundle TEXT NOT NULL, clock_offset REAL, clock_offset_error REAL,
    clock_source TEXT NOT NULL, label TEXT NOT NULL
)
"""


@dataclass(frozen=True)
class Entry:
    """A clip in the catalogue.

    Attributes:
        clip: its id.
        created: when it was triggered, UTC, ISO 8601, by the robot's clock.
        robot: who sent it; ``''`` when it was never shipped here.
        received: when it was acknowledged, by the receiver's clock.
        detectors: what triggered it, in order, separated by ``', '``.
        detail: what the first event says.
        severity: the largest score over its threshold; None without a threshold.
        duration: [s].
        messages: how many.
        size: bytes of its MCAP file.
        sha256: of its MCAP file.
        ending: ``complete``, or why it is shorter.
        profile: name of the robot profile.
        bundle: content hash of the policy.
        clock_offset: receiver's clock minus robot's [s]; None when not measured.
        clock_offset_error: it is no further off than this [s].
        clock_source: how it was measured, see ``transports.Clock``.
        label: one of ``LABELS``.
    """

    clip: str
    created: str
    robot: str
    received: str
    detectors: str
    detail: str
    severity: float | None
    duration: float
    messages: int
    size: int
    sha256: str
    ending: str
    profile: str
    bundle: str
    clock_offset: float | None
    clock_offset_error: float | None
    clock_source: str
    label: str


class Catalogue:
    """The clips of a folder. May be used from several threads, and by several processes.

    Args:
        folder: of clips.

    Raises:
        InputError: there is no such folder.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder).expanduser()
        sealed_folders(self._folder)
        self._lock = threading.Lock()
        self._base = _open(self._folder / FILE)
        self.refresh()

    def close(self) -> None:
        """Let go of the file."""
        self._base.close()

    def refresh(self) -> None:
        """Take in clips that appeared in the folder, and forget those that are gone."""
        there = {path.name for path in sealed_folders(self._folder)}
        with self._lock, self._base:
            known = {row[0] for row in self._base.execute('SELECT clip FROM clips')}
            self._base.executemany(
                'DELETE FROM clips WHERE clip = ?', [(clip,) for clip in known - there]
            )
            for clip in sorted(there - known):
                self._insert(self._folder / clip)
            for file in self._folder.glob(f'*/{LABEL}'):  # a process died, or a copy came
                self._base.execute(
                    'UPDATE clips SET label = ? WHERE clip = ?', (_label(file), file.parent.name)
                )

    def add(self, folder: Path) -> None:
        """Take in a clip."""
        with self._lock, self._base:
            self._insert(folder)

    def entries(
        self, *, label: str | None = None, text: str = '', first: int = 0, most: int = -1
    ) -> list[Entry]:
        """Clips, newest first.

        Args:
            label: only those with this one; None takes all.
            text: only those with this in id, robot, profile, detectors or detail.
            first: how many to skip.
            most: how many at most; -1 takes all.
        """
        where, values = _where(label, text)
        with self._lock:
            rows = self._base.execute(
                f'SELECT * FROM clips {where} ORDER BY created DESC, clip LIMIT ? OFFSET ?',
                (*values, most, first),
            ).fetchall()
        return [Entry(*row) for row in rows]

    def count(self, text: str = '') -> dict[str, int]:
        """How many clips have each label."""
        where, values = _where(None, text)
        with self._lock:
            rows = self._base.execute(
                f'SELECT label, COUNT(*) FROM clips {where} GROUP BY label', values
            ).fetchall()
        return {**dict.fromkeys(LABELS, 0), **dict(rows)}

    def entry(self, clip: str) -> Entry | None:
        """One clip; None when there is none of this id."""
        with self._lock:
            row = self._base.execute('SELECT * FROM clips WHERE clip = ?', (clip,)).fetchone()
        return Entry(*row) if row else None

    def set_label(self, clip: str, label: str, by: str = '') -> None:
        """Say what a clip is.

        Args:
            clip: its id.
            label: one of ``LABELS``.
            by: who says so.

        Raises:
            InputError: no such clip or label.
        """
        folder = self._folder / check_name(clip)
        if label not in LABELS:
            choices = ', '.join(repr(choice) for choice in LABELS)
            raise InputError(Fault('label', label, f'one of {choices}'))
        if not (folder / MANIFEST).is_file():
            raise InputError(Fault('clip', clip, 'not a clip of this folder'))
        at = datetime.now(timezone.utc).isoformat(timespec='seconds')
        part = folder / (LABEL + PART)
        with self._lock, self._base:
            write_synced(part, json.dumps({'label': label, 'by': by, 'at': at}))
            part.replace(folder / LABEL)
            sync(folder)
            self._base.execute('UPDATE clips SET label = ? WHERE clip = ?', (label, clip))

    def _insert(self, folder: Path) -> None:
        try:
            manifest = read_manifest(folder)
        except InputError:
            return  # list_clips shows damaged ones
        values = (*_row(folder, manifest),)
        marks = ', '.join('?' * len(values))
        self._base.execute(f'INSERT OR REPLACE INTO clips VALUES ({marks})', values)


def labels(folder: str | Path) -> dict[str, str]:
    """Each clip's label, by its id; ``''`` for those nobody labelled.

    Raises:
        InputError: there is no such folder.
    """
    with contextlib.closing(Catalogue(folder)) as catalogue:
        return {entry.clip: entry.label for entry in catalogue.entries()}


def set_label(folder: str | Path, clip: str, label: str, by: str = '') -> None:
    """Say what a clip is. See :meth:`Catalogue.set_label`."""
    with contextlib.closing(Catalogue(folder)) as catalogue:
        catalogue.set_label(clip, label, by)


def _open(file: Path) -> sqlite3.Connection:
    """The database, made when it is missing and made anew when it is not one of this version."""
    try:
        return _prepared(file)
    except sqlite3.OperationalError:
        return _prepared(':memory:')  # the folder cannot be written to
    except sqlite3.DatabaseError:
        file.unlink()
        return _prepared(file)


def _prepared(file: Path | str) -> sqlite3.Connection:
    base = sqlite3.connect(file, timeout=WAIT, check_same_thread=False)
    try:
        with base:
            base.execute(_TABLE)
            columns = [row[1] for row in base.execute('PRAGMA table_info(clips)')]
            if columns != list(Entry.__annotations__):
                base.execute('DROP TABLE clips')
                base.execute(_TABLE)
            base.execute('PRAGMA user_version = 1')  # fails here where nothing can be written
    except sqlite3.Error:
        base.close()
        raise
    return base


def _where(label: str | None, text: str) -> tuple[str, list[str]]:
    parts, values = [], []
    if label is not None:
        parts.append('label = ?')
        values.append(label)
    if text:
        columns = " || ' ' || ".join(('clip', 'robot', 'profile', 'detectors', 'detail'))
        parts.append(f'instr(lower({columns}), ?)')
        values.append(text.lower())
    return ('WHERE ' + ' AND '.join(parts) if parts else ''), values


def _row(folder: Path, manifest: Mapping[str, Any]) -> Iterator[object]:
    """The columns, in the order of :class:`Entry`."""
    received = _read(folder / RECEIVED)
    events, bag = manifest['events'], manifest['files'][bag_name(manifest['clip'])]
    yield from (folder.name, manifest['created'])
    yield from (str(received.get('robot', '')), str(received.get('at', '')))
    yield ', '.join(dict.fromkeys(str(event['detector']) for event in events))
    yield str(events[0].get('detail', '')) if events else ''
    yield severity(events)
    yield (manifest['last_stamp'] - manifest['first_stamp']) * 1e-9
    yield from (manifest['messages'], bag['size'], bag['sha256'], manifest['end'])
    yield from (str(manifest.get('profile', '')), str(manifest.get('bundle', '')))
    yield from (_number(received.get(key)) for key in ('clock_offset', 'clock_offset_error'))
    yield str(received.get('clock_source', ''))
    yield _label(folder / LABEL)


def severity(events: list[Mapping[str, Any]]) -> float | None:
    """The largest score over its threshold; None where no event has a positive threshold."""
    pairs = [(_number(e.get('score')), _number(e.get('threshold'))) for e in events]
    return max(
        (s / t for s, t in pairs if s is not None and t is not None and t > 0), default=None
    )


def _label(file: Path) -> str:
    label = _read(file).get('label')
    return label if label in LABELS else ''


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


def _read(path: Path) -> dict[str, Any]:
    """A JSON object beside a clip; empty when missing or torn."""
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}
