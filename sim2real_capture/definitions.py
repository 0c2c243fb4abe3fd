"""Full text of message definitions, so that a clip can be read without the robot's workspace."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

RULE = '=' * 80
_SIZES = (8, 16, 32, 64)
PRIMITIVES = frozenset(
    (
        *('bool', 'byte', 'char', 'float32', 'float64', 'string', 'wstring'),
        *(f'{sign}int{size}' for sign in ('', 'u') for size in _SIZES),
    )
)
# type, array bounds, name; then a constant's or default's value, which does not matter here
_FIELD = re.compile(r'^\s*([A-Za-z][\w/]*)(?:<=\d+)?(?:\[[^\]]*\])?\s+[A-Za-z]\w*')


@dataclass(frozen=True)
class Definition:
    """A message definition.

    Attributes:
        text: the ``.msg`` text followed by those of all nested types, as rosbag2 stores it; ``''``
            when nobody here knows the type.
        hash: RIHS01 hash of the type, ``''`` when not known (Humble has none).
    """

    text: str
    hash: str


def prefixes() -> Iterator[Path]:
    """Install prefixes to look in: the sourced workspaces, then this Python environment."""
    for prefix in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep):
        if prefix:
            yield Path(prefix)
    yield Path(sys.prefix)


@cache
def definition(type_name: str) -> Definition:
    """The definition of ``package/msg/Name``: from the installed ``.msg`` files, the very ones
    this machine talks with; else from the rosbags library; else empty.
    """
    texts: dict[str, str] = {}
    if _collect(type_name, texts):
        nested = [
            f'{RULE}\nMSG: {name.replace("/msg/", "/")}\n{text}' for name, text in texts.items()
        ]
        # The type itself comes first and bare, without its title.
        text = '\n'.join([texts[type_name], *nested[1:]])
        return Definition(text, _installed_hash(type_name))
    return _from_rosbags(type_name)


def _find(type_name: str, suffix: str) -> Path | None:
    for prefix in prefixes():
        path = prefix / 'share' / f'{type_name}{suffix}'
        if path.is_file():
            return path
    return None


def _collect(type_name: str, texts: dict[str, str]) -> bool:
    """Read a type and, depth first, all it contains; False when one is not installed."""
    if type_name in texts:
        return True
    path = _find(type_name, '.msg')
    if path is None:
        return False
    texts[type_name] = path.read_text(encoding='utf-8')
    package = type_name.split('/')[0]
    return all(_collect(name, texts) for name in _nested(texts[type_name], package))


def _nested(text: str, package: str) -> list[str]:
    """Full names of the message types a definition has fields of."""
    found = []
    for line in text.splitlines():
        match = _FIELD.match(line.split('#')[0])
        if match and match[1] not in PRIMITIVES:
            parts = match[1].split('/')
            found.append(f'{parts[0] if len(parts) > 1 else package}/msg/{parts[-1]}')
    return found


def _installed_hash(type_name: str) -> str:
    path = _find(type_name, '.json')
    if path is None:
        return ''
    hashes = json.loads(path.read_text(encoding='utf-8'))['type_hashes']
    return next((str(h['hash_string']) for h in hashes if h['type_name'] == type_name), '')


def _from_rosbags(type_name: str) -> Definition:
    try:
        from rosbags.typesys import Stores, get_typestore
    except ImportError:
        return Definition('', '')
    store = get_typestore(Stores.LATEST)
    if type_name not in store.types:
        return Definition('', '')
    text, _ = store.generate_msgdef(type_name, ros_version=2)
    return Definition(text, store.hash_rihs01(type_name))
