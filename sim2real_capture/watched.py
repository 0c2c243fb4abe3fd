"""Whether a file was changed, without reading it."""

from __future__ import annotations

from pathlib import Path

Mark = tuple[tuple[int, ...], ...]


def mark(*paths: str | Path) -> Mark:
    """Another one once a file was written to, replaced, made or removed.

    Args:
        paths: ``''`` is no file.
    """
    return tuple(_mark(Path(path)) for path in paths if str(path))


def _mark(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino
