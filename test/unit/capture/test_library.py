"""Clips as listings."""

import json

import pytest

from sim2real_capture.clip import MANIFEST, SHIPPED, write_synced
from sim2real_capture.library import (
    clip_info,
    list_clips,
    parse_manifest,
    show_clip,
    verify,
)
from sim2real_core.errors import InputError


def test_a_listing_tells_what_matters(clip):
    (info,) = list_clips(clip.parent)
    assert (info.clip, info.path, info.end, info.shipped) == ('clip-1', clip, 'complete', '')
    assert (info.detectors, info.detail) == (('tracking_error',), 'elbow')
    assert info.duration == pytest.approx(1.99)
    assert json.loads(json.dumps(info.as_json()))['sha256'] == info.sha256


def test_unfinished_and_hidden_folders_are_not_listed(clip, journal):
    for name in ('x.part', '.blobs'):
        (clip.parent / name).mkdir()
        write_synced(clip.parent / name / MANIFEST, '{}')
    assert [info.clip for info in list_clips(clip.parent)] == ['clip-1']


def test_a_damaged_clip_hides_no_other(clip):
    (clip.parent / 'bad').mkdir()
    write_synced(clip.parent / 'bad' / MANIFEST, '{"schema": 1}')
    bad, good = list_clips(clip.parent)
    assert (bad.clip, bad.end) == ('bad', 'damaged') and 'files' in bad.detail
    assert good.end == 'complete'


@pytest.mark.parametrize('left', ['', '{"recei', '[]', '{}'])
def test_a_receipt_that_a_power_cut_spoiled_is_none(clip, left):
    (clip / SHIPPED).write_text(left)
    (info,) = list_clips(clip.parent)
    assert (info.end, info.shipped) == ('complete', '')


def test_a_missing_folder_is_bad_input(tmp_path):
    with pytest.raises(InputError, match='existing folder'):
        list_clips(tmp_path / 'nowhere')


@pytest.mark.parametrize('given', ['folder', 'file'])
def test_show_gives_the_manifest_and_more(clip, given):
    shown = show_clip(clip if given == 'folder' else clip / 'clip-1_0.mcap')
    assert shown['events'][0]['detail'] == 'elbow'
    assert shown['duration'] == pytest.approx(1.99) and shown['shipped'] == ''


def test_show_refuses_a_tampered_clip(clip):
    bag = clip / 'clip-1_0.mcap'
    data = bytearray(bag.read_bytes())
    data[len(data) // 2] ^= 1
    bag.write_bytes(data)
    with pytest.raises(InputError, match=r'clip-1_0\.mcap'):
        show_clip(clip)
    (clip / 'metadata.yaml').unlink()
    with pytest.raises(InputError, match='missing') as caught:
        verify(clip)
    assert len(caught.value.faults) == 2


def test_show_refuses_what_is_no_clip(tmp_path):
    with pytest.raises(InputError, match=r'manifest\.json'):
        show_clip(tmp_path)


@pytest.mark.parametrize(
    ('change', 'said'),
    [
        ({'clip': '../../etc'}, 'clip'),
        ({'clip': 5}, 'clip'),
        ({'files': {}}, 'files'),
        ({'files': {'../x': {}, 'metadata.yaml': {}}}, 'files'),
        ({'schema': 99}, 'schema'),
        ({'messages': True}, 'messages'),
        ({'events': [{}]}, r'events\[0\]'),
        ({'events': [{'detector': 'a'}, {'detector': 'b', 'stamp': 'noon'}]}, r'events\[1\]\.s'),
        ({'events': [{'detector': 'a', 'stamp': float('nan')}]}, r'events\[0\]\.stamp'),
        ({'events': [{'detector': 'a', 'stamp': 1e300}]}, r'events\[0\]\.stamp'),
        ({'events': [{'detector': 'a', 'score': None}]}, r'events\[0\]\.score'),
        ({'events': [{'detector': 'a', 'score': 10**400}]}, r'events\[0\]\.score'),
        ({'created': None}, 'created'),
    ],
)
def test_manifests_are_checked(clip, change, said):
    data = {**json.loads((clip / MANIFEST).read_text()), **change}
    with pytest.raises(InputError, match=said):
        parse_manifest(json.dumps(data))


def test_all_faults_of_a_manifest_are_named(clip):
    data = json.loads((clip / MANIFEST).read_text())
    data['files']['metadata.yaml'] = {'sha256': 'x', 'size': -1}
    del data['end']
    with pytest.raises(InputError) as caught:
        parse_manifest(json.dumps(data))
    assert len(caught.value.faults) == 3
    assert clip_info(clip).end == 'complete'


@pytest.mark.parametrize('text', ['', 'null', '[]', '{', b'\xff'])
def test_what_is_no_manifest_is_refused(text):
    with pytest.raises(InputError):
        parse_manifest(text)
