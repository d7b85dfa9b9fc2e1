import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.errors import Failure, UserError
from components.registry import refusals, registry
from components.registry.registry import CorruptVersion, PublishedVersion, PublishFailed, PublishRefused
from components.registry.storage import Storage

SCRIPT = Path(__file__).with_name("publishing_process.py")
ROOT = Path(__file__).parents[3]


def saved_model(folder: Path, content: str = "a", num_bytes: int = 100) -> Path:
    """Writes the files of a SavedModel; to the registry they are only bytes."""
    (folder / "variables").mkdir(parents=True)
    (folder / "assets.extra").mkdir()
    (folder / "saved_model.pb").write_text(f"graph {content}")
    (folder / "variables/variables.index").write_text("index")
    (folder / "variables/variables.data-00000-of-00001").write_bytes(content.encode() * num_bytes)
    (folder / "assets.extra/tf_serving_warmup_requests").write_text("requests")
    return folder


def publish(base: Path | str, folder: Path | str, keep_versions: int = 3, **more: float) -> PublishedVersion:
    return registry.publish(
        str(folder), str(base), "mnist", metrics=more, source={"run_id": "r1"}, keep_versions=keep_versions
    )


def publish_all(tmp_path: Path, contents: str, keep_versions: int = 9) -> Path:
    """Publishes one version for each letter; returns the base."""
    for content in contents:
        folder = tmp_path / f"model-{content}"
        if not folder.exists():
            saved_model(folder, content)
        publish(tmp_path / "base", folder, keep_versions)
    return tmp_path / "base"


def numbers(base: Path) -> list[int]:
    return [version.version for version in registry.versions(str(base), "mnist")]


def latest(base: Path) -> dict[str, object]:
    return json.loads((base / "mnist/latest.json").read_text())


def content(version: PublishedVersion) -> str:
    return Path(version.path, "saved_model.pb").read_text().removeprefix("graph ")


def rollback(base: Path, to: int | None = None) -> PublishedVersion:
    return registry.rollback(str(base), "mnist", to)


def run_script(*arguments: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_first_version_is_1_and_complete(tmp_path: Path) -> None:
    model = saved_model(tmp_path / "model")
    version = publish(tmp_path / "base", model, accuracy=0.98)
    assert version.version == 1
    assert version.path == str(tmp_path / "base/mnist/1")
    assert registry.live(str(tmp_path / "base"), "mnist") == version
    assert registry.verify(version.path) == version
    assert version.metrics == {"accuracy": 0.98}
    assert version.source == {"run_id": "r1"}
    assert version.blessed
    assert latest(tmp_path / "base")["version"] == 1
    assert latest(tmp_path / "base")["digest"] == version.digest
    for name in version.files:
        assert Path(version.path, name).read_bytes() == (model / name).read_bytes()


@pytest.mark.parametrize("umask", [0, 0o077])
def test_modes_do_not_depend_on_the_umask(tmp_path: Path, umask: int) -> None:
    model = saved_model(tmp_path / "model")
    before = os.umask(umask)
    try:
        publish(tmp_path / "registry/base", model)
        refusals.remember(str(tmp_path / "registry/base"), "mnist", "origin", "judge", "worse")
    finally:
        os.umask(before)
    made = [tmp_path / "registry", *(tmp_path / "registry").rglob("*")]
    # The registry, base, mnist, 1 and two folders in it; four files, the record, latest, refused and lock.
    assert [path.stat().st_mode & 0o777 for path in made if path.is_dir()] == [0o755] * 6
    assert [path.stat().st_mode & 0o777 for path in made if path.is_file()] == [0o644] * 8


def test_folders_hand_on_their_group(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base").chmod(0o2775)
    version = publish(tmp_path / "base", saved_model(tmp_path / "model"))
    assert Path(version.path, "variables").stat().st_mode & 0o7777 == 0o2755


def test_digest_is_that_of_sha256sum_s_lines(tmp_path: Path) -> None:
    (tmp_path / "model/variables").mkdir(parents=True)
    (tmp_path / "model/saved_model.pb").write_text("a")
    (tmp_path / "model/variables/v").write_text("b")
    a, b = (hashlib.sha256(text).hexdigest() for text in (b"a", b"b"))
    version = publish(tmp_path / "base", tmp_path / "model")
    assert version.files == {"saved_model.pb": a, "variables/v": b}
    assert version.digest == hashlib.sha256(f"{a}  saved_model.pb\n{b}  variables/v\n".encode()).hexdigest()


def test_publishing_the_live_model_again_changes_nothing(tmp_path: Path) -> None:
    base = publish_all(tmp_path, "ab")
    assert publish(base, tmp_path / "model-b").version == 2
    assert numbers(base) == [1, 2]


def test_a_card_lies_in_the_folder_and_is_no_part_of_the_content(tmp_path: Path) -> None:
    model, base = saved_model(tmp_path / "model"), str(tmp_path / "base")
    for text in (b"first", b"second"):
        version = registry.publish(
            str(model), base, "mnist", metrics={}, source={}, keep_versions=3,
            cards={registry.CARDS[0]: text},
        )  # fmt: skip
    # Equal content is live already, whatever is told of it.
    assert version.version == 1
    assert Path(version.path, "assets.extra/card.md").read_bytes() == b"first"
    assert registry.verify(version.path) == version
    assert "assets.extra/card.md" not in version.files
    registry.copy(version, str(tmp_path / "copy"))
    assert not (tmp_path / "copy/assets.extra/card.md").exists()


def test_publishing_an_older_content_again_is_a_new_version(tmp_path: Path) -> None:
    assert numbers(publish_all(tmp_path, "aba")) == [1, 2, 3]


def test_live_version_that_was_damaged_is_published_again(tmp_path: Path) -> None:
    base = publish_all(tmp_path, "a")
    (base / "mnist/1/variables/variables.index").write_text("Index")
    assert publish(base, tmp_path / "model-a").version == 2


def test_only_the_newest_versions_are_kept(tmp_path: Path) -> None:
    base = publish_all(tmp_path, "abcde", keep_versions=2)
    assert sorted(os.listdir(base / "mnist")) == [".lock", "4", "5", "latest.json"]


def test_keeping_one_version_keeps_the_live_one(tmp_path: Path) -> None:
    base = publish_all(tmp_path, "abc", keep_versions=1)
    assert numbers(base) == [3]
    assert latest(base)["version"] == 3


def test_number_of_a_deleted_version_is_not_given_again(tmp_path: Path) -> None:
    base = publish_all(tmp_path, "abc")
    shutil.rmtree(base / "mnist/3")
    shutil.rmtree(base / "mnist/2")
    assert publish(base, tmp_path / "model-a").version == 1  # what is live now
    assert latest(base)["version"] == 1
    assert publish(base, tmp_path / "model-b").version == 4


def test_folders_of_others_are_left_alone_but_their_numbers_are_taken(tmp_path: Path) -> None:
    base = publish_all(tmp_path, "a")
    (base / "mnist/0007").mkdir()
    (base / "mnist/backup").mkdir()
    assert publish(base, saved_model(tmp_path / "b", "b"), keep_versions=1).version == 8
    assert sorted(os.listdir(base / "mnist")) == [".lock", "0007", "8", "backup", "latest.json"]


def test_version_that_latest_json_does_not_name_yet_is_live(tmp_path: Path) -> None:
    base = publish_all(tmp_path, "a")
    old = (base / "mnist/latest.json").read_bytes()
    publish_all(tmp_path, "b")
    (base / "mnist/latest.json").write_bytes(old)  # as if killed before the replacement
    version = registry.live(str(base), "mnist")
    assert version is not None
    assert version.version == 2
    assert publish(base, tmp_path / "model-b").version == 2
    assert latest(base)["version"] == 2


def test_lost_latest_json_is_written_again(tmp_path: Path) -> None:
    base = publish_all(tmp_path, "ab")
    (base / "mnist/latest.json").unlink()
    publish_all(tmp_path, "c")
    assert latest(base)["version"] == 3


def test_unreadable_latest_json_stops_a_push_rather_than_reuse_a_number(tmp_path: Path) -> None:
    base = publish_all(tmp_path, "a")
    (base / "mnist/latest.json").write_text("{")
    with pytest.raises(PublishFailed, match=r"latest\.json: expected JSON with 'highest'"):
        publish_all(tmp_path, "b")


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "../up", "a\n", "a b", "ä"])
def test_model_name_that_could_leave_the_base_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(PublishRefused, match="model name"):
        registry.publish(str(tmp_path), str(tmp_path), name, metrics={}, source={}, keep_versions=1)


def test_folder_without_saved_model_pb_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PublishRefused, match=r"no saved_model\.pb"):
        publish(tmp_path / "base", tmp_path)
    assert not (tmp_path / "base").exists()


def test_link_in_a_model_is_refused(tmp_path: Path) -> None:
    model = saved_model(tmp_path / "model")
    (model / "assets").symlink_to("/etc")
    with pytest.raises(PublishRefused, match=r"model/assets: expected a file or a folder, got a link"):
        publish(tmp_path / "base", model)


def test_keeping_no_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PublishRefused, match="keep_versions: expected at least 1, got 0"):
        publish(tmp_path / "base", tmp_path, keep_versions=0)


def test_base_that_cannot_be_made_is_the_users_mistake(tmp_path: Path) -> None:
    model = saved_model(tmp_path / "model")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=rf"^{tmp_path}/file/base/mnist: Not a directory$|/file"):
        publish(tmp_path / "file/base", model)


def test_nothing_published_is_no_version(tmp_path: Path) -> None:
    assert registry.versions(str(tmp_path), "mnist") == []
    assert registry.live(str(tmp_path), "mnist") is None
    with pytest.raises(PublishRefused, match="no version is published"):
        rollback(tmp_path)
    assert os.listdir(tmp_path) == []


# Rollback.


def test_repeated_rollback_walks_further_back(tmp_path: Path) -> None:
    base = publish_all(tmp_path, "abc")
    first, second = rollback(base), rollback(base)
    assert (first.version, first.restored_from, content(first)) == (4, 2, "b")
    assert (second.version, second.restored_from, content(second)) == (5, 1, "a")
    assert latest(base)["version"] == 5
    with pytest.raises(PublishRefused, match="no version before 1, which is live"):
        rollback(base)


def test_rollback_after_a_push_on_top_of_a_rollback_returns_to_what_was_live(tmp_path: Path) -> None:
    base = publish_all(tmp_path, "abc")
    rollback(base)  # 4: b
    publish_all(tmp_path, "d")  # 5
    version = rollback(base)
    assert (version.version, version.restored_from, content(version)) == (6, 2, "b")
    assert content(rollback(base)) == "a"


def test_rollback_restores_metrics_and_source(tmp_path: Path) -> None:
    base = tmp_path / "base"
    old = publish(base, saved_model(tmp_path / "a", "a"), accuracy=0.9)
    publish(base, saved_model(tmp_path / "b", "b"), accuracy=0.8)
    version = rollback(base)
    assert version.metrics == {"accuracy": 0.9}
    assert version.source == old.source
    assert version.files == old.files
    assert registry.verify(version.path) == version


def test_rollback_to_a_version(tmp_path: Path) -> None:
    base = publish_all(tmp_path, "abc")
    assert content(rollback(base, to=1)) == "a"
    assert content(rollback(base, to=3)) == "c"  # and forward again
    assert numbers(base) == [1, 2, 3, 4, 5]


def test_rollback_to_what_is_live_changes_nothing(tmp_path: Path) -> None:
    base = publish_all(tmp_path, "ab")
    assert rollback(base, to=2).version == 2


def test_rollback_to_an_unknown_version_lists_the_known_ones(tmp_path: Path) -> None:
    base = publish_all(tmp_path, "abc")
    with pytest.raises(UserError, match="unknown version 9; known: 1, 2, 3"):
        rollback(base, to=9)


@pytest.mark.parametrize("damage", ["flip", "truncate", "delete", "add"])
def test_rollback_refuses_a_damaged_version(tmp_path: Path, damage: str) -> None:
    base = publish_all(tmp_path, "ab")
    data = base / "mnist/1/variables/variables.data-00000-of-00001"
    if damage == "flip":
        data.write_bytes(b"A" + data.read_bytes()[1:])
    elif damage == "truncate":
        data.write_bytes(data.read_bytes()[:-1])
    elif damage == "delete":
        data.unlink()
    else:
        data.with_name("more").touch()
    with pytest.raises(CorruptVersion, match=r"mnist/1/variables/.*: expected .*, got"):
        rollback(base)
    with pytest.raises(CorruptVersion):
        registry.verify(str(base / "mnist/1"))
    assert numbers(base) == [1, 2]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 1}', "\udcff"])
def test_version_with_an_unreadable_record_is_left_out(tmp_path: Path, text: str) -> None:
    base = publish_all(tmp_path, "ab")
    record = base / "mnist/1/assets.extra/millrace-version.json"
    record.write_bytes(text.encode(errors="surrogateescape"))
    assert numbers(base) == [2]
    with pytest.raises(CorruptVersion, match="expected the record of a version"):
        registry.verify(str(base / "mnist/1"))


@settings(max_examples=25, deadline=None)
@given(actions=st.lists(st.sampled_from(["a", "b", "c", "rollback", "delete live"]), max_size=10))
def test_numbers_only_grow_and_what_is_live_is_intact(
    tmp_path_factory: pytest.TempPathFactory, actions: list[str]
) -> None:
    tmp_path = tmp_path_factory.mktemp("actions")
    base, highest = tmp_path / "base", 0
    for action in actions:
        before = registry.live(str(base), "mnist")
        if action == "delete live":
            if before:
                shutil.rmtree(before.path)
            continue
        if action == "rollback":
            with contextlib.suppress(PublishRefused):
                rollback(base)
        else:
            publish_all(tmp_path, action, keep_versions=2)
            assert len(numbers(base)) <= 2
        after = registry.live(str(base), "mnist")
        if after != before:
            assert after is not None
            assert after.version == highest + 1
            highest = after.version
            assert registry.verify(after.path) == after
        if len(action) == 1:
            assert after is not None
            assert content(after) == action


def withdrawn(base: Path | str) -> list[int]:
    live = registry.live(str(base), "mnist")
    assert live is not None
    return [entry.version for entry in live.withdrawn]


def test_rollback_withdraws_what_came_after_and_says_so_where_servers_look(tmp_path: Path) -> None:
    base = publish_all(tmp_path, "abc")
    version = rollback(base)  # 4: b
    (entry,) = version.withdrawn
    assert (entry.version, entry.digest) == (3, registry.verify(str(base / "mnist/3")).digest)
    assert entry.time == version.created
    assert latest(base)["withdrawn"] == [entry.model_dump()]
    rollback(base)  # 5: a
    assert withdrawn(base) == [3, 2]
    rollback(base, to=3)  # forward again
    assert withdrawn(base) == [2]


def test_what_is_withdrawn_stays_so_until_it_is_published_again(tmp_path: Path) -> None:
    base = publish_all(tmp_path, "ab")
    rollback(base)
    publish_all(tmp_path, "c")
    assert withdrawn(base) == [2]
    publish_all(tmp_path, "b")
    assert withdrawn(base) == []


def test_a_model_made_of_the_same_as_a_withdrawn_one_is_known_by_its_origin(tmp_path: Path) -> None:
    base = tmp_path / "base"
    for letter in "ab":
        model = saved_model(tmp_path / letter, letter)
        (model / "assets.extra/origin.json").write_text(f"made of {letter}")
        publish(base, model)
    again = saved_model(tmp_path / "again", "other weights")
    (again / "assets.extra/origin.json").write_text("made of b")
    origin = registry.origin_of(str(again))
    assert origin == hashlib.sha256(b"made of b").hexdigest()
    assert registry.withdrawn(str(base), "mnist", origin) is None
    rollback(base)
    found = registry.withdrawn(str(base), "mnist", origin)
    assert found is not None
    assert found.version == 2
    publish(base, again)
    assert withdrawn(base) == []


def test_models_that_do_not_say_what_they_are_made_of_are_not_alike(tmp_path: Path) -> None:
    base = publish_all(tmp_path, "ab")
    rollback(base)
    assert registry.origin_of(str(tmp_path / "model-b")) == ""
    assert registry.withdrawn(str(base), "mnist", "") is None


def test_a_version_is_copied_whole_and_without_its_record(tmp_path: Path) -> None:
    version = publish(tmp_path / "base", saved_model(tmp_path / "a"))
    registry.copy(version, str(tmp_path / "copy"))
    assert publish(tmp_path / "other", tmp_path / "copy").digest == version.digest
    assert not (tmp_path / "copy/assets.extra/millrace-version.json").exists()
    Path(version.path, "variables/variables.index").unlink()
    with pytest.raises(CorruptVersion, match=r"variables\.index: expected SHA-256 .*, got no file"):
        registry.copy(version, str(tmp_path / "again"))


# Faults: kills, full disks, rivals.


def assert_intact(base: Path) -> int:
    """Checks what must hold after any kill; returns the live version."""
    found = sorted(int(name) for name in os.listdir(base / "mnist") if name.isdigit())
    for number in found:
        registry.verify(str(base / f"mnist/{number}"))
    assert numbers(base) == found
    named = latest(base)["version"]
    assert named in found
    assert named in found[-2:]
    return found[-1]


@pytest.mark.parametrize("mode", ["kill", "delay"])
@pytest.mark.parametrize("action", ["publish", "rollback"])
def test_kill_at_any_moment_leaves_the_old_state_or_the_new(tmp_path: Path, action: str, mode: str) -> None:
    state = publish_all(tmp_path, "abc", keep_versions=3)
    new = saved_model(tmp_path / "model-d", "d", num_bytes=1_000_000 if mode == "delay" else 100)
    (tmp_path / "out").mkdir()
    result = run_script(mode, action, state, new, tmp_path / "out")
    assert result.returncode == 0, result.stderr
    seen = set()
    for base in (tmp_path / "out").iterdir():
        live = assert_intact(base)
        seen.add((live, latest(base)["version"]))
        # The same again brings what was begun to its end, and leaves nothing behind.
        if action == "publish":
            assert publish(base, new).version == 4
        else:
            assert rollback(base, to=4 if live == 4 else None).version == 4
        assert latest(base)["version"] == 4
        kept = ["2", "3", "4"] if action == "publish" else ["1", "2", "3", "4"]
        assert sorted(os.listdir(base / "mnist")) == [".lock", *kept, "latest.json"]
        assert_intact(base)
    if mode == "kill":
        assert seen == {(3, 3), (4, 3), (4, 4)}
        assert len(list((tmp_path / "out").iterdir())) > 30
    else:
        assert {(3, 3), (4, 4)} <= seen <= {(3, 3), (4, 3), (4, 4)}


def test_publishers_in_several_processes_get_different_numbers(tmp_path: Path) -> None:
    models = [saved_model(tmp_path / f"model-{n}", f"{n}") for n in range(12)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    processes = [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), "publish", str(tmp_path / "base"), *map(str, models[n::4])],
            env=env,
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(4)
    ]
    given_numbers = [
        int(line) for process in processes for line in process.communicate(timeout=120)[0].split()
    ]
    assert sorted(given_numbers) == list(range(1, 13))
    assert numbers(tmp_path / "base") == [10, 11, 12]
    assert_intact(tmp_path / "base")


def test_file_that_cannot_be_written_to_its_end_leaves_the_old_state(tmp_path: Path) -> None:
    base = publish_all(tmp_path, "a")
    big = saved_model(tmp_path / "model-b", "b", num_bytes=100_000)
    result = run_script("limit", base, big, 50_000)
    assert result.returncode == 1
    assert "variables.data-00000-of-00001: File too large" in result.stderr.splitlines()[-1]
    assert sorted(os.listdir(base / "mnist")) == [".lock", "1", "latest.json"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    mount = tmp_path / "disk"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(mount)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a file system needs rights that are missing here")
    yield mount
    subprocess.run(["umount", str(mount)], check=True)


def test_full_disk_leaves_the_old_state_and_room_for_a_smaller_model(
    tmp_path: Path, small_disk: Path
) -> None:
    small, big = saved_model(tmp_path / "a", "a"), saved_model(tmp_path / "b", "b", num_bytes=2_000_000)
    publish(small_disk, small)
    with pytest.raises(
        Failure, match=rf"^{small_disk}/mnist/.*data-00000-of-00001: No space left on device$"
    ):
        publish(small_disk, big)
    assert sorted(os.listdir(small_disk / "mnist")) == [".lock", "1", "latest.json"]
    assert publish(small_disk, saved_model(tmp_path / "c", "c")).version == 2


def test_read_only_base_is_the_users_mistake(tmp_path: Path, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(UserError, match=rf"^{small_disk}/mnist: Read-only file system$"):
        publish(small_disk, saved_model(tmp_path / "a"))


def test_registry_needs_no_tensorflow_for_local_folders() -> None:
    code = "import sys; from components.registry import registry; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


# Object stores, on TensorFlow's file system in memory.


@pytest.fixture
def bucket(tmp_path: Path) -> str:
    return f"ram://{tmp_path.name}"


def children(uri: str) -> list[str]:
    import tensorflow as tf

    return sorted(tf.io.gfile.listdir(uri))


def test_object_store_holds_versions_and_rolls_back(tmp_path: Path, bucket: str) -> None:
    for letter in "abc":
        published = publish(bucket, saved_model(tmp_path / letter, letter), keep_versions=2)
        assert registry.verify(published.path) == published
    assert children(f"{bucket}/mnist") == ["2", "3", "latest.json"]
    version = registry.rollback(bucket, "mnist")
    assert (version.version, version.restored_from) == (4, 2)
    assert version.path == f"{bucket}/mnist/4"
    assert registry.live(bucket, "mnist") == version


def test_object_store_is_a_source_for_a_local_base(tmp_path: Path, bucket: str) -> None:
    remote = publish(bucket, saved_model(tmp_path / "a"))
    assert publish(tmp_path / "base", remote.path).files == remote.files


@pytest.mark.parametrize("num_files", range(4))
def test_interrupted_upload_is_never_a_version(
    tmp_path: Path, bucket: str, num_files: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(bucket, saved_model(tmp_path / "a", "a"))
    copy, copied = registry._Tree.copy, []

    def interrupted(self: registry._Tree, name: str, storage: Storage, folder: str) -> None:
        if len(copied) == num_files:
            raise KeyboardInterrupt
        copied.append(name)
        copy(self, name, storage, folder)

    new = saved_model(tmp_path / "b", "b")
    with monkeypatch.context() as patch:
        patch.setattr(registry._Tree, "copy", interrupted)
        with pytest.raises(KeyboardInterrupt):
            publish(bucket, new)
    assert [version.version for version in registry.versions(bucket, "mnist")] == [1]
    # The number 2 is lost, and what was left of it removed.
    assert publish(bucket, new).version == 3
    assert children(f"{bucket}/mnist") == ["1", "3", "latest.json"]


def test_unknown_scheme_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^nosuch://models/mnist.*: .*'nosuch' not implemented"):
        publish("nosuch://models", saved_model(tmp_path / "a"))
