"""Brings Gazebo Classic into a private folder; nothing is installed and nobody must be root.

A package manager's configuration of our own, beside the system's, takes the packages of the last
release that carries Gazebo 11 from the mirror that this machine already uses. Whatever was
downloaded or unpacked when a run was interrupted is not done again.
"""

from __future__ import annotations

import fcntl
import os
import platform
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from sim2real_core.errors import MissingError, Sim2RealError
from sim2real_sim.gazebo_classic.installation import Installation, cache, find

Progress = Callable[[str, float], None]
"""Called with what is being done and the share of it that is done, 0 to 1."""

RETRIES = 3
TIMEOUT = 60.0  # [s] without a byte from the mirror


class Release(NamedTuple):
    """The last release of a distribution that carries Gazebo 11."""

    suite: str
    components: str
    keys: str  # glob of the archive's keyring


RELEASES = {
    'debian': Release('bullseye', 'main', 'debian-archive-keyring.*'),
    'ubuntu': Release('jammy', 'main universe', 'ubuntu-archive-keyring.*'),
}
PROGRAMS = ('gazebo', 'gazebo-plugin-base')
DISPLAY = ('xvfb', 'x11-xkb-utils', 'xkb-data', 'libgl1-mesa-dri')
"""Cameras need an X server."""
DEFINITIONS = ('libgazebo-dev', 'libignition-msgs-dev')
"""For their message definitions; what they would pull in is not needed."""
HOSTS = ('libc6_', 'libc-bin_', 'libcrypt1_', 'libc6-')
"""Packages that must not be mixed with the host's: its loader and C library run everything."""


def fetch(progress: Progress, mirror: str = '') -> Installation:
    """Gazebo Classic of this machine; brought into the cache when there is none.

    Args:
        progress: told how far it is.
        mirror: URL of an archive; the machine's own when empty.

    Raises:
        MissingError: this machine has no package manager that could, or not the archive.
        Sim2RealError: the download or unpacking failed; the message has its last lines.
    """
    folder = cache()
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder / 'lock'):
        try:
            return find()
        except MissingError:
            _download(folder / 'apt', mirror, progress)
            _unpack(folder / 'apt', folder / 'prefix', progress)
            return find()


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One run at a time; another one finds what this one brought."""
    with path.open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _distribution() -> tuple[Release, str]:
    """The release to take, and the code name of the one that runs here."""
    if not (shutil.which('apt-get') and shutil.which('dpkg-deb')):
        raise MissingError('needs a Debian or Ubuntu machine (apt-get and dpkg-deb)')
    try:
        system = platform.freedesktop_os_release()
    except OSError:
        system = {}
    for name in [system.get('ID', ''), *system.get('ID_LIKE', '').split()]:
        if name in RELEASES:
            return RELEASES[name], system.get('VERSION_CODENAME', '')
    raise MissingError(f'knows the archives of {" and ".join(RELEASES)} only')


def find_mirror(targets: str, codename: str) -> str:
    """The archive of a distribution among the sources of a machine.

    Args:
        targets: a line ``URL release`` for each source.
        codename: of the distribution's release that runs here.

    Returns:
        The URL with most of the release's parts (``bookworm``, ``bookworm-updates``): sources of
        others have but one. ``''`` when there is none.
    """
    pairs = {tuple(line.split()) for line in targets.splitlines() if len(line.split()) == 2}
    urls = Counter(url for url, release in sorted(pairs) if release.split('-')[0] == codename)
    return max(urls, key=lambda url: urls[url], default='')


def _download(folder: Path, mirror: str, progress: Progress) -> None:
    """Get the packages and what they depend on."""
    release, codename = _distribution()
    if not mirror:
        command = ['apt-get', 'indextargets', '--no-release-info']
        targets = _run([*command, '--format', '$(REPO_URI) $(RELEASE)'], folder.parent)
        mirror = find_mirror(targets, codename)
    if not mirror:
        raise MissingError('this machine names no archive of its own; name one with --mirror')
    lists, archives = folder / 'state' / 'lists', folder / 'cache' / 'archives'
    for path in (lists / 'partial', archives / 'partial'):
        path.mkdir(parents=True, exist_ok=True)
    (folder / 'state' / 'status').touch()  # as if nothing was installed: everything is fetched
    sources = folder / 'sources.list'
    keys = sorted(Path('/usr/share/keyrings').glob(release.keys))
    signed = f'[signed-by={keys[0]}] ' if keys else ''
    sources.write_text(f'deb {signed}{mirror} {release.suite} {release.components}\n')
    options = {
        'Dir::State': folder / 'state',
        'Dir::State::status': folder / 'state' / 'status',
        'Dir::Cache': folder / 'cache',
        'Dir::Etc::sourcelist': sources,
        'Dir::Etc::sourceparts': '/dev/null',
        'Dir::Etc::preferencesparts': '/dev/null',
        'APT::Sandbox::User': 'root',  # an unprivileged one could not write into the cache
        'APT::Install-Recommends': 'false',
        'APT::Status-Fd': 1,
        'Acquire::Retries': RETRIES,
        'Acquire::http::Timeout': TIMEOUT,
        'Acquire::https::Timeout': TIMEOUT,
    }
    apt = ['apt-get', '-q=2', '-y']
    for name, value in options.items():
        apt += ['-o', f'{name}={value}']
    _run([*apt, 'update'], folder, progress, 'lists of packages')
    packages = [*PROGRAMS, *DISPLAY]
    _run([*apt, '--download-only', 'install', *packages], folder, progress, 'packages')
    _run([*apt, 'download', *DEFINITIONS], archives, progress, 'message definitions')


def _unpack(folder: Path, prefix: Path, progress: Progress) -> None:
    """Unpack the packages; the prefix appears under its name when it is complete."""
    part = prefix.with_name(prefix.name + '.part')
    part.mkdir(exist_ok=True)
    record = part / 'unpacked'
    done = set(record.read_text().splitlines()) if record.is_file() else set()
    packages = sorted((folder / 'cache' / 'archives').glob('*.deb'))
    packages = [package for package in packages if not package.name.startswith(HOSTS)]
    for i, package in enumerate(packages):
        progress('unpacking', i / len(packages))
        if package.name not in done:
            _run(['dpkg-deb', '--extract', str(package), str(part)], folder)
            with record.open('a') as file:
                file.write(package.name + '\n')
    part.rename(prefix)
    shutil.rmtree(folder)
    progress('unpacking', 1.0)


def _run(
    command: list[str], folder: Path, progress: Progress | None = None, what: str = ''
) -> str:
    """Run a command in a folder, telling its progress; gives its output."""
    environment = dict(os.environ, DEBIAN_FRONTEND='noninteractive', LC_ALL='C')
    lines: list[str] = []
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            status = re.match(r'dlstatus:\d+:([\d.]+):', line)
            if status is None:
                lines.append(line.rstrip())
            elif progress is not None:
                progress(what, float(status[1]) / 100.0)
    if process.returncode != 0:
        tail = '\n'.join('  ' + line for line in lines[-15:])
        shown = ' '.join(part for part in command if '=' not in part and part != '-o')
        raise Sim2RealError(f'`{shown}` failed with status {process.returncode}\n{tail}')
    return '\n'.join(lines)
