"""ROS parameter files, read the same way everywhere and checked before anything starts.

One YAML file serves a whole stack, in ROS's own format::

    /**:                        # every node that has the parameter
      ros__parameters: {robot: arm6}
    /**/capture:                # the capture node, in any namespace
      ros__parameters: {before: 2.0}

``capture:`` means the capture node in the stack's own namespace, ``/left/capture:`` that one
only. A node or a parameter that does not exist is a fault, not ignored.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from sim2real_bringup.catalog import NODES
from sim2real_core.errors import Fault, Faults, InputError
from sim2real_core.yaml_file import read_yaml

SECTION = 'ros__parameters'
USE_SIM_TIME = 'use_sim_time'


@dataclass
class Parameters:
    """Values for the nodes of one namespace, and where each came from.

    Attributes:
        namespace: absolute (``/left``), or ``''``.
        values: node to parameter to value.
        faults: collects what is wrong; :meth:`check` raises it.
    """

    namespace: str
    values: dict[str, dict[str, Any]] = field(default_factory=lambda: {n: {} for n in NODES})
    faults: Faults = field(default_factory=Faults)
    _origin: dict[tuple[str, str], tuple[object, ...]] = field(default_factory=dict)

    def read(self, path: str | Path) -> None:
        """Take a parameter file; what it says replaces what was there."""
        file = read_yaml(path)
        self.faults.file, self.faults.lines = str(file.path), file.lines
        sections = list(_sections(file.data, (), self.faults))
        # As ROS does it: what is meant for every node first, what is meant for one wins.
        for where, values in sorted(sections, key=lambda section: not _everyone(section[0])):
            self._section(where, values)

    def _section(self, where: tuple[str, ...], values: Mapping[str, Any]) -> None:
        parts = _parts(where)
        name = parts[-1] if parts else ''
        everyone = _everyone(where)
        if not everyone and name not in NODES:
            near = difflib.get_close_matches(name, NODES, n=1)
            hint = f'did you mean {near[0]}? ' if near else ''
            mend = f'{hint}nodes are: {", ".join(NODES)}'
            self.faults.add('/'.join(where), name, mend, path=where)
            return
        relative = not where[0].startswith('/') and len(parts) == 1
        pattern = _pattern(parts)
        for parameter, value in values.items():
            path = (*where, SECTION, *parameter.split('.'))
            known = False
            for node in NODES:
                if parameter not in parameter_names(node):
                    continue
                known |= everyone or node == name
                full = f'{self.namespace}/{node}'
                if node == name if relative else pattern.fullmatch(full):
                    self.set(node, parameter, value, path)
            if not known:
                of = 'any node' if everyone else name
                self.faults.add(parameter, value, f'not a parameter of {of}', path=path)

    def set(self, node: str, name: str, value: Any, origin: tuple[object, ...] = ()) -> None:
        """Set one parameter of one node."""
        self.values[node][name] = value
        self._origin[node, name] = origin

    def given(self, node: str, name: str) -> bool:
        """Whether a parameter was set otherwise than by the file."""
        return self._origin.get((node, name)) == ()

    def assign(self, text: str) -> None:
        """Set a parameter given as ``node.name=value``; the value is YAML.

        ``**.name=value`` sets it on every node that has it.
        """
        target, equals, value = text.partition('=')
        node, dot, name = target.partition('.')
        if not (equals and dot and name):
            self._wrong(text, 'must be like capture.before=2.0')
            return
        nodes = list(NODES) if node == '**' else [node]
        known = [n for n in nodes if n in NODES and name in parameter_names(n)]
        if not known:
            has = (
                f'{node} has: {", ".join(parameter_names(node))}'
                if node in NODES
                else (f'nodes are: {", ".join(NODES)}')
            )
            self._wrong(text, has)
            return
        try:
            parsed = yaml.safe_load(value)
        except yaml.YAMLError as error:
            self._wrong(text, f'the value is not YAML ({error})')
            return
        for one in known:
            self.set(one, name, parsed)

    def _wrong(self, text: str, mend: str) -> None:
        self.faults.found.append(Fault('param', text, mend))  # of no file

    def check(self, nodes: tuple[str, ...]) -> None:
        """Raise InputError when the values do not fit the nodes; every fault is named."""
        for node in nodes:
            given = dict(self.values[node])
            sim_time = given.pop(USE_SIM_TIME, False)
            if not isinstance(sim_time, bool):
                self._fault(node, Fault(USE_SIM_TIME, sim_time, 'must be true or false'))
            try:
                NODES[node].config()(**given)
            except InputError as error:
                for fault in error.faults:
                    self._fault(node, fault)
        self.faults.check()

    def _fault(self, node: str, fault: Fault) -> None:
        name, origin = f'{node}.{fault.field}', self._origin.get((node, fault.field))
        if origin:
            self.faults.add(name, fault.value, fault.mend, path=origin)
        else:  # not from the file
            self.faults.found.append(replace(fault, field=name))


def _parts(where: tuple[str, ...]) -> list[str]:
    return [part for key in where for part in key.split('/') if part]


def _everyone(where: tuple[str, ...]) -> bool:
    return _parts(where)[-1:] in (['*'], ['**'])


def parameter_names(node: str) -> list[str]:
    """Names of a node's parameters; one that makes time follows no clock."""
    names = [row.name for row in NODES[node].config().table()]
    return names if NODES[node].makes_time else [*names, USE_SIM_TIME]


def _sections(
    data: Mapping[str, Any], where: tuple[str, ...], faults: Faults
) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    for key, value in data.items():
        path = (*where, str(key))
        if not isinstance(value, Mapping):
            faults.add('/'.join(path), value, f'must hold {SECTION}:', path=path)
        elif SECTION in value:
            if isinstance(value[SECTION], Mapping):
                yield path, dict(_flat(value[SECTION], ''))
            elif value[SECTION] is not None:
                faults.add(SECTION, value[SECTION], 'must be a mapping', path=(*path, SECTION))
        else:
            yield from _sections(value, path, faults)


def _flat(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f'{prefix}{key}.')
        else:
            yield f'{prefix}{key}', value


def _pattern(parts: list[str]) -> re.Pattern[str]:
    """ROS's wildcards: ``**`` any number of namespaces (last: any node), ``*`` one token."""
    text = ''
    for i, part in enumerate(parts):
        if part == '**':
            text += r'(/\w+)+' if i == len(parts) - 1 else r'(/\w+)*'
        else:
            text += '/' + (r'\w+' if part == '*' else re.escape(part))
    return re.compile(text)
