"""Gazebo's message classes, made from the definitions that the installed Gazebo brings.

They are compiled once, into the cache, and loaded into a pool of their own: other libraries may
know messages of the same names.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.resources
import os
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from sim2real_core.errors import Sim2RealError
from sim2real_sim.gazebo_classic.installation import cache, find


class Messages:
    """Message classes by full name.

    Args:
        definitions: a serialized ``FileDescriptorSet``, dependencies first.
    """

    def __init__(self, definitions: bytes) -> None:
        files = descriptor_pb2.FileDescriptorSet.FromString(definitions)
        self._pool = descriptor_pool.DescriptorPool()
        for file in files.file:
            self._pool.Add(file)
        self._classes: dict[str, Any] = {}

    def type(self, name: str) -> Any:
        """The class of ``gazebo.msgs.Physics`` and the like.

        Raises:
            KeyError: there is no such message.
        """
        if name not in self._classes:
            descriptor = self._pool.FindMessageTypeByName(name)
            self._classes[name] = message_factory.GetMessageClass(descriptor)
        return self._classes[name]


@functools.cache
def load() -> Messages:
    """The messages of this machine's Gazebo.

    Raises:
        MissingError: there is no Gazebo here, or it has no message definitions.
    """
    folders = find().protos()
    files = sorted(folders['gazebo'].glob('*.proto'))
    files += [
        folders['ignition'] / 'ignition' / 'msgs' / f'{name}.proto'
        for name in ('discovery', 'joint_cmd', 'stringmsg', 'empty')
    ]
    # The definitions of a release do not change: where they lie and how long they are says which.
    key = repr([(str(path), path.stat().st_size) for path in files])
    path = cache() / f'messages-{hashlib.sha256(key.encode()).hexdigest()[:16]}'
    if not path.is_file():
        _compile(files, list(folders.values()), path)
    return Messages(path.read_bytes())


def _compile(files: list[Path], folders: list[Path], target: Path) -> None:
    """Write the files and what they import as one ``FileDescriptorSet``."""
    from grpc_tools import protoc

    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(f'.{os.getpid()}')
    common = importlib.resources.files('grpc_tools') / '_proto'
    status = protoc.main(
        [
            'protoc',
            *(f'--proto_path={folder}' for folder in (*folders, common)),
            f'--descriptor_set_out={part}',
            '--include_imports',
            *map(str, files),
        ]
    )
    if status != 0:
        raise Sim2RealError(f"Gazebo's message definitions do not compile ({files[0].parent})")
    part.replace(target)
