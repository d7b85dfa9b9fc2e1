import numpy as np
import pytest

from components.transform.images import ImageScaling

SCALING = ImageScaling(image_shape=(2, 3))
PIXELS = np.array([[0, 51, 102], [153, 204, 255]], np.uint8)


def test_requests_give_the_same_raw_bytes_row_by_row() -> None:
    import tensorflow as tf

    requests = SCALING.requests()
    png = tf.io.encode_png(PIXELS[..., None])
    from_png = requests["png"].to_raw({"png_bytes": tf.stack([png])})
    from_pixels = requests["classify"].to_raw({"image": tf.constant(PIXELS[None] / 255, tf.float32)})
    expected = bytes([0, 51, 102, 153, 204, 255])
    assert from_png["image"].numpy().tolist() == [expected]
    assert from_pixels["image"].numpy().tolist() == [expected]


@pytest.mark.parametrize("name", ["png", "classify"])
def test_a_request_made_of_raw_bytes_gives_them_back(name: str) -> None:
    import tensorflow as tf

    request = SCALING.requests()[name]
    raw = {"image": tf.constant([PIXELS.tobytes(), PIXELS[::-1].tobytes()])}
    assert request.to_raw(request.from_raw(raw))["image"].numpy().tolist() == raw["image"].numpy().tolist()


COLOURED = ImageScaling(image_shape=(2, 3, 3))
COLOURS = np.arange(0, 180, 10, dtype=np.uint8).reshape(2, 3, 3)


def test_colours_are_kept_where_the_shape_has_them() -> None:
    import tensorflow as tf

    requests = COLOURED.requests()
    png = tf.io.encode_png(COLOURS)
    from_pixels = requests["classify"].to_raw({"image": tf.constant(COLOURS[None] / 255, tf.float32)})
    assert requests["png"].to_raw({"png_bytes": tf.stack([png])})["image"].numpy() == [COLOURS.tobytes()]
    assert from_pixels["image"].numpy() == [COLOURS.tobytes()]
    raw = {"image": tf.constant([COLOURS.tobytes()])}
    np.testing.assert_allclose(COLOURED.preprocessing_fn(raw)["image"][0], COLOURS / 255, rtol=1e-6)
    for request in requests.values():
        assert request.to_raw(request.from_raw(raw))["image"].numpy() == [COLOURS.tobytes()]


def test_a_jpeg_file_is_decoded_as_a_png_file_is() -> None:
    import tensorflow as tf

    grey = np.full((8, 8, 1), 120, np.uint8)
    jpeg = tf.io.encode_jpeg(grey)
    raw = SCALING.requests()["png"].to_raw({"png_bytes": tf.stack([jpeg])})
    assert raw["image"].numpy() == [bytes([120] * 6)]


@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 3, 1), (2,), (2, 3, 3, 3), (0, 3)])
def test_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="image_shape"):
        ImageScaling(image_shape=shape)
