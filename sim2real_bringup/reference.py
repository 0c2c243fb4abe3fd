"""The documentation's tables of nodes, topics and parameters, from the code.

``python -m sim2real_bringup.reference FILE...`` renews what stands between the lines
``<!-- tables -->`` and ``<!-- /tables -->`` of Markdown files; a test holds that it is current.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from sim2real_bringup.catalog import NODES, Topic
from sim2real_bringup.stacks import STACKS
from sim2real_capture.detectors_kinds import KINDS, Settings
from sim2real_capture.rules import Rule
from sim2real_core.config import ParameterRow

BEGIN, END = '<!-- tables -->', '<!-- /tables -->'
PROFILE = {
    '{command}': "the profile's `command.topic`",
    '{joint_states}': '`joint_states`',
    '{imu}': '`imu`',
    'raw/{command}': "`raw/` and the profile's `command.topic`",
    'raw/{joint_states}': '`raw/joint_states`',
    'raw/{imu}': '`raw/imu`',
    '{goal}': '`goal`',
}


def tables(level: int = 2) -> str:
    """All tables as Markdown.

    Args:
        level: of their headings.
    """
    mark = '#' * level
    parts = [
        f'{mark} Stacks\n\n{_stacks()}',
        f'{mark} Nodes\n\n{_nodes()}',
        f'{mark} Topics\n\n{_topics()}',
        f'{mark} Parameters\n\nEvery node but those that make time also has `use_sim_time`.',
    ]
    for kind in NODES.values():
        parts.append(f'{mark}# `{kind.name}`\n\n{_parameters(kind.config().table())}')
    parts.append(f'{mark} Detectors\n\n{_detectors()}')
    rules = 'What the file of the parameter `rules` of `capture` may say of a topic.'
    parts.append(f'{mark} Rules of topics\n\n{rules}\n\n{_parameters(Rule.table())}')
    return '\n\n'.join(parts)


def renewed(text: str) -> str:
    """A Markdown text with its tables renewed; unchanged where it has none."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        return text
    return f'{before}{BEGIN}\n\n{tables()}\n\n{END}{after}'


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ['---'] * len(head), *rows]
    return '\n'.join(
        '| ' + ' | '.join(cell.replace('|', '\\|') for cell in row) + ' |' for row in lines
    )


def _stacks() -> str:
    return _table(
        ('Stack', 'Nodes', 'For'),
        (
            (f'`{kind.name}`', ', '.join(f'`{node}`' for node in kind.nodes), kind.purpose)
            for kind in STACKS.values()
        ),
    )


def _nodes() -> str:
    return _table(
        ('Node', 'What it does', 'Services'),
        (
            (
                f'`{kind.name}`',
                kind.purpose,
                ', '.join(f'`{name}` ({_short(type_)})' for name, type_ in kind.services),
            )
            for kind in NODES.values()
        ),
    )


def _topics() -> str:
    by_topic: dict[Topic, tuple[list[str], list[str]]] = {}
    for kind in NODES.values():
        for side, topics in enumerate((kind.publishes, kind.subscribes)):
            for topic in topics:
                by_topic.setdefault(topic, ([], []))[side].append(kind.name)
    return _table(
        ('Topic', 'Type', 'From', 'To'),
        (
            (
                PROFILE.get(topic.name, f'`{topic.name}`')
                + (' (latched)' if topic.latched else ''),
                _short(topic.type),
                'every node' if topic.name == '/diagnostics' else ', '.join(sources),
                ', '.join(sinks),
            )
            for topic, (sources, sinks) in sorted(
                by_topic.items(), key=lambda item: item[0].name.strip('{/')
            )
        ),
    )


def _detectors() -> str:
    common = {row.name: row for row in Settings.table()}
    text = 'What a file of the parameter `detectors` of `capture` may say of any detector.'
    own = (
        (f'`{name}`', f'`{row.name}`', _value(row), _range(row), row.description)
        for name, kind in KINDS.items()
        for row in kind.settings.table()
        if row.name not in common
    )
    named = ', '.join(f'`{name}`' for name in KINDS)
    head = ('Kind', 'Setting', 'Default', 'Range', 'What')
    return f'{text} Kinds: {named}.\n\n{_parameters(common.values())}\n\n{_table(head, own)}'


def _parameters(rows: Iterable[ParameterRow]) -> str:
    return _table(
        ('Parameter', 'Default', 'Range', 'What'),
        ((f'`{row.name}`', _value(row), _range(row), row.description) for row in rows),
    )


def _value(row: ParameterRow) -> str:
    default = list(row.default) if isinstance(row.default, tuple) else row.default
    unit = f' {row.unit}' if row.unit else ''
    return f'`{json.dumps(default)}`{unit}'


def _range(row: ParameterRow) -> str:
    if row.choices is not None:
        return ', '.join(f'`{choice}`' for choice in row.choices)
    low = '' if row.low is None else f'from {row.low:g}'
    high = '' if row.high is None else f'to {row.high:g}'
    return f'{low} {high}'.strip()


def _short(type_name: str) -> str:
    return type_name.replace('/msg/', '/').replace('/srv/', '/')


def main(paths: Sequence[str]) -> int:
    """Renew the tables of these files."""
    for name in paths:
        path = Path(name)
        path.write_text(renewed(path.read_text(encoding='utf-8')), encoding='utf-8')
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
