import gzip
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from components.config import ConfigError
from components.features import IMAGE, LABEL
from components.formats.errors import FormatError
from components.formats.idx import check_whole, read_batches, read_idx, read_shape, write_idx
from components.protocols import Source, Split
from components.sources.idx import IdxSource

IMAGES = np.arange(60, dtype=np.uint8).reshape(5, 3, 4)

# Two images of 2×2, by hand: magic, count, rows, columns, pixels.
TWO_IMAGES = bytes.fromhex("00000803 00000002 00000002 00000002") + bytes(range(8))


def write_split(directory: Path, prefix: str, count: int, suffix: str = "") -> None:
    images = np.arange(count * 784, dtype=np.uint32).astype(np.uint8).reshape(count, 28, 28)
    write_idx(directory / f"{prefix}-images-idx3-ubyte{suffix}", images)
    write_idx(directory / f"{prefix}-labels-idx1-ubyte{suffix}", (np.arange(count) % 10).astype(np.uint8))


@pytest.fixture
def four_files(tmp_path: Path) -> Path:
    write_split(tmp_path, "train", 6)
    write_split(tmp_path, "t10k", 4, ".gz")
    return tmp_path


def test_bytes_written_by_hand_are_read(tmp_path: Path) -> None:
    path = tmp_path / "two"
    path.write_bytes(TWO_IMAGES)
    assert read_idx(path, rank=3).tolist() == [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]


def test_writing_gives_the_bytes_of_the_format(tmp_path: Path) -> None:
    write_idx(tmp_path / "two", np.arange(8, dtype=np.uint8).reshape(2, 2, 2))
    assert (tmp_path / "two").read_bytes() == TWO_IMAGES
    assert [file.name for file in tmp_path.iterdir()] == ["two"]


def test_gzip_is_known_by_its_content_and_written_without_a_time(tmp_path: Path) -> None:
    array = np.arange(8, dtype=np.uint8)
    write_idx(tmp_path / "a.gz", array)
    write_idx(tmp_path / "b.gz", array)
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()
    assert read_idx((tmp_path / "a.gz").rename(tmp_path / "no_suffix")).tolist() == array.tolist()


@settings(max_examples=50)
@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5)), st.booleans())
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, array: np.ndarray, zipped: bool
) -> None:
    path = tmp_path_factory.mktemp("idx") / ("array.gz" if zipped else "array")
    write_idx(path, array)
    np.testing.assert_array_equal(read_idx(path), array)
    assert read_shape(path) == array.shape


@pytest.mark.parametrize("array", [np.zeros(3, np.int32), np.zeros((), np.uint8)], ids=["int32", "no axes"])
def test_only_uint8_arrays_are_written(tmp_path: Path, array: np.ndarray) -> None:
    with pytest.raises(FormatError, match="expected uint8"):
        write_idx(tmp_path / "x", array)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize(("start", "stop"), [(0, None), (0, 3), (3, 7), (6, 10), (9, 99), (10, None)])
def test_a_range_is_read_in_batches(tmp_path: Path, suffix: str, start: int, stop: int | None) -> None:
    array = np.arange(10 * 6, dtype=np.uint8).reshape(10, 3, 2)
    path = tmp_path / f"ten{suffix}"
    write_idx(path, array)
    batches = list(read_batches(path, 2, start, stop))
    assert all(len(batch) <= 2 for batch in batches)
    np.testing.assert_array_equal(np.concatenate([array[:0], *batches]), array[start:stop])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "ends within"),
        (TWO_IMAGES[:3], "ends within"),
        (TWO_IMAGES[:10], "ends within"),
        (b"\x01" + TWO_IMAGES[1:], "expected magic 0x00000803, got 0x01000803"),
        (bytes.fromhex("00000d03") + TWO_IMAGES[4:], "expected magic 0x00000803, got 0x00000d03"),
        (bytes.fromhex("00000801 00000001 07"), "expected magic 0x00000803, got 0x00000801"),
        (TWO_IMAGES[:-1], "expected 8 bytes for shape 2×2×2, got 7: truncated"),
        (TWO_IMAGES + b"x", "expected 8 bytes for shape 2×2×2, got more: trailing bytes"),
    ],
    ids=["empty", "magic cut", "shape cut", "magic flipped", "float", "labels", "truncated", "trailing"],
)
@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gzip"])
def test_what_is_no_such_file_is_rejected(tmp_path: Path, content: bytes, message: str, zipped: bool) -> None:
    path = tmp_path / "bad"
    path.write_bytes(gzip.compress(content) if zipped else content)
    with pytest.raises(FormatError, match=message) as caught:
        read_idx(path, rank=3)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("length", range(1, len(gzip.compress(TWO_IMAGES))))
def test_a_gzip_file_cut_anywhere_is_rejected(tmp_path: Path, length: int) -> None:
    path = tmp_path / "cut.gz"
    path.write_bytes(gzip.compress(TWO_IMAGES, mtime=0)[:length])
    with pytest.raises(FormatError):
        read_idx(path, rank=3)
    with pytest.raises(FormatError):
        list(read_batches(path, 1))


def test_a_flipped_byte_in_gzip_data_is_rejected(tmp_path: Path) -> None:
    whole = bytearray(gzip.compress(bytes.fromhex("00000801 00000100") + bytes(range(256)), mtime=0))
    # Time and system (bytes 3 to 9) and the padding of a stored block (byte 10) carry no data.
    for position in range(11, len(whole)):
        path = tmp_path / "flipped.gz"
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x10]) + whole[position + 1 :])
        with pytest.raises(FormatError):
            list(read_batches(path, 100))


@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gzip"])
def test_a_huge_shape_is_rejected_before_memory_is_taken(tmp_path: Path, zipped: bool) -> None:
    content = struct.pack(">4I", 0x803, 2**31, 2**15, 2**15) + bytes(100)
    path = tmp_path / "huge"
    path.write_bytes(gzip.compress(content) if zipped else content)
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match="2147483648×32768×32768"):
            read_idx(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_file_that_cannot_be_opened_says_why(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="cannot be read: No such file"):
        read_idx(tmp_path / "missing")
    with pytest.raises(FormatError, match="cannot be read: Is a directory"):
        read_idx(tmp_path)


def test_the_source_is_what_a_task_needs() -> None:
    source = IdxSource()
    assert isinstance(source, Source)
    assert source.input_splits == (Split("train", "train-*"), Split("eval", "t10k-*"))
    assert source.evaluation_split == "eval"
    assert (source.features[LABEL].minimum, source.features[LABEL].maximum) == (0, 9)
    assert {key: feature.served for key, feature in source.features.items()} == {IMAGE: True, LABEL: False}
    assert (source.group_key, source.counted_by) == (None, None)


def test_a_validation_fraction_turns_t10k_into_the_test_split() -> None:
    source = IdxSource(validation_fraction=0.1)
    assert [split.names for split in source.input_splits] == [("train", "eval"), ("test",)]
    assert source.evaluation_split == "test"


def test_whole_files_pass_the_check(four_files: Path) -> None:
    IdxSource().check(four_files)


def test_real_files_pass_the_check(real_data: Path) -> None:
    source = IdxSource()
    source.check(real_data / "mnist")
    counts = [source.count(source.files(real_data / "mnist", split)) for split in source.input_splits]
    assert counts == [7000, 1000]


def test_plain_files_win_over_gzipped_ones(four_files: Path) -> None:
    write_split(four_files, "t10k", 3)
    source = IdxSource()
    train, held_out = (source.files(four_files, split) for split in source.input_splits)
    assert train.images.name == "train-images-idx3-ubyte"
    assert held_out.images.name == "t10k-images-idx3-ubyte"
    assert source.count(held_out) == 3


def test_ranges_cover_a_split_once_and_in_order(four_files: Path) -> None:
    source = IdxSource(range_size=4)
    ranges = source.parts(four_files, source.input_splits[0])
    assert [(part.start, part.stop) for part in ranges] == [(0, 4), (4, 6)]
    records = [record for part in ranges for record in part.records()]
    assert [record[LABEL] for record in records] == [0, 1, 2, 3, 4, 5]
    # 784 = 16 (modulo 256): the i-th image begins with 16 i.
    assert [record[IMAGE][0] for record in records] == [0, 16, 32, 48, 64, 80]
    assert len(records[0][IMAGE]) == 784


def test_a_missing_folder_an_empty_one_and_a_missing_file_are_told_apart(
    four_files: Path, tmp_path: Path
) -> None:
    with pytest.raises(FormatError, match="expected a folder with idx files, got: No such file"):
        IdxSource().check(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FormatError, match=r"expected train-images-idx3-ubyte or .*, got an empty folder"):
        IdxSource().check(tmp_path / "empty")
    (four_files / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(
        FormatError, match=r"expected t10k-labels-idx1-ubyte or .*, got only train-labels-idx1"
    ):
        IdxSource().check(four_files)


def test_images_of_another_shape_are_rejected(four_files: Path) -> None:
    with pytest.raises(FormatError, match="expected images of 32×32, got 28×28"):
        IdxSource(image_shape=(32, 32)).check(four_files)


def test_counts_that_differ_are_rejected(four_files: Path) -> None:
    write_idx(four_files / "train-labels-idx1-ubyte", np.zeros(5, np.uint8))
    with pytest.raises(FormatError, match=r"expected 6 labels, one for each of train-images.*, got 5"):
        IdxSource().check(four_files)


@pytest.mark.parametrize("range_size", [1, 3, 8192])
def test_a_label_that_is_no_class_is_rejected_with_its_index(four_files: Path, range_size: int) -> None:
    write_idx(four_files / "train-labels-idx1-ubyte", np.array([0, 9, 0, 0, 10, 11], np.uint8))
    source = IdxSource(range_size=range_size)
    source.check(four_files)
    with pytest.raises(FormatError, match="expected labels from 0 to 9, got 10 at index 4"):
        read_whole(source, four_files, 0)


def test_a_range_reads_its_own_labels_alone(four_files: Path) -> None:
    source = IdxSource(range_size=3)
    write_idx(four_files / "train-labels-idx1-ubyte", np.array([1, 2, 3, 0, 0, 99], np.uint8))
    first, second = source.parts(four_files, source.input_splits[0])
    assert [record[LABEL] for record in first.records()] == [1, 2, 3]
    with pytest.raises(FormatError, match="got 99 at index 5"):
        list(second.records())


def test_a_gzipped_file_is_one_range_and_says_which_file_it_is(four_files: Path) -> None:
    source = IdxSource(range_size=3)
    (part,) = source.parts(four_files, source.input_splits[1])
    assert (part.start, part.stop, part.file) == (0, 4, "t10k-images-idx3-ubyte.gz")


def read_whole(source: IdxSource, directory: Path, split: int) -> list[dict]:
    parts = source.parts(directory, source.input_splits[split])
    return [record for part in parts for record in part.records()]


def test_made_images_are_smooth_fit_the_schema_and_depend_on_the_seed_alone() -> None:
    source = IdxSource(image_shape=(20, 30))
    made = source.sample(3, seed=7)
    assert made == source.sample(3, seed=7)
    assert made != source.sample(3, seed=8)
    assert len({record[IMAGE] for record in made}) == 3
    for record in made:
        assert set(record) == {IMAGE}
        image = np.frombuffer(record[IMAGE], np.uint8).reshape(20, 30).astype(int)
        assert np.ptp(image) > 64
        # The steepest wave falls by 2π·2/19·127.5 from one pixel to the next.
        assert max(abs(np.diff(image, axis=axis)).max() for axis in (0, 1)) <= 85
    assert len(IdxSource(image_shape=(1, 1)).sample(1, seed=0)[0][IMAGE]) == 1


def test_images_and_labels_that_are_swapped_are_rejected(four_files: Path) -> None:
    images, labels = four_files / "train-images-idx3-ubyte", four_files / "train-labels-idx1-ubyte"
    content = images.read_bytes()
    images.write_bytes(labels.read_bytes())
    labels.write_bytes(content)
    with pytest.raises(FormatError, match=f"{images.name}: expected magic 0x00000803, got 0x00000801"):
        IdxSource().check(four_files)


def test_an_interrupted_download_is_rejected(four_files: Path) -> None:
    path = four_files / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(FormatError, match="expected a whole gzip file, got one that ends early"):
        read_whole(IdxSource(), four_files, 1)


def test_files_without_images_are_rejected(four_files: Path) -> None:
    write_split(four_files, "train", 0)
    with pytest.raises(FormatError, match="expected at least one image, got none"):
        IdxSource().check(four_files)


def test_a_gzip_file_that_is_cut_off_is_found_by_its_last_bytes(tmp_path: Path) -> None:
    path = tmp_path / "images.gz"
    write_idx(path, IMAGES)
    check_whole(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    with pytest.raises(FormatError, match="expected a whole gzip file, got one that ends early"):
        check_whole(path)


def test_a_gzip_file_of_several_members_is_read_to_its_end(tmp_path: Path) -> None:
    path, plain = tmp_path / "images.gz", tmp_path / "images"
    write_idx(plain, IMAGES)
    content = plain.read_bytes()
    path.write_bytes(gzip.compress(content[:20]) + gzip.compress(content[20:]))
    check_whole(path)
    path.write_bytes(gzip.compress(content) + gzip.compress(b"more"))
    with pytest.raises(FormatError, match="got more: trailing bytes"):
        check_whole(path)


def test_classes_have_names_where_the_source_has_one_for_each() -> None:
    named = IdxSource(num_classes=2, label_names=("cat", "dog"))
    assert named.features[LABEL].names == ("cat", "dog")
    with pytest.raises(ConfigError, match="label_names: expected 3 different ones, got cat, dog"):
        named.override({"num_classes": 3}, "source")
