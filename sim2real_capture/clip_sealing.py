"""From a journal to a sealed clip, after an orderly end and after a crash alike.

See :mod:`sim2real_capture.clip` for what lies where.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from mcap.records import Metadata

from sim2real_capture.clip import (
    BAG_METADATA,
    GONE,
    JOURNAL,
    MANIFEST,
    PART,
    SCHEMA,
    lock_folder,
    private_name,
    sha256_of,
    sync,
    write_synced,
)
from sim2real_capture.clip_bag import LIBRARY, Bag, bag_metadata, surviving, topics_of
from sim2real_capture.definitions import definition
from sim2real_capture.ring import Record
from sim2real_capture.rules import Rules, Sieve
from sim2real_core.errors import Fault, InputError


class _Sealing:
    """A journal on its way into the files of a clip.

    Args:
        folder: the ``.part`` folder.

    Attributes:
        bag_file: name of the bag's file.
        events: metadata of what happened.
        end: how the journal ended; one without an end was cut by a crash.
        context: what was in force.
        first: stamp of the oldest message [ns]; later than ``last`` when there is none.
        last: of the newest.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clip = folder.name[: -len(PART)]
        self.bag_file = f'{self.clip}_0.mcap'
        self.events: list[dict[str, str]] = []
        self.end = {'reason': 'recovered', 'dropped': '0'}
        self.context: dict[str, str] = {}
        self.first, self.last = 2**63, 0
        self._sieve = Sieve(Rules())
        self._latched: frozenset[str] = frozenset()
        self._private: dict[str, Bag] = {}  # by file

    def copy(self) -> None:
        """Write what the journal holds to the bag, and to files beside it what is private."""
        with ExitStack() as self._files:
            journal = self._files.enter_context((self.folder / JOURNAL).open('rb'))
            items = surviving(journal)
            first = next(items, None)  # the context, which says how to write
            if isinstance(first, Metadata):
                self._note(first)
            self.bag = self._made(self.bag_file)
            if isinstance(first, Metadata):
                self.bag.metadata(first.name, first.metadata)
            for item in items:
                if isinstance(item, Metadata):
                    self._note(item)
                    self.bag.metadata(item.name, item.metadata)
                else:
                    self._pass(item)
            for done in (self.bag, *self._private.values()):
                done.finish()
                done.stream.flush()
                os.fsync(done.stream.fileno())

    def _made(self, name: str) -> Bag:
        stream = self._files.enter_context((self.folder / name).open('wb'))
        return Bag(stream, self.context.get('compression', 'zstd'))

    def _note(self, item: Metadata) -> None:
        if item.name == f'{LIBRARY}.event':
            self.events.append(item.metadata)
        elif item.name == f'{LIBRARY}.end':
            self.end = item.metadata
        elif item.name == f'{LIBRARY}.context':
            self.context = item.metadata
            self._latched = frozenset(json.loads(item.metadata['latched']))
            rules = Rules.from_json(json.loads(item.metadata.get('rules', '{}')))
            recorded = topics_of(self.folder / JOURNAL) if rules.compress else ()
            self._sieve = Sieve(rules, recorded)

    def _pass(self, item: Record) -> None:
        self.first, self.last = min(self.first, item.stamp), max(self.last, item.stamp)
        latched = item.topic in self._latched
        kept = item if latched else self._sieve.passed(item)
        if kept is None:
            return
        bag, rule = self.bag, self._sieve.rules.of(item.topic)  # the name it was recorded under
        if rule.private:
            name = private_name(rule.days)
            if name not in self._private:
                self._private[name] = self._made(name)
            bag = self._private[name]
        bag.message(kept, latched)

    def manifest(self) -> dict[str, Any]:
        """What is in the clip, once its files are written."""
        context, bag, sieve = self.context, self.bag, self._sieve
        private = [count for kept in self._private.values() for count in kept.counts.items()]
        files = {
            name: {
                'sha256': sha256_of(self.folder / name),
                'size': (self.folder / name).stat().st_size,
            }
            for name in (self.bag_file, BAG_METADATA)
        }
        return {
            'schema': SCHEMA,
            'clip': self.clip,
            'created': context.get('created', ''),
            'end': self.end['reason'],
            'dropped': int(self.end['dropped']),
            'files': files,
            'first_stamp': self.first,
            'last_stamp': self.last,
            'messages': sum(bag.counts.values()),
            'topics': {
                topic: {
                    'type': bag.types[topic],
                    'messages': count,
                    'defined': bool(definition(bag.types[topic]).text),
                }
                for topic, count in sorted(bag.counts.items())
            },
            'events': [_event_data(event) for event in self.events],
            'profile': context.get('profile', ''),
            'profile_hash': context.get('profile_hash', ''),
            'bundle': context.get('bundle', ''),
            'draw': json.loads(context.get('draw', '{}')),
            'estimate': json.loads(context.get('estimate', '{}')),
            'compression': context.get('compression', 'zstd'),
            **({'private': dict(sorted(private))} if private else {}),
            **({'thinned_out': sieve.left_out} if sieve.left_out else {}),
            **({'reduced': sieve.told()} if sieve.reduced else {}),
        }


def seal(folder: Path) -> Path:
    """Turn a journal into a sealed clip.

    Args:
        folder: the ``.part`` folder.

    Returns:
        The clip's folder.

    Raises:
        InputError: the journal holds no message.
        OSError: the disk says no; the ``.part`` folder is left as it is.
    """
    made = _Sealing(folder)
    made.copy()
    if made.first > made.last:
        raise InputError(Fault('journal', str(folder / JOURNAL), 'holds no message'))
    about = bag_metadata(made.bag, made.bag_file, made.first, made.last, made.events)
    write_synced(folder / BAG_METADATA, about)
    write_synced(folder / MANIFEST, json.dumps(made.manifest(), indent=1) + '\n')
    sync(folder)  # the new files are found before the old one goes
    (folder / JOURNAL).unlink()
    return _publish(folder)


def recover(spool: Path) -> tuple[list[Path], list[Path], list[tuple[Path, OSError]]]:
    """Seal what a process that died left behind. Call it before recording.

    Returns:
        The clips that were recovered, the ``.part`` folders that held no message (removed), and
        those that could not be sealed (left as they are), with the reason.
    """
    recovered, empty, failed = [], [], []
    for folder in spool.glob('*' + GONE):
        shutil.rmtree(folder, ignore_errors=True)
    for folder in sorted(spool.glob('*' + PART)):
        if folder.name.endswith(GONE):
            continue  # another process has just begun to delete it
        try:
            lock = lock_folder(folder)
        except (BlockingIOError, FileNotFoundError):
            continue  # another process is recording it, or has just sealed it
        try:
            if not folder.is_dir():
                continue  # sealed while we waited
            sealed = _recovered(folder)
        except OSError as error:
            failed.append((folder, error))
            continue
        finally:
            os.close(lock)
        if sealed is None:
            empty.append(folder)
        else:
            recovered.append(sealed)
    return recovered, empty, failed


def _recovered(folder: Path) -> Path | None:
    """Seal a ``.part`` folder nobody works on; None when it held no message and was removed."""
    if (folder / JOURNAL).is_file():
        try:
            return seal(folder)
        except InputError:
            shutil.rmtree(folder)
            return None
    if (folder / MANIFEST).is_file():
        return _publish(folder)  # everything was written and only the rename is missing
    shutil.rmtree(folder)
    return None


def _publish(folder: Path) -> Path:
    """Make a finished ``.part`` folder appear under its name, durably."""
    final = folder.with_name(folder.name[: -len(PART)])
    sync(folder)
    folder.rename(final)
    sync(final.parent)
    return final


def _event_data(values: Mapping[str, str]) -> dict[str, Any]:
    numbers = ('stamp', 'score', 'threshold')
    return {key: float(v) if key in numbers else v for key, v in values.items()}
