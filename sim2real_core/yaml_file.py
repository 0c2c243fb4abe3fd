"""YAML with the line number of every key, so that a fault can name the line to mend."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sim2real_core.errors import Fault, InputError


class _Loader(yaml.SafeLoader):
    """Reads ``1e-5`` as the number people mean; YAML 1.1, which PyYAML speaks, wants 1.0e-5."""


_Loader.add_implicit_resolver(
    'tag:yaml.org,2002:float',
    re.compile(r'^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$'),
    list('-+.0123456789'),
)


@dataclass(frozen=True)
class YamlFile:
    """A parsed YAML mapping.

    Attributes:
        path: where it was read.
        data: the top-level mapping.
        lines: line (from 1) of each key path, e.g. ``('joints', 'elbow', 'effort')``.
    """

    path: Path
    data: dict[str, Any]
    lines: dict[tuple[object, ...], int]


def read_yaml(path: str | Path) -> YamlFile:
    """Read a YAML file whose top level is a mapping.

    Raises:
        InputError: the file is missing, unreadable, not YAML, not a mapping, or repeats a key.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding='utf-8')
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(Fault('file', str(path), f'give a readable file ({error})')) from error
    return parse_yaml(text, path)


def parse_yaml(text: str, path: Path) -> YamlFile:
    """Parse YAML text; ``path`` names it in errors. See :func:`read_yaml`."""
    try:
        root = yaml.compose(text, Loader=_Loader)
        data = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, 'problem_mark', None)
        line = mark.line + 1 if mark else None
        problem = getattr(error, 'problem', None) or str(error)
        raise InputError(Fault('yaml', problem, 'mend the YAML', str(path), line)) from error
    if not isinstance(data, dict):
        raise InputError(Fault('yaml', data, 'the top level must be a mapping', str(path), 1))
    lines: dict[tuple[object, ...], int] = {}
    faults: list[Fault] = []

    def walk(node: yaml.Node, here: tuple[object, ...]) -> None:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                child = (*here, key.value)
                line = key.start_mark.line + 1
                if child in lines:
                    name = '.'.join(map(str, child))
                    faults.append(
                        Fault(name, key.value, 'key given twice; keep one', str(path), line)
                    )
                lines[child] = line
                walk(value, child)
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                item = (*here, index)
                lines[item] = value.start_mark.line + 1
                walk(value, item)

    if root is not None:
        walk(root, ())
    if faults:
        raise InputError(*faults)
    return YamlFile(path, data, lines)
