"""A clip, read back with other people's readers; torn journals; names."""

import json
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest
import yaml
from mcap.reader import make_reader
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import Reader

from sim2real_capture import clip as clip_module
from sim2real_capture import clip_sealing
from sim2real_capture.clip import GONE, JOURNAL, MANIFEST, PART, check_name, clip_name, sha256_of
from sim2real_capture.clip_sealing import recover, seal
from sim2real_capture.library import clip_info, list_clips, verify
from sim2real_capture.ring import Record
from sim2real_core.errors import InputError

S = 10**9


def test_rosbags_reads_it_with_the_definitions_inside(clip):
    with Reader(clip) as reader:
        assert reader.message_count == 201
        assert (reader.start_time, reader.end_time) == (10 * S, round(11.99 * S) + 1)
        qos = {c.topic: c.ext.offered_qos_profiles[0].durability.name for c in reader.connections}
        assert qos == {'/goal': 'TRANSIENT_LOCAL', '/joint_states': 'VOLATILE'}
    with AnyReader([clip]) as reader:
        elbow = [
            reader.deserialize(data, c.msgtype).position[0]
            for c, _, data in reader.messages()
            if c.topic == '/joint_states'
        ]
    np.testing.assert_array_equal(elbow, [0.1 * i for i in range(200)])


def test_the_mcap_library_reads_it_indexed(clip):
    with (clip / 'clip-1_0.mcap').open('rb') as stream:
        reader = make_reader(stream, validate_crcs=True)
        assert reader.get_header().profile == 'ros2'
        summary = reader.get_summary()
        assert summary.chunk_indexes and summary.statistics.message_count == 201
        times = [m.log_time for _, _, m in reader.iter_messages()]
        assert times == sorted(times)
        assert {s.encoding for s in summary.schemas.values()} == {'ros2msg'}
        notes = [(m.name, m.metadata) for m in reader.iter_metadata()]
    assert [name for name, _ in notes] == ['sim2real.context', 'sim2real.event', 'sim2real.end']
    assert notes[0][1]['profile_hash'] == 'f' * 64 and notes[0][1]['bundle'] == 'b' * 64
    assert json.loads(notes[0][1]['draw']) == {'seed': 3}
    assert float(notes[1][1]['score']) == 1 / 3


def test_the_manifest_tells_all(clip):
    manifest = json.loads((clip / MANIFEST).read_text())
    bag = clip / 'clip-1_0.mcap'
    assert manifest['files']['clip-1_0.mcap'] == {
        'sha256': sha256_of(bag),
        'size': bag.stat().st_size,
    }
    assert set(manifest['files']) == {'clip-1_0.mcap', 'metadata.yaml'}
    assert manifest['topics']['/joint_states'] == {
        'type': 'sensor_msgs/msg/JointState', 'messages': 200, 'defined': True
    }  # fmt: skip
    assert (manifest['first_stamp'], manifest['last_stamp']) == (10 * S, round(11.99 * S))
    assert (manifest['end'], manifest['dropped'], manifest['messages']) == ('complete', 2, 201)
    assert manifest['created'] == '2026-11-21T12:00:00.000+00:00'
    assert manifest['events'] == [
        {'stamp': 11.5, 'detector': 'tracking_error', 'score': 1 / 3, 'threshold': 0.25,
         'detail': 'elbow'}
    ]  # fmt: skip
    assert (manifest['profile'], manifest['bundle']) == ('arm6', 'b' * 64)
    assert manifest['estimate'] == {'joint.elbow.armature': {'mean': 0.1}}
    assert sorted(p.name for p in clip.iterdir()) == ['clip-1_0.mcap', MANIFEST, 'metadata.yaml']


def test_the_bag_metadata_has_no_yaml_pointers(clip):
    text = (clip / 'metadata.yaml').read_text()
    assert '&id' not in text  # rosbag2's reader resolves none
    information = yaml.safe_load(text)['rosbag2_bagfile_information']
    assert information['version'] == 8 and information['storage_identifier'] == 'mcap'
    assert information['message_count'] == 201


def test_messages_out_of_order_and_of_unknown_types_survive(tmp_path, journal):
    journal.message(Record('/odd', 'no_such_msgs/msg/Thing', 9 * S, b'\0\1\0\0abcd'))
    journal.close('complete')
    folder = seal(journal.folder)
    with Reader(folder) as reader:
        stamps = [stamp for _, stamp, _ in reader.messages()]
    assert stamps == sorted(stamps) and len(stamps) == 202
    manifest = json.loads((folder / MANIFEST).read_text())
    assert manifest['topics']['/odd']['defined'] is False


@pytest.mark.parametrize('cut', [-1, 0, 1, 30])
def test_a_torn_journal_loses_the_torn_message_alone(
    tmp_path, journal, joint_state, joint_states_in, cut
):
    ends = []
    for i in range(200, 300):
        journal.message(joint_state(10 + 0.01 * i, elbow=0.1 * i, wrist=-1.0))
        ends.append(journal.size)
    journal.flush()
    journal.release()  # as the death of its process does
    with (journal.folder / JOURNAL).open('r+b') as stream:
        stream.truncate(ends[60] + cut)
    recovered, empty, _ = recover(tmp_path)
    assert [p.name for p in recovered] == ['clip-1'] and empty == []
    verify(recovered[0])
    info = clip_info(recovered[0])
    assert info.end == 'recovered' and info.detectors == ('tracking_error',)
    positions = joint_states_in(recovered[0]).position['elbow']
    whole = 200 + 61 - (cut < 0)
    np.testing.assert_array_equal(positions, [0.1 * i for i in range(whole)])


def test_journals_without_messages_are_removed(tmp_path, context):
    now = datetime.now(timezone.utc)
    no_message = clip_module.Journal(tmp_path, 'no-message', context, now)
    no_message.close('complete')
    no_message.release()
    (tmp_path / ('no-journal' + PART)).mkdir()
    (tmp_path / ('no-magic' + PART)).mkdir()
    (tmp_path / ('no-magic' + PART) / JOURNAL).write_bytes(b'')
    recovered, empty, _ = recover(tmp_path)
    assert recovered == [] and len(empty) == 3 and list(tmp_path.iterdir()) == []


def test_what_a_living_process_records_is_left_alone(tmp_path, journal):
    journal.flush()
    assert recover(tmp_path) == ([], [], [])
    journal.release()
    assert [p.name for p in recover(tmp_path)[0]] == ['clip-1']


def test_a_crash_while_sealing_is_made_good(tmp_path, journal, monkeypatch):
    journal.close('complete')
    journal.release()

    def crash(folder):
        raise KeyboardInterrupt

    # Everything is written, the journal is gone, only the last rename is missing.
    with monkeypatch.context() as patch:
        patch.setattr(clip_sealing, '_publish', crash)
        with pytest.raises(KeyboardInterrupt):
            seal(journal.folder)
    recovered, *_ = recover(tmp_path)
    verify(recovered[0])
    assert clip_info(recovered[0]).end == 'complete'


def test_one_that_cannot_be_recovered_does_not_hold_up_the_others(tmp_path, journal):
    journal.flush()
    journal.release()
    (tmp_path / 'clip-0' / 'taken').mkdir(parents=True)
    (tmp_path / 'clip-0.part').mkdir()
    (tmp_path / 'clip-0.part' / MANIFEST).write_text('{}')
    recovered, empty, failed = recover(tmp_path)
    assert ([path.name for path in recovered], empty) == (['clip-1'], [])
    assert [path.name for path, _ in failed] == ['clip-0.part']
    assert (tmp_path / 'clip-0.part' / MANIFEST).is_file()


def test_a_half_written_seal_is_done_again(tmp_path, journal):
    journal.close('complete')
    journal.release()
    (journal.folder / 'clip-1_0.mcap').write_bytes(b'half')
    (journal.folder / MANIFEST).write_text('{')
    recovered, *_ = recover(tmp_path)
    verify(recovered[0])
    assert clip_info(recovered[0]).messages == 201


@pytest.mark.parametrize(
    'name',
    ['', '.', '..', '../x', 'a/b', '/etc', '.hidden', 'a\0b', 'a b', 'clip.part', 'x' * 129,
     '..%2fx', 'a\\b', 'name\n', '-rf'],
)  # fmt: skip
def test_unsafe_names_are_refused(name):
    with pytest.raises(InputError):
        check_name(name)


def test_names_tell_when_in_utc_and_what():
    when = datetime(2026, 11, 21, 1, 2, 3, tzinfo=timezone(timedelta(hours=2)))
    assert clip_name('tracking_error', when, '0a1b2c') == '20261120T230203Z_tracking_error_0a1b2c'


def test_what_another_process_begins_to_delete_is_not_recovered(clip, monkeypatch):
    gone = clip.rename(clip.with_name(clip.name + GONE))
    # It came after recovery had looked for what is left of deletions.
    monkeypatch.setattr(clip_sealing.shutil, 'rmtree', lambda *_, **__: None)
    assert recover(gone.parent) == ([], [], [])
    assert gone.is_dir() and list_clips(gone.parent) == []
