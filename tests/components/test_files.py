"""Local folders and ram://, the object store here, behave alike; errors say where."""

import errno
import os
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import tensorflow as tf

from components import files

STRANGE = "a [b] c*d? é"


@pytest.fixture(params=["", "ram://"], ids=["local", "object store"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder that is there, with glob characters in its name."""
    root = f"{request.param}{tmp_path}/{STRANGE}"
    tf.io.gfile.makedirs(root)
    return root


@contextmanager
def file_size_limit(size_bytes: int) -> Iterator[None]:
    """Lets every write beyond `size_bytes` of a local file fail, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


def test_what_has_a_scheme_is_a_uri() -> None:
    assert [files.is_uri(place) for place in ("gs://b/a", "ram://a", "/a:/b", "a")] == [
        True,
        True,
        False,
        False,
    ]


def test_what_is_written_is_read(folder: str) -> None:
    files.write_bytes(f"{folder}/new/one", b"\x00\xff")
    files.write_text(f"{folder}/new/two", "é\r\n")
    assert files.read_bytes(f"{folder}/new/one") == b"\x00\xff"
    assert files.read_text(f"{folder}/new/two") == "é\r\n"
    assert files.read_bytes(f"{folder}/new/two") == b"\xc3\xa9\r\n"
    with files.reading(f"{folder}/new/one") as file:
        assert [file.read(1), file.read(1), file.read(1)] == [b"\x00", b"\xff", b""]


def test_a_file_is_replaced_and_nothing_is_left_beside_it(folder: str) -> None:
    for content in (b"the first one", b"second"):
        files.write_bytes(f"{folder}/file", content)
    assert files.read_bytes(f"{folder}/file") == b"second"
    assert files.list_folder(folder) == ["file"]


def test_text_that_is_not_utf_8_is_refused_by_name(folder: str) -> None:
    files.write_bytes(f"{folder}/latin", b"caf\xe9")
    with pytest.raises(ValueError, match="/latin: expected UTF-8, got byte 0xe9"):
        files.read_text(f"{folder}/latin")


def test_folders_are_listed_in_order_and_missing_ones_are_empty(folder: str) -> None:
    for name in ("b", "a", "c/d"):
        files.write_text(f"{folder}/{name}", "")
    assert files.list_folder(folder) == ["a", "b", "c"]
    assert files.list_folder(f"{folder}/nowhere") == []
    assert [files.exists(f"{folder}/{name}") for name in ("a", "c", "d")] == [True, True, False]


def test_only_files_of_the_folder_itself_are_found(folder: str) -> None:
    for name in ("x-2.gz", "x-1.gz", "y.gz", "x-3.gz/inner"):
        files.write_text(f"{folder}/{name}", "")
    assert files.find(folder, "x-*") == [f"{folder}/x-1.gz", f"{folder}/x-2.gz"]
    assert files.find(f"{folder}/nowhere", "*") == []


def test_every_file_below_a_folder_is_walked(folder: str) -> None:
    for name in ("b/d/e", "b/c", "a"):
        files.write_text(f"{folder}/{name}", "")
    assert list(files.walk(folder)) == ["a", "b/c", "b/d/e"]


def test_a_linked_folder_is_walked_too(tmp_path: Path) -> None:
    files.write_text(f"{tmp_path}/elsewhere/file", "")
    (tmp_path / "here").mkdir()
    (tmp_path / "here/link").symlink_to(tmp_path / "elsewhere")
    assert list(files.walk(f"{tmp_path}/here")) == ["link/file"]


@pytest.mark.parametrize("scheme", ["", "ram://"], ids=["local", "object store"])
def test_a_tree_is_copied_to_either_kind(folder: str, tmp_path: Path, scheme: str) -> None:
    files.write_text(f"{folder}/a", "1")
    files.write_text(f"{folder}/b [*]/c", "2")
    target = f"{scheme}{tmp_path}/copy"
    if not scheme:  # a copy over a file of ram:// is added to it
        files.write_text(f"{target}/a", "an older and longer one")
    files.copy_tree(folder, target)
    assert list(files.walk(target)) == ["a", "b [*]/c"]
    assert [files.read_text(f"{target}/{name}") for name in ("a", "b [*]/c")] == ["1", "2"]


def test_a_local_folder_is_moved(folder: str, tmp_path: Path) -> None:
    files.write_text(f"{tmp_path}/made/a/b", "1")
    files.move_folder(f"{tmp_path}/made", f"{folder}/moved")
    assert list(files.walk(f"{folder}/moved")) == ["a/b"]
    assert not files.exists(f"{tmp_path}/made")


def test_a_tree_is_removed_once_and_no_other(folder: str) -> None:
    files.write_text(f"{folder}/a/b", "")
    files.write_text(f"{folder}/ab", "")
    for _ in range(2):
        files.remove_tree(f"{folder}/a")
    assert files.list_folder(folder) == ["ab"]


def test_a_missing_file_is_an_os_error_that_names_it(folder: str) -> None:
    missing = f"{folder}/none"
    for ask in (files.read_bytes, files.read_text, lambda path: list(files.walk(path))):
        with pytest.raises(FileNotFoundError) as caught:
            ask(missing)
        assert caught.value.filename == missing
    with pytest.raises(FileNotFoundError) as caught:
        files.copy_file(missing, f"{folder}/copy")
    assert caught.value.filename == missing


def test_a_scheme_that_nothing_serves_is_an_os_error() -> None:
    for ask in (files.exists, files.list_folder, files.read_bytes, files.make_folder, files.remove_tree):
        with pytest.raises(OSError, match="'nowhere' not implemented") as caught:
            ask("nowhere://bucket/a")
        assert (caught.value.errno, caught.value.filename) == (errno.EPROTONOSUPPORT, "nowhere://bucket/a")


def test_a_full_disk_leaves_the_old_file_and_is_named(tmp_path: Path) -> None:
    path = f"{tmp_path}/file"
    files.write_bytes(path, b"old")
    with file_size_limit(1000), pytest.raises(OSError, match="too large") as caught:
        files.write_bytes(path, bytes(1001))
    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, path)
    assert files.read_bytes(path) == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_copy_that_does_not_fit_names_its_target(tmp_path: Path) -> None:
    files.write_bytes(f"{tmp_path}/large", bytes(1001))
    with file_size_limit(1000), pytest.raises(OSError, match="too large") as caught:
        files.copy_file(f"{tmp_path}/large", f"{tmp_path}/copy")
    assert caught.value.filename == f"{tmp_path}/copy"
    with pytest.raises(OSError, match="No space left") as caught:
        files.copy_file(f"{tmp_path}/large", "/dev/full")
    assert caught.value.filename == "/dev/full"


def test_what_cannot_be_replaced_leaves_nothing_behind(tmp_path: Path) -> None:
    files.write_text(f"{tmp_path}/taken/inner", "")
    with pytest.raises(IsADirectoryError) as caught:
        files.write_bytes(f"{tmp_path}/taken", b"content")
    assert caught.value.filename == f"{tmp_path}/taken"
    assert list(files.walk(str(tmp_path))) == ["taken/inner"]


def test_a_file_under_a_file_is_refused_by_name(tmp_path: Path) -> None:
    files.write_text(f"{tmp_path}/file", "")
    with pytest.raises(OSError, match="file") as caught:
        files.write_text(f"{tmp_path}/file/inner", "")
    assert caught.value.filename in (f"{tmp_path}/file", f"{tmp_path}/file/inner")


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640)])
def test_a_written_file_has_the_mode_of_any_other(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        files.write_bytes(f"{tmp_path}/file", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode


def test_local_files_need_no_tensorflow(tmp_path: Path) -> None:
    code = """if True:
        import sys
        from components import files
        files.write_text(f"{sys.argv[1]}/a/b", "1")
        files.copy_tree(f"{sys.argv[1]}/a", f"{sys.argv[1]}/c")
        files.find(sys.argv[1], "*"), files.read_text(f"{sys.argv[1]}/c/b"), files.remove_tree(sys.argv[1])
        try:
            files.read_bytes(f"{sys.argv[1]}/none")
        except FileNotFoundError:
            sys.exit("tensorflow" in sys.modules)
    """
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "x")], check=False).returncode == 0
