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
