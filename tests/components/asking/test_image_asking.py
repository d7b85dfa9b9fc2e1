from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.asking.images import ImageAsking, NoTexts
from components.formats.errors import FormatError
from components.protocols import Given

ASKING = ImageAsking(image_shape=(2, 3))
PIXELS = np.array([[0, 51, 102], [153, 204, 255]], np.uint8)


def test_a_png_file_is_asked_about_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "digit.PNG"
    Image.fromarray(PIXELS).save(path)
    signature, inputs = ASKING.read_inputs(path)
    assert signature == "png"
    assert inputs["png_bytes"].tolist() == [path.read_bytes()]


@pytest.mark.parametrize("array", [PIXELS, PIXELS / 255, PIXELS[None] / np.float16(255), PIXELS[None]])
def test_one_image_in_an_array_becomes_a_batch_of_one(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "digit.npy", array)
    signature, inputs = ASKING.read_inputs(tmp_path / "digit.npy")
    assert signature == "classify"
    assert inputs["image"].dtype == np.float32
    np.testing.assert_allclose(inputs["image"], [[[0, 0.2, 0.4], [0.6, 0.8, 1]]], atol=1e-3)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 2), np.uint8), r"expected shape \(2, 3\) or \(n, 2, 3\), got \(3, 2\)"),
        (np.zeros((0, 2, 3), np.uint8), r"got \(0, 2, 3\)"),
        (np.zeros((1, 1, 2, 3), np.uint8), r"got \(1, 1, 2, 3\)"),
        (np.zeros((2, 3), np.int64), "expected uint8 or floating-point pixels, got int64"),
        (np.full((2, 3), 1.5), r"expected pixels in \[0, 1\], got 1.5 to 1.5"),
        (np.full((2, 3), -0.1), r"expected pixels in \[0, 1\], got -0.1"),
        (np.full((2, 3), np.nan), r"expected pixels in \[0, 1\], got nan"),
        (np.array([["a", "b", "c"]] * 2), "got <U1"),
    ],
)
def test_arrays_that_are_no_images_are_rejected(tmp_path: Path, array: np.ndarray, message: str) -> None:
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(FormatError, match=message):
        ASKING.read_inputs(tmp_path / "x.npy")


def test_pickled_objects_are_not_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([[{}]]), allow_pickle=True)
    with pytest.raises(FormatError, match=r"x\.npy: expected a NumPy array, got: .*objects"):
        ASKING.read_inputs(tmp_path / "x.npy")


@pytest.mark.parametrize(
    "shape", [b"(9<<40, 2, 3)", b"(9" + b"0" * 30 + b",)", b"(9, 2, 3", b"(-9, 2, 3)", b"3 - "]
)
def test_a_header_that_does_not_describe_the_file_is_rejected(tmp_path: Path, shape: bytes) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.zeros((9, 2, 3), np.uint8))
    header, data = path.read_bytes()[:128], path.read_bytes()[128:]
    wrong = header.replace(b"(9, 2, 3)", shape).rstrip().ljust(127) + b"\n"
    path.write_bytes(wrong[:128] + data)
    with pytest.raises(FormatError, match="expected a NumPy array"):
        ASKING.read_inputs(path)


def test_an_array_file_that_ends_early_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.zeros((9, 2, 3), np.uint8))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FormatError, match="expected a NumPy array"):
        ASKING.read_inputs(path)


@pytest.mark.parametrize("content", [b"", b"not a picture", b"\x93NUMPY"])
@pytest.mark.parametrize("name", ["x.png", "x.npy"])
def test_other_content_is_rejected(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FormatError, match=rf"{name}: expected a (PNG image|NumPy array), got: "):
        ASKING.read_inputs(tmp_path / name)


def test_a_png_that_ends_early_or_has_a_flipped_byte_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    Image.fromarray(np.arange(28 * 28, dtype=np.uint8).reshape(28, 28)).save(path)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[60] ^= 0xFF
    for content in (whole[:-40], bytes(flipped)):
        path.write_bytes(content)
        with pytest.raises(FormatError, match="expected a PNG image"):
            ASKING.read_inputs(path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.png", "no such file"),
        ("none.npy", "no such file"),
        ("x.gif", "a .png, .jpg or .npy file, got .gif"),
    ],
)
def test_files_that_cannot_be_asked_about_are_named(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(FormatError, match=f"{name}: .*{message}"):
        ASKING.read_inputs(tmp_path / name)


def png(path: Path, pixels: np.ndarray, **options: object) -> Path:
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.mark.parametrize(
    ("pixels", "told"),
    [
        (PIXELS, []),
        (np.zeros((480, 640), np.uint8), ["resized from 640×480 to 3×2"]),
        (np.zeros((2, 3, 3), np.uint8), ["colour turned to grey"]),
        (
            np.full((480, 640, 4), 255, np.uint8),
            [
                "resized from 640×480 to 3×2, colour turned to grey, transparency left out, "
                "mostly bright, and not inverted"
            ],
        ),
        (np.full((2, 3), 129, np.uint8), ["mostly bright, and not inverted"]),
        (np.zeros((2, 3), np.uint16), ["16 bits cut to 8"]),
    ],
)
def test_what_is_made_of_an_image_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, pixels: np.ndarray, told: list[str]
) -> None:
    path = png(tmp_path / "x.png", pixels)
    list(ASKING.questions(Given([str(path)])))
    assert [record.getMessage() for record in caplog.records] == [f"{path}: {line}" for line in told]


def test_that_an_array_is_mostly_bright_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name, pixels in (("dark", PIXELS), ("bright", 255 - PIXELS // 2)):
        np.save(tmp_path / f"{name}.npy", pixels)
        ASKING.read_inputs(tmp_path / f"{name}.npy")
    told = [record.getMessage() for record in caplog.records]
    assert told == [f"{tmp_path}/bright.npy: mostly bright, and not inverted"]


@pytest.mark.parametrize("size", [(100, 30), (10, 100), (1, 5)])
def test_an_image_of_quite_another_shape_is_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    height, width = size
    path = png(tmp_path / "x.png", np.zeros(size, np.uint8))
    expected = r"expected an image of about the shape of 3×2 \(width × height\)"
    with pytest.raises(FormatError, match=f"{expected}, got {width}×{height}$"):
        ASKING.read_inputs(path)


def test_several_images_in_one_file_are_refused(tmp_path: Path) -> None:
    frames = [Image.fromarray(PIXELS), Image.fromarray(255 - PIXELS)]
    frames[0].save(tmp_path / "x.png", save_all=True, append_images=frames[1:])
    with pytest.raises(FormatError, match=r"x\.png: expected one image, got 2$"):
        ASKING.read_inputs(tmp_path / "x.png")


@pytest.mark.parametrize("name", ["x.png", "x.npy"])
def test_bytes_behind_the_end_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "x.npy":
        np.save(path, PIXELS)
    else:
        png(path, PIXELS)
    content = path.read_bytes()
    for excess in (b"x", content):
        path.write_bytes(content + excess)
        expected = f"expected one (PNG image|NumPy array), got {len(excess)} bytes behind it$"
        with pytest.raises(FormatError, match=expected):
            ASKING.read_inputs(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.png", b"\xff\xd8\xff\xe0 and so on", "expected a PNG image, got: a JPEG image"),
        ("x.png", b"", "expected a PNG image, got: an empty file"),
        ("x.png", b"text", "expected a PNG image, got: a file that begins with b'text'"),
        ("x.jpg", b"GIF89a", "expected a JPEG image, got: a GIF image"),
    ],
)
def test_what_a_file_is_instead_is_said(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FormatError) as caught:
        ASKING.read_inputs(tmp_path / name)
    assert str(caught.value) == f"{tmp_path / name}: {message}"


@pytest.mark.parametrize("name", ["folder", "x.png", "x.npy"])
def test_a_folder_and_a_link_to_nothing_are_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.mkdir()
    with pytest.raises(FormatError, match=f"{name}: expected a .png, .jpg or .npy file, got a folder$"):
        ASKING.read_inputs(path)
    path.rmdir()
    path.symlink_to("/nonexistent/x")
    if path.suffix:
        with pytest.raises(FormatError, match=f"{name}: a link to nothing$"):
            ASKING.read_inputs(path)


def test_texts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        NoTexts, match=r"^--text seven: expected a .png, .jpg or .npy file, since the task takes"
    ):
        list(ASKING.questions(Given(texts=["seven"])))


def test_a_jpeg_file_is_asked_about_as_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "photo.JPG"
    Image.fromarray(np.full((2, 3, 3), 200, np.uint8)).save(path, "JPEG")
    asking = ImageAsking(image_shape=(2, 3, 3))
    signature, inputs = asking.read_inputs(path)
    assert (signature, inputs["png_bytes"].tolist()) == ("png", [path.read_bytes()])
    # Colours are wanted, and a bright photo is nothing to be told.
    assert caplog.text == ""
    ASKING.read_inputs(path)
    assert "colour turned to grey" in caplog.text


def test_a_coloured_array_has_three_numbers_a_pixel(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.full((2, 3, 3), 51, np.uint8))
    _, inputs = ImageAsking(image_shape=(2, 3, 3)).read_inputs(tmp_path / "x.npy")
    np.testing.assert_allclose(inputs["image"], np.full((1, 2, 3, 3), 0.2), rtol=1e-6)
    with pytest.raises(FormatError, match=r"expected shape \(2, 3\) or \(n, 2, 3\), got \(2, 3, 3\)"):
        ASKING.read_inputs(tmp_path / "x.npy")
