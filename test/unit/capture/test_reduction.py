"""Smaller images and clouds: what is kept is what was there, and what cannot be is said."""

import io

import numpy as np
import pytest
from PIL import Image

from sim2real_capture.reduction import CLOUD, COMPRESSED, IMAGE, reduced
from sim2real_capture.ring import Record

WHOLE = np.arange(60).reshape(5, 4, 3)


@pytest.fixture
def smaller(store, ros_image):
    """Makes a reduced picture: settings, and what the picture is like."""

    def make(settings, **picture):
        record = Record('/eye/image_raw', IMAGE, 7, ros_image(IMAGE, **picture))
        found = reduced(record, **settings)
        assert found.stamp == 7
        return found.topic, store.deserialize_cdr(found.data, found.type)

    return make


@pytest.mark.parametrize('fill', [0, 4])
def test_a_thinned_image_is_every_other_row_and_column(smaller, fill):
    topic, small = smaller({'thin': 2}, fill=fill)
    assert topic == '/eye/image_raw'
    assert (small.height, small.width, small.step, small.header.frame_id) == (3, 2, 6, 'eye')
    np.testing.assert_array_equal(small.data.reshape(3, 2, 3), WHOLE[::2, ::2])


@pytest.mark.parametrize(
    ('encoding', 'size', 'seen'),
    [
        ('rgb8', 3, WHOLE),
        ('bgr8', 3, WHOLE[..., ::-1]),
        ('8UC3', 3, WHOLE[..., ::-1]),
        ('rgba8', 4, np.arange(80).reshape(5, 4, 4)[..., :3]),
        ('bgra8', 4, np.arange(80).reshape(5, 4, 4)[..., 2::-1]),
        ('mono8', 1, np.arange(20).reshape(5, 4)),
        ('8UC1', 1, np.arange(20).reshape(5, 4)),
    ],
)
def test_png_loses_nothing_but_alpha(smaller, encoding, size, seen):
    topic, found = smaller({'codec': 'png'}, encoding=encoding, size=size, fill=3)
    assert topic == '/eye/image_raw/compressed'
    assert found.format == f'{encoding}; png compressed {"bgr8" if size > 1 else ""}'
    np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(found.data.tobytes()))), seen)


@pytest.mark.parametrize(('big', 'order'), [(0, '<u2'), (1, '>u2')])
def test_depth_is_kept_to_the_millimetre_by_png(smaller, big, order):
    depth = np.arange(20, dtype=np.uint16).reshape(5, 4) * 3000
    bytes_of = np.frombuffer(depth.astype(order).tobytes(), np.uint8)
    _, found = smaller({'codec': 'png'}, encoding='16UC1', size=2, data=bytes_of, big=big)
    np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(found.data.tobytes()))), depth)


def test_jpeg_is_near_and_far_smaller(store, ros_image):
    x, y = np.meshgrid(np.arange(320), np.arange(240))
    picture = np.stack([x * 255 // 319, y * 255 // 239, 128 + 0 * x], axis=-1)
    data = ros_image(IMAGE, height=240, width=320, data=picture)
    found = reduced(Record('/a', IMAGE, 0, data), codec='jpeg', quality=90, thin=2)
    assert found.type == COMPRESSED and len(found.data) < len(data) / 40
    stream = io.BytesIO(store.deserialize_cdr(found.data, COMPRESSED).data.tobytes())
    back = np.array(Image.open(stream)).astype(int)
    assert np.abs(back - picture[::2, ::2]).mean() < 3


@pytest.mark.parametrize(
    ('settings', 'picture', 'why'),
    [
        ({'codec': 'jpeg'}, {'encoding': '16UC1', 'size': 2}, 'does not hold'),
        ({'codec': 'png'}, {'encoding': '32FC1', 'size': 4}, 'does not hold'),
        ({'thin': 2}, {'encoding': 'bayer_rggb8', 'size': 1}, 'whole pixels'),
        ({'thin': 2}, {'encoding': 'yuv422_yuy2', 'size': 2}, 'whole pixels'),
        ({'codec': 'png'}, {'encoding': 'rgba8', 'size': 3}, 'height, width'),
        ({'codec': 'png'}, {'height': 0}, 'height, width'),
        ({'codec': 'jpeg'}, {'height': 1, 'width': 70000}, 'jpeg: '),
    ],
)
def test_a_picture_that_cannot_be_made_smaller_says_why(smaller, settings, picture, why):
    with pytest.raises(ValueError, match=why):
        smaller(settings, **picture)


def cloud(store, places, *, height=1, big=False, fill=0, kind=7, names='xyz'):
    """Points (n, 3) with their number behind them, rows filled up."""
    t, order = store.types, '>' if big else '<'
    size = {7: 4, 8: 8}[kind]
    fields = [
        t['sensor_msgs/msg/PointField'](name, i * size, kind, 1) for i, name in enumerate(names)
    ]
    row = np.dtype([('p', f'{order}f{size}', 3), ('id', f'{order}u4')])
    points = np.zeros(len(places), row)
    points['p'], points['id'] = places, np.arange(len(places))
    width = len(places) // height
    rows = np.zeros((height, width * row.itemsize + fill), np.uint8)
    rows[:, : width * row.itemsize] = points.view(np.uint8).reshape(height, -1)
    header = t['std_msgs/msg/Header'](t['builtin_interfaces/msg/Time'](0, 0), 'lidar')
    message = t[CLOUD](
        header, height, width, fields, big, row.itemsize, rows.shape[1], rows.ravel(), False
    )
    return Record('/points', CLOUD, 0, bytes(store.serialize_cdr(message, CLOUD))), row


def numbers(store, record, row):
    found = store.deserialize_cdr(record.data, CLOUD)
    assert (found.height, found.row_step) == (1, found.width * row.itemsize)
    assert len(found.data) == found.row_step and found.header.frame_id == 'lidar'
    return found.data.view(row)['id'].tolist()


@pytest.mark.parametrize('fill', [0, 5])
def test_a_thinned_cloud_is_every_fourth_point(store, fill):
    record, row = cloud(store, np.zeros((10, 3)), height=2, fill=fill)
    assert numbers(store, reduced(record, thin=4), row) == [0, 4, 8]


@pytest.mark.parametrize('kind', [7, 8])
@pytest.mark.parametrize('big', [False, True])
def test_a_cloud_keeps_the_first_point_of_each_cube(store, big, kind):
    rng = np.random.default_rng(0)
    places = rng.uniform(-1.0, 1.0, (2000, 3)).astype(np.float32)
    places[5], places[6, 1] = np.nan, np.inf
    record, row = cloud(store, places, height=4, big=big, kind=kind)
    first = {}
    for index, place in enumerate(places.astype(float)):
        if np.isfinite(place).all():
            first.setdefault(tuple(np.floor(place / 0.25)), index)
    assert 400 < len(first) <= 512
    assert numbers(store, reduced(record, voxel=0.25), row) == sorted(first.values())


def test_a_cloud_of_nothing_stays_one(store):
    record, row = cloud(store, np.full((3, 3), np.nan))
    assert numbers(store, reduced(record, voxel=0.1), row) == []


def test_a_cloud_without_places_says_so(store):
    record, _ = cloud(store, np.zeros((2, 3)), names='xyr')
    with pytest.raises(ValueError, match='no x, y and z'):
        reduced(record, voxel=0.1)
    torn = record._replace(data=record.data[:-9])
    with pytest.raises(ValueError, match='no sensor_msgs/msg/PointCloud2'):
        reduced(torn, voxel=0.1)


@pytest.mark.parametrize('names', ['xyabz', 'abcdexyz'])
def test_a_cloud_whose_fields_do_not_fit_its_points_says_so(store, names):
    record, _ = cloud(store, np.zeros((2, 3)), names=names)
    with pytest.raises(ValueError, match='point_step'):
        reduced(record, voxel=0.1)


def test_what_no_rule_concerns_is_the_very_same(store, ros_image):
    text = Record('/t', 'std_msgs/msg/String', 0, b'as it is')
    assert reduced(text, thin=4, voxel=1.0, codec='png') is text
    picture = Record('/i', IMAGE, 0, ros_image(IMAGE))
    assert reduced(picture, voxel=1.0) is picture
    points, _ = cloud(store, np.zeros((2, 3)))
    assert reduced(points, codec='jpeg') is points
