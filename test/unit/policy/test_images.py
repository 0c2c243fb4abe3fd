import numpy as np
import pytest

from sim2real_core.errors import InputError
from sim2real_policy.images import ImageInput, absurd


def image(**changed):
    values = dict(name='camera', topic='camera/image_raw', height=2, width=3, encoding='rgb8')
    return ImageInput(**(values | changed))


def test_what_the_network_sees_is_scaled_and_laid_out():
    pixels = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    wide = image(layout='NHWC', scale=(1.0, 0.5, 2.0), offset=(0.0, 1.0, 2.0))
    seen = np.zeros(wide.shape, np.float32)
    wide.fill(pixels, seen)
    expected = (pixels.astype(float) - [0, 1, 2]) * [1.0, 0.5, 2.0]
    np.testing.assert_allclose(seen, expected)
    deep = image(layout='NCHW', scale=(1.0, 0.5, 2.0), offset=(0.0, 1.0, 2.0))
    turned = np.zeros(deep.shape, np.float32)
    deep.fill(pixels, turned)
    np.testing.assert_array_equal(turned, seen.transpose(2, 0, 1))


def test_no_value_wraps_around():
    depth = image(encoding='16UC1', offset=40000.0, scale=1e-3)
    seen = np.zeros(depth.shape, np.float32)
    depth.fill(np.full((2, 3, 1), 65535, np.uint16), seen)
    np.testing.assert_allclose(seen, 25.535, rtol=1e-6)
    depth.fill(np.zeros((2, 3, 1), np.uint16), seen)
    np.testing.assert_allclose(seen, -40.0, rtol=1e-6)


@pytest.mark.parametrize(
    'field, value',
    [
        ('name', ''),
        ('topic', None),
        ('height', 0),
        ('width', 2.0),
        ('encoding', 'jpeg'),
        ('layout', 'CHWN'),
        ('scale', (1.0, 2.0)),
        ('scale', 0.0),
        ('offset', float('nan')),
        ('offset', 'none'),
    ],
)
def test_names_what_is_wrong(field, value):
    with pytest.raises(InputError) as caught:
        image(**{field: value})
    assert {fault.field.partition('[')[0] for fault in caught.value.faults} == {field}


def test_pixels_that_are_no_numbers_are_absurd():
    depth = np.ones((2, 3, 1), np.float32)
    assert not absurd(depth) and not absurd(np.full((2, 3, 1), 65535, np.uint16))
    for bad in (np.nan, np.inf, -1e30):
        depth[1, 1, 0] = bad
        assert absurd(depth)


class Message:
    """Of sensor_msgs/Image, what is read of it."""

    def __init__(self, pixels, encoding):
        self.height, self.width = pixels.shape[:2]
        self.encoding, self.is_bigendian = encoding, 0
        self.step, self.data = pixels[0].nbytes, pixels.tobytes()


def test_only_images_as_the_model_wants_them_are_taken():
    pixels = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    np.testing.assert_array_equal(image().usable(Message(pixels, 'rgb8')), pixels)
    assert image().usable(Message(pixels, 'bgr8')) is None
    assert image(height=3).usable(Message(pixels, 'rgb8')) is None
    cut = Message(pixels, 'rgb8')
    cut.data = cut.data[:-1]
    assert image().usable(cut) is None
