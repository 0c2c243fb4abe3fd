"""Rules of topics: read, matched, and obeyed by the ring, by clips and after a crash."""

from datetime import datetime, timezone

import pytest
from mcap.reader import make_reader
from rosbags.rosbag2 import Reader

from sim2real_capture import rules as rules_module
from sim2real_capture.clip import Context, Journal, private_name
from sim2real_capture.clip_sealing import recover, seal
from sim2real_capture.library import read_manifest, verify
from sim2real_capture.reduction import COMPRESSED, IMAGE
from sim2real_capture.ring import Record
from sim2real_capture.rules import Rule, Rules, Sieve, read_rules
from sim2real_core.errors import InputError


@pytest.fixture
def image(ros_image):
    """Makes the bytes of a picture by its stamp [s]."""
    return lambda stamp: ros_image(IMAGE, stamp=stamp)


RULES = {
    'face/*': Rule(exclude=True),
    'camera/*': Rule(private=True, thin=2),
    'joint_states': Rule(every=4),
}


def test_the_first_pattern_that_matches_counts_at_any_depth():
    rules = Rules({'a/b': Rule(every=2), '/x/*': Rule(every=3), 'b': Rule(every=4)})
    topics = {'/a/b': 2, '/robot/a/b': 2, '/b': 4, '/x/b': 3, '/robot/x/y': 1, '/ab': 1}
    assert {topic: rules.of(topic).every for topic in topics} == topics
    assert Rules.from_json(rules.as_json()).of('/x/y') == Rule(every=3)


def test_every_fault_of_a_file_is_named_with_its_line(tmp_path):
    path = tmp_path / 'rules.yaml'
    path.write_text(
        'topics:\n  a: {every: 0}\n  b: {private: true, exclude: true}\n  c: 3\n  d: {days: 1}\n'
    )
    with pytest.raises(
        InputError, match=r':2: topics.a.every(.|\n)*:3: (.|\n)*:4: c(.|\n)*d.days'
    ):
        read_rules(path)
    path.write_text('topics:\n  camera/*: {private: true}\n')
    assert read_rules(path).of('/camera/image_raw').private


def journal(folder, image, joint_state, event, rules, **context):
    context = Context('arm6', 'f' * 64, rules=Rules(rules).as_json(), **context)
    made = Journal(folder, 'one', context, datetime(2026, 11, 21, tzinfo=timezone.utc))
    made.event(event)
    for i in range(10):
        made.message(joint_state(10 + i, elbow=0.1))
        made.message(Record('/camera/image_raw', IMAGE, (10 + i) * 10**9, image(i)))
    made.flush()
    return made


@pytest.mark.parametrize('crashed', [False, True])
def test_what_is_private_is_not_in_what_is_shipped_even_after_a_crash(
    tmp_path, store, image, joint_state, event, crashed
):
    made = journal(tmp_path, image, joint_state, event, RULES)
    if crashed:
        made.release()
        ((clip,), *_) = recover(tmp_path)
    else:
        made.close('complete')
        clip = seal(made.folder)
        made.release()
    manifest = read_manifest(clip)
    verify(clip)
    assert set(manifest['topics']) == {'/joint_states'}
    assert manifest['topics']['/joint_states']['messages'] == 3  # the 1st, 5th and 9th
    assert manifest['thinned_out'] == {'/joint_states': 7}
    assert manifest['private'] == {'/camera/image_raw': 10}
    assert private_name(0) not in manifest['files']
    for name in manifest['files']:
        assert b'image_raw' not in (clip / name).read_bytes()
    with (clip / private_name(0)).open('rb') as stream:
        pictures = list(make_reader(stream).iter_messages())
    assert len(pictures) == 10
    small = store.deserialize_cdr(pictures[0][2].data, IMAGE)
    assert (small.height, small.width) == (3, 2)


def test_without_private_topics_there_is_no_private_file(clip):
    assert not (clip / private_name(0)).exists() and 'private' not in read_manifest(clip)


@pytest.mark.parametrize('crashed', [False, True])
@pytest.mark.parametrize('compression', ['zstd', 'lz4', 'none'])
def test_a_clip_of_jpeg_images_is_a_bag_that_readers_read(
    tmp_path, store, image, joint_state, event, compression, crashed
):
    rules = {'camera/*': Rule(compress='jpeg', quality=80), 'joint_states': Rule(thin=3)}
    made = journal(tmp_path, image, joint_state, event, rules, compression=compression)
    made.message(Record('/camera/image_raw', IMAGE, 30 * 10**9, image(0)[:20]))  # torn by a driver
    if crashed:
        made.flush()
        made.release()
        ((clip,), *_) = recover(tmp_path)
    else:
        made.close('complete')
        clip = seal(made.folder)
        made.release()
    verify(clip)
    manifest = read_manifest(clip)
    topics = {
        topic: (about['type'], about['messages']) for topic, about in manifest['topics'].items()
    }
    assert topics['/camera/image_raw/compressed'] == (COMPRESSED, 10)
    assert topics['/camera/image_raw'] == (IMAGE, 1)
    told = manifest['reduced']
    assert set(told) == {'/camera/image_raw'} and manifest['compression'] == compression
    told = told['/camera/image_raw']
    assert (told['topic'], told['messages'], told['left']) == (
        '/camera/image_raw/compressed',
        10,
        1,
    )
    assert told['how'] == {'codec': 'jpeg', 'quality': 80} and 'no sensor_msgs' in told['why']
    assert told['bytes_before'] == 10 * len(image(0)) > 0 < told['bytes_after']
    with (clip / f'{made.clip}_0.mcap').open('rb') as stream:
        reader = make_reader(stream)
        chunks = {index.compression for index in reader.get_summary().chunk_indexes}
        assert chunks == {'' if compression == 'none' else compression}
        assert len(list(reader.iter_messages(['/camera/image_raw/compressed']))) == 10
    with Reader(clip) as bag:  # metadata.yaml says what is in the file
        seen = [
            store.deserialize_cdr(data, connection.msgtype)
            for connection, _, data in bag.messages()
            if connection.msgtype == COMPRESSED
        ]
    assert [message.header.stamp.sec for message in seen] == list(range(10))
    assert seen[0].format == 'rgb8; jpeg compressed bgr8'


@pytest.mark.parametrize('error', [IndexError('beyond'), OSError('too wide'), MemoryError()])
def test_whatever_goes_wrong_with_a_message_it_is_passed_as_it_is(monkeypatch, image, error):
    def broken(record, **how):
        raise error

    monkeypatch.setattr(rules_module, 'reduced', broken)
    sieve, record = Sieve(Rules({'a': Rule(thin=2)})), Record('/a', IMAGE, 0, image(0))
    assert sieve.passed(record) is record
    assert (sieve.reduced['/a'].left, sieve.reduced['/a'].why) == (1, str(error) or repr(error))


@pytest.mark.parametrize(
    ('own', 'why'),
    [(Rule(), 'recorded'), (Rule(private=True), 'private'), (Rule(exclude=True), 'excluded')],
)
def test_pictures_do_not_go_where_other_messages_or_another_rule_are(
    tmp_path, image, joint_state, event, own, why
):
    rules = {'*/compressed': own, 'camera/*': Rule(compress='jpeg')}
    made = journal(tmp_path, image, joint_state, event, rules)
    topic = '/camera/image_raw/compressed'
    if why == 'recorded':  # by the robot, after the first pictures
        made.message(Record(topic, COMPRESSED, 40 * 10**9, b'as the driver sent it'))
    made.close('complete')
    manifest = read_manifest(seal(made.folder))
    made.release()
    counts = {name: about['messages'] for name, about in manifest['topics'].items()}
    others = {topic: 1} if why == 'recorded' else {}
    assert counts == {'/camera/image_raw': 10, '/joint_states': 10, **others}
    told = manifest['reduced']['/camera/image_raw']
    assert (told['messages'], told['left']) == (0, 10) and f'{topic} is {why}' in told['why']


def test_pictures_of_a_private_topic_stay_private_under_their_new_name(
    tmp_path, image, joint_state, event
):
    rules = {
        '*/image_raw': Rule(private=True, compress='png'),
        'joint_states': Rule(private=True, days=0.5),
    }
    made = journal(tmp_path, image, joint_state, event, rules)
    made.close('complete')
    clip = seal(made.folder)
    made.release()
    manifest = read_manifest(clip)
    assert manifest['topics'] == {}
    assert manifest['private'] == {'/camera/image_raw/compressed': 10, '/joint_states': 10}
    assert len(manifest['files']) == 2 and manifest['messages'] == 0
    for name, topic in (('private.mcap', '/camera/image_raw/compressed'),
                        ('private_0.5d.mcap', '/joint_states')):  # fmt: skip
        with (clip / name).open('rb') as stream:
            kept = [channel.topic for _, channel, _ in make_reader(stream).iter_messages()]
        assert kept == 10 * [topic]
