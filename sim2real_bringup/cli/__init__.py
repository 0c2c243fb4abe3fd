"""The ``sim2real`` command: one verb per file of this package.

A verb's file is named after it (``bag_import.py`` is ``sim2real bag import``,
``sysid_to_space.py`` is ``sim2real sysid to-space``) and has:

- ``HELP``: one line; ``EXAMPLE``: at least one command line; ``DETAILS``, if more is to be said;
- ``add_arguments(parser)``: adds its arguments to an ``argparse`` parser;
- ``run(args) -> int``: does it, returns the exit status.

It imports nothing heavy at module level: ``sim2real --help`` imports every verb. ``GROUPS`` says
where the map shows it.
Exit status: 0 done, 1 the result says no, 2 bad input, 3 something needed is missing.
"""

from __future__ import annotations

import argparse
import difflib
import errno
import importlib
import pkgutil
import sys
from collections.abc import Sequence
from typing import Any

from sim2real_bringup.requirements import HOW_TO_GET
from sim2real_core.errors import InputError, MissingError, Sim2RealError

GROUPS = {
    'Run': ('demo', 'up', 'replay'),
    'Robots and worlds': ('init', 'randomize', 'sim', 'gazebo'),
    'Identification': ('sysid',),
    'Policies': ('train', 'evaluate', 'policy'),
    'Data': ('bag', 'capture'),
    'This machine': ('doctor',),
}
"""Title in the map, to the first words of its verbs."""
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
"""Errors of a disk: no file is named where a write fails."""


def verbs() -> dict[str, str]:
    """Every verb (``bag import``) and its module's name (``bag_import``)."""
    found = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return {
        name.replace('_', ' ', 1).replace('_', '-'): name
        for name in found
        if not name.startswith('_')
    }


def load(module: str) -> Any:
    """The module of a verb."""
    return importlib.import_module(f'{__name__}.{module}')


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    known = verbs()
    verb = next((' '.join(arguments[:n]) for n in (2, 1) if ' '.join(arguments[:n]) in known), '')
    if not verb:
        return _without_verb(arguments, known)
    try:
        module = load(known[verb])
        args = _parser(verb, module).parse_args(arguments[len(verb.split()) :])
        return int(module.run(args))
    except Sim2RealError as error:
        print(f'sim2real {verb}: {error}', file=sys.stderr)
        return error.exit_code
    except ModuleNotFoundError as error:
        package = (error.name or '').partition('.')[0]
        if package not in HOW_TO_GET:
            raise
        print(f'sim2real {verb}: {package} is missing: {HOW_TO_GET[package]}', file=sys.stderr)
        return MissingError.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has enough of it; Python would complain at exit.
        sys.stderr.close()
        return 1
    except OSError as error:
        if error.filename is None and error.errno not in DISK:
            raise
        what = error.filename or 'while writing'
        print(f'sim2real {verb}: {what}: {error.strerror}', file=sys.stderr)
        return InputError.exit_code


def _parser(verb: str, module: Any) -> argparse.ArgumentParser:
    examples = '\n'.join(f'  {line.strip()}' for line in module.EXAMPLE.strip().splitlines())
    details = getattr(module, 'DETAILS', '')
    parser = argparse.ArgumentParser(
        prog=f'sim2real {verb}',
        description=f'{module.HELP}\n\n{details}'.strip(),
        epilog=f'example:\n{examples}',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    return parser


def _without_verb(arguments: list[str], known: dict[str, str]) -> int:
    """Show the map, or the part of it that the first word names."""
    first = arguments[0] if arguments else '--help'
    part = {verb: name for verb, name in known.items() if verb.split()[0] == first}
    if first in ('-h', '--help', 'help'):
        print(_map(known))
        return 0
    if part and set(arguments[1:]) <= {'-h', '--help'}:
        print(_map(part))
        return 0
    wrong = ' '.join(arguments[:2] if part else arguments[:1])
    near = difflib.get_close_matches(wrong, known, n=1)
    hint = f'; did you mean: sim2real {near[0]}?' if near else ''
    print(f'sim2real: no verb {wrong!r}{hint}\n\n{_map(part or known)}', file=sys.stderr)
    return 2


def _map(known: dict[str, str]) -> str:
    """Verbs by group, one a line."""
    width = max(len(verb) for verb in known) + 2
    lines = ['usage: sim2real <verb> ...   (sim2real <verb> --help says more)']
    grouped = [word for words in GROUPS.values() for word in words]
    more = tuple(
        dict.fromkeys(verb.split()[0] for verb in known if verb.split()[0] not in grouped)
    )
    for title, words in {**GROUPS, 'More': more}.items():
        inside = [verb for word in words for verb in known if verb.split()[0] == word]
        if inside:
            lines += ['', f'{title}:']
            lines += [f'  {verb:<{width}}{load(known[verb]).HELP}' for verb in inside]
    return '\n'.join(lines)
