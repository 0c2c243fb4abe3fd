"""Rules of topics: read, matched, and obeyed by the ring, by clips and after a crash."""

from datetime import datetime, timezone

import numpy as np
import pytest
from mcap.reader import make_reader

from sim2real_capture.clip import PRIVATE, Context, Journal, recover, seal
from sim2real_capture.library import read_manifest, verify
from sim2real_capture.ring import Record
from sim2real_capture.rules import CLOUD, IMAGE, Rule, Rules, read_rules, thinned
from sim2real_core.errors import InputError

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
    path.write_text('topics:\n  a: {every: 0}\n  b: {private: true, exclude: true}\n  c: 3\n')
    with pytest.raises(InputError, match=r':2: topics.a.every(.|\n)*:3: (.|\n)*:4: c'):
        read_rules(path)
    path.write_text('topics:\n  camera/*: {private: true}\n')
    assert read_rules(path).of('/camera/image_raw').private


def image(store, stamp=0, height=5, width=4, encoding='rgb8', channels=3):
    t = store.types
    header = t['std_msgs/msg/Header'](
        stamp=t['builtin_interfaces/msg/Time'](sec=stamp, nanosec=0), frame_id='eye'
    )
    data = np.arange(height * width * channels, dtype=np.uint8)
    message = t[IMAGE](header, height, width, encoding, 0, width * channels, data)
    return bytes(store.serialize_cdr(message, IMAGE))


def test_a_thinned_image_is_every_other_row_and_column(store):
    small = store.deserialize_cdr(thinned(IMAGE, image(store), 2), IMAGE)
    assert (small.height, small.width, small.step, small.header.frame_id) == (3, 2, 6, 'eye')
    whole = np.arange(60).reshape(5, 4, 3)
    np.testing.assert_array_equal(small.data.reshape(3, 2, 3), whole[::2, ::2])


@pytest.mark.parametrize('encoding', ['bayer_rggb8', 'yuv422_yuy2', 'nv21'])
def test_a_packed_image_is_kept_as_it_is(store, encoding):
    data = image(store, encoding=encoding)
    assert thinned(IMAGE, data, 2) == data


def test_a_thinned_cloud_is_every_fourth_point(store):
    t = store.types
    header = t['std_msgs/msg/Header'](
        stamp=t['builtin_interfaces/msg/Time'](sec=0, nanosec=0), frame_id=''
    )
    points = np.arange(10 * 8, dtype=np.uint8)
    cloud = t[CLOUD](header, 2, 5, [], False, 8, 40, points, True)
    data = bytes(store.serialize_cdr(cloud, CLOUD))
    small = store.deserialize_cdr(thinned(CLOUD, data, 4), CLOUD)
    assert (small.height, small.width, small.row_step) == (1, 3, 24)
    np.testing.assert_array_equal(small.data.reshape(3, 8), points.reshape(10, 8)[::4])
    assert thinned('std_msgs/msg/String', b'as it is', 4) == b'as it is'


def journal(folder, store, joint_state, event):
    context = Context('arm6', 'f' * 64, rules=Rules(RULES).as_json())
    made = Journal(folder, 'one', context, datetime(2026, 11, 21, tzinfo=timezone.utc))
    made.event(event)
    for i in range(10):
        made.message(joint_state(10 + i, elbow=0.1))
        made.message(Record('/camera/image_raw', IMAGE, (10 + i) * 10**9, image(store, i)))
    made.flush()
    return made


@pytest.mark.parametrize('crashed', [False, True])
def test_what_is_private_is_not_in_what_is_shipped_even_after_a_crash(
    tmp_path, store, joint_state, event, crashed
):
    made = journal(tmp_path, store, joint_state, event)
    if crashed:
        made.release()
        ((clip,), _) = recover(tmp_path)
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
    assert PRIVATE not in manifest['files']
    for name in manifest['files']:
        assert b'image_raw' not in (clip / name).read_bytes()
    with (clip / PRIVATE).open('rb') as stream:
        pictures = list(make_reader(stream).iter_messages())
    assert len(pictures) == 10
    small = store.deserialize_cdr(pictures[0][2].data, IMAGE)
    assert (small.height, small.width) == (3, 2)


def test_without_private_topics_there_is_no_private_file(clip):
    assert not (clip / PRIVATE).exists() and 'private' not in read_manifest(clip)
