"""The writing thread: what it seals, drops, refuses and makes room for."""

import queue
import shutil
import time

import pytest

from sim2real_capture import writer as writer_module
from sim2real_capture.clip import SHIPPED, Journal, sha256_of
from sim2real_capture.library import list_clips, read_manifest
from sim2real_capture.ring import Record
from sim2real_capture.writer import ClipWriter, Failed, Sealed
from sim2real_core.files import write_json
from sim2real_core.records import Event

MIB = 1 << 20


@pytest.fixture
def make(tmp_path, context):
    """Starts writers on one spool; closes them afterwards."""
    made = []

    def start(**options):
        reports = queue.SimpleQueue()
        settings = {'clip_bytes': MIB, 'spool_bytes': 10 * MIB, **options}
        writer = ClipWriter(tmp_path, lambda: context, reports.put, **settings)
        made.append(writer)
        return writer, reports

    yield start
    for writer in made:
        assert writer.close(10.0)


def test_a_clip_is_sealed_with_all_its_events(make, tmp_path, event, joint_state):
    writer, reports = make()
    later = Event(12.0, 'operator', 0.0, 0.0)
    writer.start('one', event, [joint_state(10.0, a=0.0)])
    writer.write(joint_state(11.0, a=1.0))
    writer.event(later)
    writer.finish('complete')
    report = reports.get(timeout=10)
    assert report == Sealed(tmp_path / 'one', (event, later))
    manifest = read_manifest(report.folder)
    assert (manifest['messages'], manifest['end'], manifest['dropped']) == (2, 'complete', 0)
    assert [e['detector'] for e in manifest['events']] == ['tracking_error', 'operator']


def test_closing_seals_what_is_open(make, tmp_path, event, joint_state):
    writer, reports = make()
    writer.start('one', event, [joint_state(10.0, a=0.0)])
    assert writer.close(10.0)
    assert read_manifest(reports.get(timeout=1).folder)['end'] == 'node stopped'


def test_what_a_dead_process_left_is_sealed_first(make, tmp_path, context, event, joint_state):
    from datetime import datetime, timezone

    left = Journal(tmp_path, 'left', context, datetime.now(timezone.utc))
    left.event(event)
    left.message(joint_state(1.0, a=0.0))
    left.flush()
    left.release()
    (tmp_path / 'nothing.part').mkdir()
    (tmp_path / 'again' / 'taken').mkdir(parents=True)
    (tmp_path / 'again.part').mkdir()
    (tmp_path / 'again.part' / 'manifest.json').write_text('{}')
    _, reports = make()
    assert reports.get(timeout=10) == Sealed(tmp_path / 'left', recovered=True)
    assert reports.get(timeout=10).clip == 'nothing'
    failed = reports.get(timeout=10)
    assert failed.clip == 'again' and 'not recovered' in failed.reason
    assert [(i.clip, i.end) for i in list_clips(tmp_path)] == [('left', 'recovered')]


def test_what_does_not_fit_the_queue_is_dropped_counted_and_said(
    make, event, joint_state, monkeypatch
):
    gate = queue.SimpleQueue()
    real = Journal.event
    monkeypatch.setattr(Journal, 'event', lambda *given: (gate.get(timeout=10), real(*given)))
    writer, reports = make(queue_bytes=2000)
    writer.start('one', event, [joint_state(0.0, a=0.0)])  # the thread now waits at the gate
    for i in range(50):
        writer.write(joint_state(1.0 + i, a=0.0))
    kept = 50 - writer.dropped
    assert 0 < kept < 10
    gate.put(None)
    writer.finish('complete')
    manifest = read_manifest(reports.get(timeout=10).folder)
    assert (manifest['messages'], manifest['dropped']) == (1 + kept, 50 - kept)


def test_a_clip_is_recorded_while_another_is_sealed(
    make, tmp_path, event, joint_state, monkeypatch
):
    gate, real = queue.SimpleQueue(), writer_module.seal

    def slow(folder):
        gate.get(timeout=20)
        return real(folder)

    monkeypatch.setattr(writer_module, 'seal', slow)
    writer, reports = make(queue_bytes=2000)  # five messages
    for clip in ('one', 'two'):
        writer.start(clip, event, [joint_state(0.0, a=0.0)])
        journal, size = tmp_path / f'{clip}.part' / 'journal.mcap', 0
        for i in range(20):
            writer.write(joint_state(1.0 + i, a=0.0))
            grown = grown_to(journal, size)
            assert grown > size and writer.dropped == 0
            size = grown
        writer.finish('complete')
    assert reports.empty()
    gate.put(None)
    assert reports.get(timeout=10).folder == tmp_path / 'one'
    gate.put(None)
    sealed = read_manifest(reports.get(timeout=10).folder)
    assert (sealed['clip'], sealed['messages'], sealed['dropped']) == ('two', 21, 0)


def test_what_is_being_sealed_counts_once_against_the_quota(make, event, joint_state, monkeypatch):
    gate, real = queue.SimpleQueue(), writer_module.seal

    def slow(folder):
        (folder / 'one_0.mcap').write_bytes(bytes(MIB))  # written beside the journal
        gate.put('half')
        release.get(timeout=20)
        return real(folder)

    release = queue.SimpleQueue()
    monkeypatch.setattr(writer_module, 'seal', slow)
    writer, reports = make(spool_bytes=2 * MIB)
    writer.start('one', event, [joint_state(0.0, a=0.0)])
    writer.finish('complete')
    gate.get(timeout=10)
    writer.start('two', event, [joint_state(0.0, a=0.0)])  # there is room once one is sealed
    writer.finish('complete')
    release.put(None)
    release.put(None)
    assert [reports.get(timeout=10).folder.name for _ in range(2)] == ['one', 'two']
    assert (writer.lost, writer.deleted) == (0, 0)


def test_a_sealing_that_hangs_is_not_waited_for_for_ever(
    make, tmp_path, event, joint_state, monkeypatch
):
    gate, real = queue.SimpleQueue(), writer_module.seal

    def hanging(folder):
        (folder / 'one_0.mcap').write_bytes(bytes(MIB))
        gate.get(timeout=30)
        return real(folder)

    monkeypatch.setattr(writer_module, 'seal', hanging)
    monkeypatch.setattr(writer_module, 'SEAL_WAIT', 0.1)
    writer, reports = make(spool_bytes=2 * MIB)
    writer.start('one', event, [joint_state(0.0, a=0.0)])
    writer.finish('complete')
    started = tmp_path / 'one.part' / 'one_0.mcap'
    assert grown_to(started, 0) == MIB
    writer.start('two', event, [joint_state(0.0, a=0.0)])
    said, refused = (reports.get(timeout=20) for _ in range(2))
    assert 'stands still for 0.1 s' in said.reason and not said.clip
    assert refused.clip == 'two' and 'spool_bytes' in refused.reason
    assert not writer.close(0.1)  # which the node tells; a new process would find the part
    assert [path.name for path in tmp_path.iterdir()] == ['one.part']
    gate.put(None)
    assert reports.get(timeout=20).folder == tmp_path / 'one' and writer.lost == 0


def grown_to(path, above, deadline=10.0):
    """A file's size, once it is above a value; at the latest after a deadline [s]."""
    end = time.monotonic() + deadline
    while True:
        size = path.stat().st_size if path.exists() else 0
        if size > above or time.monotonic() > end:
            return size
        time.sleep(0.002)


def test_a_disk_that_fails_ends_the_clip_and_not_the_writer(make, event, joint_state, monkeypatch):
    writer, reports = make()

    def full(*_):
        raise OSError(28, 'No space left on device')

    with monkeypatch.context() as patch:
        patch.setattr(writer_module, 'seal', full)
        writer.start('one', event, [joint_state(0.0, a=0.0)])
        writer.finish('complete')
        report = reports.get(timeout=10)
        assert isinstance(report, Failed) and report.clip == 'one'
        assert 'No space left' in report.reason and report.crash is None
    writer.start('two', event, [joint_state(0.0, a=0.0)])
    writer.finish('complete')
    assert reports.get(timeout=10).folder.name == 'two'


def test_a_bug_in_the_writer_is_not_swallowed(make, event, monkeypatch):
    writer, reports = make()
    monkeypatch.setattr(writer_module, 'Journal', lambda *_: 1 / 0)
    writer.start('one', event, [])
    assert isinstance(reports.get(timeout=10).crash, ZeroDivisionError)


def test_a_bug_in_sealing_costs_no_clip_and_holds_up_none(make, tmp_path, event, monkeypatch):
    gate = queue.SimpleQueue()

    def broken(_):
        gate.get(timeout=10)
        raise ValueError('no such codec')

    message = Record('/a', 'std_msgs/msg/Empty', 10**9, bytes(15000))
    with monkeypatch.context() as patch:
        patch.setattr(writer_module, 'seal', broken)
        writer, reports = make(spool_bytes=MIB + 20000)  # a third one waits for what is sealed
        for clip in ('one', 'two', 'three'):
            writer.start(clip, event, [message])
            writer.finish('complete')
        for clip in ('one', 'two'):
            gate.put(None)
            failed = reports.get(timeout=5)
            assert (failed.clip, type(failed.crash)) == (clip, ValueError)
        refused = reports.get(timeout=5)
        assert refused.clip == 'three' and 'spool_bytes' in refused.reason
    _, reports = make()
    there = {reports.get(timeout=5) for _ in range(2)}
    assert there == {Sealed(tmp_path / clip, recovered=True) for clip in ('one', 'two')}


def test_a_clip_without_messages_is_reported_and_removed(make, tmp_path, event):
    writer, reports = make()
    writer.start('one', event, [])
    writer.finish('complete')
    assert reports.get(timeout=10).clip == 'one'
    assert list(tmp_path.iterdir()) == []


def test_the_quota_deletes_what_was_shipped_and_refuses_the_rest(
    make, tmp_path, event, joint_state
):
    writer, reports = make()
    for name in ('a', 'b', 'c'):
        writer.start(name, event, [joint_state(0.0, a=0.0)])
        writer.finish('complete')
        reports.get(timeout=10)
    used = sum(p.stat().st_size for p in tmp_path.rglob('*') if p.is_file())
    one = sum(p.stat().st_size for p in (tmp_path / 'a').iterdir())
    full, reports = make(clip_bytes=MIB, spool_bytes=MIB + used - one // 2)
    full.start('x', event, [joint_state(0.0, a=0.0)])
    full.write(joint_state(0.1, a=0.0))
    full.finish('complete')
    refused = reports.get(timeout=10)
    assert isinstance(refused, Failed) and refused.clip == 'x' and 'spool_bytes' in refused.reason
    assert full.deleted == 0 and len(list_clips(tmp_path)) == 3
    write_json(tmp_path / 'b' / SHIPPED, {'receiver': 'http://there'})
    full.start('d', event, [joint_state(0.0, a=0.0)])
    full.finish('complete')
    assert reports.get(timeout=10).folder.name == 'd'
    assert sorted(i.clip for i in list_clips(tmp_path)) == ['a', 'c', 'd'] and full.deleted == 1
    assert sha256_of(tmp_path / 'a' / 'a_0.mcap') == list_clips(tmp_path)[0].sha256


def test_what_another_process_deletes_meanwhile_costs_no_clip(
    make, tmp_path, event, joint_state, monkeypatch
):
    def raced(folder):
        shutil.rmtree(folder)
        real(folder)

    real = writer_module.discard
    monkeypatch.setattr(writer_module, 'discard', raced)
    writer, reports = make()
    writer.start('old', event, [joint_state(1.0, a=0.0)])
    writer.finish('complete')
    old = reports.get(timeout=10).folder
    write_json(old / SHIPPED, {'receiver': 'http://there'})
    (old / 'private.mcap').symlink_to('gone')  # listed, and not there when looked at
    full, reports = make(clip_bytes=MIB, spool_bytes=MIB + 10)
    full.start('new', event, [joint_state(1.0, a=0.0)])
    full.finish('complete')
    assert reports.get(timeout=10) == Sealed(tmp_path / 'new', (event,))
    assert not old.exists() and full.deleted == full.lost == 0


def test_the_caller_never_waits_for_a_large_spool(make, event, joint_state, monkeypatch):
    gate = queue.SimpleQueue()
    real = ClipWriter._make_room
    monkeypatch.setattr(
        ClipWriter, '_make_room', lambda *given: gate.get(timeout=10) or real(*given)
    )
    writer, reports = make()
    writer.start('one', event, [joint_state(0.0, a=0.0)])  # returns though nobody looked yet
    writer.finish('complete')
    assert reports.empty()
    gate.put(None)
    assert reports.get(timeout=10).folder.name == 'one'


def test_a_worthier_clip_takes_the_room_of_lesser_ones_and_never_the_other_way(
    make, tmp_path, joint_state
):
    def event(detector):
        return Event(1.0, detector, 1.0, 0.5)

    def record(writer, reports, clip, detector):
        writer.start(clip, event(detector), [joint_state(1.0, a=0.0)])
        writer.finish('complete')
        return reports.get(timeout=10)

    order = ('policy_fault', 'tracking_error')
    roomy, reports = make(priority=order)
    kinds = {'c1': 'other', 'c2': 'tracking_error', 'c3': 'other', 'c4': 'policy_fault'}
    for clip, detector in kinds.items():
        assert isinstance(record(roomy, reports, clip, detector), Sealed)
    assert roomy.close(10.0)
    one = max(writer_module._size(tmp_path / clip) for clip in kinds)
    used = writer_module._size(tmp_path)
    full, reports = make(priority=order, spool_bytes=MIB + used - one // 2)
    # Worth as little as the least: nothing goes for it.
    assert isinstance(record(full, reports, 'x', 'other'), Failed)
    assert full.lost == 0
    lost = record(full, reports, 'c5', 'tracking_error')
    assert isinstance(lost, Failed) and (lost.clip, full.lost) == ('c1', 1)
    assert 'tracking_error' in lost.reason
    assert isinstance(reports.get(timeout=10), Sealed)
    assert {info.clip for info in list_clips(tmp_path)} == {'c2', 'c3', 'c4', 'c5'}


def test_private_messages_stay_only_as_long_as_they_may(make, tmp_path, event, joint_state):
    import os
    import time

    writer, reports = make(private_days=1.0)
    for clip in ('old', 'new'):
        writer.start(clip, event, [joint_state(1.0, a=0.0)])
        writer.finish('complete')
        folder = reports.get(timeout=10).folder
        for name in ('private.mcap', 'private_0.5d.mcap', 'private_2d.mcap'):
            (folder / name).write_bytes(b'')
    for days, clip in ((1.1, 'old'), (0.6, 'new')):
        past = time.time() - days * 86400
        for path in (tmp_path / clip).glob('private*'):
            os.utime(path, (past, past))
    writer.start('next', event, [joint_state(1.0, a=0.0)])
    writer.finish('complete')
    reports.get(timeout=10)
    left = {f'{p.parent.name}/{p.stem}' for p in tmp_path.glob('*/private*')}
    assert left == {'old/private_2d', 'new/private', 'new/private_2d'}
    assert len(list_clips(tmp_path)) == 3
