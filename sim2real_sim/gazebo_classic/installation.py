"""Where this machine has Gazebo Classic, and what its programs need around them.

That is the system's own when ``gzserver`` is on the PATH, else the private one that
``sim2real gazebo fetch`` puts into the cache.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sim2real_core.errors import MissingError

HOW_TO_GET = '`sim2real gazebo fetch` brings one into a private folder (about 260 MB to download)'


def cache() -> Path:
    """Folder for what this module and its neighbours keep: ``$SIM2REAL_CACHE`` or ``~/.cache``."""
    root = os.environ.get('SIM2REAL_CACHE') or Path.home() / '.cache' / 'sim2real'
    return Path(root) / 'gazebo'


@dataclass(frozen=True)
class Installation:
    """Gazebo Classic on this machine.

    Attributes:
        root: folder that holds its ``usr``; ``/`` for the system's own.
    """

    root: Path

    @property
    def private(self) -> bool:
        """Whether it lies in a folder of its own, unknown to the system."""
        return self.root != Path('/')

    def program(self, name: str) -> Path:
        """A program of it, e.g. ``gzserver``.

        Raises:
            MissingError: it has no such program.
        """
        found = self.root / 'usr' / 'bin' / name if self.private else shutil.which(name)
        if found is None or not Path(found).exists():
            raise MissingError(f'{name} is missing: {HOW_TO_GET}')
        return Path(found)

    def protos(self) -> dict[str, Path]:
        """Folders of message definitions, by the library they belong to.

        Returns:
            ``gazebo``: folder with ``physics.proto`` and others; ``ignition``: folder with
            ``ignition/msgs``.

        Raises:
            MissingError: they are not installed.
        """
        include = self.root / 'usr' / 'include'
        gazebo = sorted(include.glob('gazebo-*/gazebo/msgs/proto'))
        ignition = sorted(include.glob('ignition/msgs*/ignition/msgs'))
        if not gazebo or not ignition:
            raise MissingError(
                "Gazebo's message definitions are missing: "
                'install libgazebo-dev and libignition-msgs-dev'
            )
        return {'gazebo': gazebo[-1], 'ignition': ignition[-1].parent.parent}

    def environment(self) -> dict[str, str]:
        """The present environment, with what the programs need to find their own parts.

        Folders of the user's (``GAZEBO_MODEL_PATH`` and so on) come first and are kept.
        """
        environment = dict(os.environ)
        environment.setdefault('GAZEBO_MODEL_DATABASE_URI', '')  # never wait for the network
        if not os.access(environment.get('HOME', '/nonexistent'), os.W_OK):
            environment['HOME'] = tempfile.gettempdir()  # Gazebo writes its log there
        if not self.private:
            return environment
        usr = self.root / 'usr'
        libraries = list(self._libraries())
        ogre = sorted(path for lib in libraries for path in lib.glob('OGRE-*'))
        sdf = sorted(usr.glob('share/sdformat*/1.*'), key=lambda path: float(path.name))
        drivers = [lib / 'dri' for lib in libraries if (lib / 'dri').is_dir()]
        paths = {
            'LD_LIBRARY_PATH': libraries,
            'GAZEBO_PLUGIN_PATH': [lib for lib in libraries if lib.match('gazebo-*/plugins')],
            'GAZEBO_RESOURCE_PATH': sorted(usr.glob('share/gazebo-*')),
            'GAZEBO_MODEL_PATH': sorted(usr.glob('share/gazebo-*/models')),
            'OGRE_RESOURCE_PATH': ogre[-1:],
            'SDF_PATH': sdf[-1:],
            'LIBGL_DRIVERS_PATH': drivers,
        }
        for name, folders in paths.items():
            own = [part for part in environment.get(name, '').split(os.pathsep) if part]
            environment[name] = os.pathsep.join([*own, *map(str, folders)])
        environment['LIBGL_ALWAYS_SOFTWARE'] = '1'  # its drivers know no hardware of this machine
        return environment

    def _libraries(self) -> Iterator[Path]:
        """Folders of shared libraries; those below a folder are not searched by the loader."""
        for architecture in sorted(self.root.glob('usr/lib/*-linux-gnu*')):
            yield architecture
            yield self.root / 'lib' / architecture.name
            for name in ('blas', 'lapack', 'pulseaudio', 'gazebo-*/plugins'):
                yield from sorted(architecture.glob(name))
        yield self.root / 'usr' / 'lib'


def find() -> Installation:
    """Gazebo Classic of this machine.

    Raises:
        MissingError: there is none.
    """
    if shutil.which('gzserver'):
        return Installation(Path('/'))
    private = Installation(cache() / 'prefix')
    if private.root.is_dir():
        return private
    raise MissingError(f'this machine has no Gazebo Classic: {HOW_TO_GET}')
