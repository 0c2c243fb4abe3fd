"""Definitions from installed files, with everything they contain, and from the library."""

import pytest

from sim2real_capture import definitions
from sim2real_capture.definitions import RULE, definition


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """An install prefix with a package of three messages."""
    folder = tmp_path / 'share' / 'my_msgs' / 'msg'
    folder.mkdir(parents=True)
    (folder / 'Part.msg').write_text('uint8 KIND_A=1 # a constant\nstring<=12 label\n')
    (folder / 'Part.json').write_text('{"type_hashes": []}')
    (folder / 'Whole.msg').write_text(
        'std_msgs/Header header\n'
        '# Part in a comment, other_msgs/Unknown too\n'
        'Part[<=3] parts\n'
        'my_msgs/Part[] more   # std_msgs/String\n'
        'float64[9] matrix\n'
        'string name "a default"\n'
    )
    (folder / 'Whole.json').write_text(
        '{"type_hashes": [{"type_name": "my_msgs/msg/Part", "hash_string": "RIHS01_p"},'
        ' {"type_name": "my_msgs/msg/Whole", "hash_string": "RIHS01_w"}]}'
    )
    (folder / 'Broken.msg').write_text('nowhere_msgs/Such field\n')
    monkeypatch.setenv('AMENT_PREFIX_PATH', f'/nonexistent:{tmp_path}')
    definition.cache_clear()
    yield folder
    definition.cache_clear()


def test_a_definition_carries_all_it_contains_once(workspace):
    found = definition('my_msgs/msg/Whole')
    blocks = found.text.split(f'\n{RULE}\n')
    assert [block.splitlines()[0] for block in blocks] == [
        'std_msgs/Header header',
        'MSG: std_msgs/Header',
        'MSG: builtin_interfaces/Time',
        'MSG: my_msgs/Part',
    ]
    assert found.hash == 'RIHS01_w'


def test_rosbags_reads_what_was_put_together(workspace):
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    store = get_typestore(Stores.EMPTY)
    store.register(get_types_from_msg(definition('my_msgs/msg/Whole').text, 'my_msgs/msg/Whole'))
    assert {'my_msgs/msg/Whole', 'my_msgs/msg/Part', 'std_msgs/msg/Header'} <= set(store.types)


def test_a_type_with_an_unknown_part_is_unknown(workspace):
    assert definition('my_msgs/msg/Broken') == definitions.Definition('', '')


def test_without_installed_files_the_library_helps(monkeypatch):
    installed = definition('sensor_msgs/msg/JointState')
    definition.cache_clear()
    monkeypatch.setattr(definitions, 'prefixes', lambda: iter(()))
    found = definition('sensor_msgs/msg/JointState')
    definition.cache_clear()
    assert 'MSG: std_msgs/Header' in found.text and found.hash.startswith('RIHS01_')
    assert installed.hash in ('', found.hash)
