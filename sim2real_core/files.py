"""Where the package's own files lie, and JSON output."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from sim2real_core.errors import Fault, InputError


def share() -> Path:
    """Folder that holds ``config``, ``description`` and ``launch``.

    The source tree when run from it, else the installed package share (ament's layout).
    """
    source = Path(__file__).resolve().parent.parent
    if (source / 'package.xml').is_file():
        return source
    for prefix in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep):
        installed = Path(prefix) / 'share' / 'sim2real'
        if prefix and (installed / 'config').is_dir():
            return installed
    for parent in source.parents:  # <prefix>/lib/python3.x/site-packages
        if (parent / 'share' / 'sim2real' / 'config').is_dir():
            return parent / 'share' / 'sim2real'
    raise InputError(Fault('share/sim2real', str(source), 'source the workspace (setup.bash)'))


def version() -> str:
    """Version of this suite, from its package.xml; ``''`` where that was not installed."""
    manifest = share() / 'package.xml'
    if not manifest.is_file():
        return ''
    return ElementTree.parse(manifest).getroot().findtext('version') or ''


def names(kind: str, suffix: str = '.yaml') -> list[str]:
    """Names of the shipped files of a kind, e.g. ``names('robots')``."""
    return sorted(p.stem for p in (share() / 'config' / kind).glob(f'*{suffix}'))


def find(kind: str, name: str | Path, suffix: str = '.yaml') -> Path:
    """Resolve a file given as a path or as the name of a shipped one.

    Args:
        kind: folder under ``config``: ``robots``, ``randomization``, ``policies``, ...
        name: an existing path, or a name such as ``arm6``.
        suffix: ending of shipped files.

    Raises:
        InputError: neither exists; names what is shipped.
    """
    path = Path(name).expanduser()
    if path.is_file():
        return path.resolve()
    shipped = share() / 'config' / kind / f'{name}{suffix}'
    if path.name == str(name) and shipped.is_file():
        return shipped
    known = ', '.join(names(kind, suffix)) or 'none'
    raise InputError(
        Fault(kind, str(name), f'give an existing file or one of the shipped names: {known}')
    )


def write_json(path: str | Path, data: Any) -> None:
    """Write JSON whole or not at all (temporary file, then rename).

    What is not a finite number is ``null``: JSON has no other word for it. A device or a pipe is
    written to and stays.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_finite(data), indent=2, sort_keys=True, allow_nan=False) + '\n'
    if path.exists() and not path.is_file():  # /dev/null must stay what it is
        path.write_text(text, encoding='utf-8')
        return
    part = path.with_name(path.name + '.part')
    part.write_text(text, encoding='utf-8')
    part.replace(path)


def _finite(data: Any) -> Any:
    if isinstance(data, Mapping):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data
