"""Images and memories in data sets: nothing of them is lost, and LeRobot finds them."""

import io
import json
import sys

import numpy as np
import pytest

from sim2real_core.errors import InputError, MissingError
from sim2real_learning import dataset_lerobot
from sim2real_learning.clips_episodes import Episode
from sim2real_learning.clips_images import Pictures, digest
from sim2real_learning.dataset import Case, Dataset
from sim2real_learning.dataset_images import column_of, together
from sim2real_learning.image_files import decoded, encoded
from sim2real_policy.images import ENCODINGS, ImageInput

SIZE = (5, 7)


def pictures(*frames):
    *_, (_, total) = digest(iter(frames))
    return Pictures(total, lambda: iter(frames))


def drawn(encoding, count, seed=0):
    """Random images; every second frame shows the one before again."""
    channels, kind = ENCODINGS[encoding]
    rng = np.random.default_rng(seed)
    if kind is np.float32:
        made = rng.normal(size=(count, *SIZE, channels)).astype(kind)
    else:
        made = rng.integers(0, np.iinfo(kind).max, (count, *SIZE, channels), kind, endpoint=True)
    return [made[k - k % 2] for k in range(count)]


def dataset(encoding, clips=('a', 'b'), count=12):
    image = ImageInput(
        name='rig/eye', topic='eye', height=SIZE[0], width=SIZE[1], encoding=encoding, offset=2.0
    )
    cases = []
    for seed, clip in enumerate(clips):
        rng = np.random.default_rng(seed)
        values = rng.normal(size=(count, 3)).astype(np.float32)
        episode = Episode(
            clip,
            np.arange(count) * 50_000_000,
            values,
            values[:, :2],
            values[:, :2].astype(float),
            rng.normal(size=(count, 4)).astype(np.float32),
            {image.name: pictures(*drawn(encoding, count, seed))},
        )
        about = dict(sha256=f'{clip:0>64}', created='2026', bundle='b' * 64, label='')
        more = dict(detectors=('operator',), detail='', severity=1.0, failed=0)
        cases.append(Case(clip=clip, episodes=(episode,), **about, **more))
    return Dataset(
        robot='pair',
        period=0.05,
        observation=('x', 'y', 'z'),
        action=('x', 'y'),
        command=('x', 'y'),
        task='look',
        memory=('h[0]', 'h[1]', 'h[2]', 'h[3]'),
        images=(image,),
        cases=tuple(cases),
    )


@pytest.mark.parametrize('encoding', ENCODINGS)
def test_no_bit_of_an_image_is_lost(encoding):
    for pixels in drawn(encoding, 3):
        again = decoded(encoded(pixels, encoding), encoding)
        assert again.dtype == pixels.dtype and again.tobytes() == pixels.tobytes()


def test_a_file_that_is_damaged_anywhere_is_an_image_or_a_value_error():
    (pixels,) = drawn('rgb8', 1)
    file = encoded(pixels, 'rgb8')
    outcomes = set()
    for k in range(len(file)):
        for data in (file[:k], file[:k] + bytes([file[k] ^ 0x55]) + file[k + 1 :]):
            try:
                outcomes.add(decoded(data, 'rgb8').ndim)
            except ValueError:
                outcomes.add('refused')
    assert outcomes == {3, 'refused'}
    with pytest.raises(ValueError, match='not a readable rgb8 image'):
        decoded(encoded(pixels[..., :1], 'mono8'), 'rgb8')  # one of another kind


def test_without_pillow_it_is_said_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, 'PIL', None)
    with pytest.raises(MissingError, match='Pillow'):
        decoded(b'', 'rgb8')


def test_colours_are_told_as_everybody_else_tells_them():
    from PIL import Image

    blue = np.zeros((2, 2, 3), np.uint8)
    blue[..., 0] = 200  # of BGR
    with Image.open(io.BytesIO(encoded(blue, 'bgr8'))) as opened:
        assert opened.mode == 'RGB' and opened.getpixel((0, 0)) == (0, 0, 200)


def test_the_order_of_bytes_does_not_matter():
    big = np.arange(6).reshape(2, 3, 1).astype('>u2') + 1000
    assert np.array_equal(decoded(encoded(big, '16UC1'), '16UC1'), big)
    *_, (_, one) = digest(iter([big]))
    *_, (_, other) = digest(iter([big.astype('<u2')]))
    assert one == other


@pytest.mark.parametrize('encoding', ['rgb8', 'bgr8', '16UC1', '32FC1'])
def test_what_was_seen_and_remembered_is_read_back(encoding, tmp_path, monkeypatch):
    monkeypatch.setattr(dataset_lerobot, 'FILE_MB', 0.001)  # a file for each episode
    made = dataset(encoding)
    content = dataset_lerobot.write(made, tmp_path / 'set')
    assert len(list((tmp_path / 'set' / 'data').glob('*/*'))) == 2
    read = dataset_lerobot.read(tmp_path / 'set')
    assert read.content_hash == made.content_hash == content and read.images == made.images
    for ours, theirs in zip(made.cases, read.cases):
        (one,), (other,) = ours.episodes, theirs.episodes
        assert one.memory.tobytes() == other.memory.tobytes()
        for shown, again in zip(one.images['rig/eye'].read(), other.images['rig/eye'].read()):
            assert shown.tobytes() == again.tobytes()
    # The next version copies them.
    assert dataset_lerobot.write(read, tmp_path / 'next') == content


def test_the_layout_of_images_is_that_of_lerobot(tmp_path):
    import pyarrow.parquet as pq
    from PIL import Image

    made, folder = dataset('bgr8'), tmp_path / 'set'
    dataset_lerobot.write(made, folder)
    info = json.loads((folder / 'meta/info.json').read_text())
    name = 'observation.images.rig_eye'  # no slash in a name
    assert info['features'][name] == {
        'dtype': 'image',
        'shape': [5, 7, 3],
        'names': ['height', 'width', 'channels'],
    }
    assert info['features']['observation.memory']['shape'] == [4]
    table = pq.read_table(folder / 'data/chunk-000/file-000.parquet')
    assert set(table.column_names) == set(info['features'])
    hub = json.loads(table.schema.metadata[b'huggingface'])['info']['features']
    assert set(hub) == set(info['features']) and hub[name] == {'_type': 'Image'}
    assert hub['action']['length'] == 2 and hub['failure'] == {'dtype': 'bool', '_type': 'Value'}
    row = table.column(name)[3].as_py()
    assert set(row) == {'bytes', 'path'}
    with Image.open(io.BytesIO(row['bytes'])) as opened:
        shown = np.asarray(opened)
    expected = drawn('bgr8', 12)[3][..., ::-1]
    np.testing.assert_array_equal(shown, expected)
    stats = json.loads((folder / 'meta/stats.json').read_text())[name]
    every = np.stack([*drawn('bgr8', 12, 0), *drawn('bgr8', 12, 1)])[..., ::-1] / 255.0
    assert np.shape(stats['mean']) == (3, 1, 1) and stats['count'] == [24]
    np.testing.assert_allclose(np.ravel(stats['mean']), every.mean(axis=(0, 1, 2)))
    np.testing.assert_allclose(np.ravel(stats['std']), every.std(axis=(0, 1, 2)))
    episodes = pq.read_table(folder / 'meta/episodes/chunk-000/file-000.parquet').to_pylist()
    assert np.shape(episodes[1][f'stats/{name}/q99']) == (3, 1, 1)


def test_depth_is_marked_with_its_unit(tmp_path):
    for encoding, unit in (('16UC1', 'mm'), ('32FC1', 'm')):
        dataset_lerobot.write(dataset(encoding), tmp_path / encoding)
        info = json.loads((tmp_path / encoding / 'meta/info.json').read_text())
        about = info['features']['observation.images.rig_eye']
        assert about['info'] == {'is_depth_map': True, 'depth_unit': unit}
        assert about['shape'] == [5, 7, 1]


def test_images_that_have_changed_are_refused(tmp_path):
    made = dataset('rgb8', clips=('a',))
    (case,) = made.cases
    (episode,) = case.episodes
    true = episode.images['rig/eye']
    other = Pictures(true.sha256, lambda: iter(drawn('rgb8', 12, seed=9)))
    bad = Episode(**{**vars(episode), 'images': {'rig/eye': other}})
    case = Case(**{**vars(case), 'episodes': (bad,)})
    with pytest.raises(InputError, match='have changed since'):
        dataset_lerobot.write(Dataset(**{**vars(made), 'cases': (case,)}), tmp_path / 'set')
    assert not (tmp_path / 'set').exists()
    assert column_of(made.images[0]) == 'observation.images.rig_eye'


@pytest.mark.parametrize('harm', ['image', 'file', 'gone'])
def test_a_damaged_image_of_an_earlier_version_is_named(harm, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = tmp_path / 'set'
    dataset_lerobot.write(dataset('rgb8', clips=('a',)), folder)
    read = dataset_lerobot.read(folder)
    (path,) = folder.glob('data/*/*.parquet')
    if harm == 'image':
        table = pq.read_table(path)
        name = column_of(read.images[0])
        rows = table.column(name).to_pylist()
        rows[7] = {**rows[7], 'bytes': rows[7]['bytes'][:-30]}
        place = table.column_names.index(name)
        kind = table.schema.field(name).type
        pq.write_table(table.set_column(place, name, pa.array(rows, kind)), path)
    elif harm == 'file':
        path.write_bytes(path.read_bytes()[:-50])
    else:
        path.unlink()
    with pytest.raises(InputError, match='observation.images.rig_eye.*file-000.*from a copy'):
        dataset_lerobot.write(read, tmp_path / 'next')
    assert not (tmp_path / 'next').exists()


def test_statistics_of_parts_are_those_of_the_whole():
    rng = np.random.default_rng(2)
    parts = [rng.normal(k, 1 + k, (10 + 5 * k, 2)) for k in range(3)]
    found = together([dataset_lerobot.vector_statistics(part) for part in parts])
    whole = np.concatenate(parts)
    np.testing.assert_allclose(found['mean'], whole.mean(axis=0))
    np.testing.assert_allclose(found['std'], whole.std(axis=0))
    np.testing.assert_allclose(found['max'], whole.max(axis=0))
    assert found['count'].tolist() == [45] and (found['q10'] <= found['q90']).all()
