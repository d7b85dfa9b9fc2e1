"""Batches of windows: those that NumPy cuts, for any number of workers and any start; a training on them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cut_sequences import LENGTH, STRIDE, TARGETS, VALUES, Cuts, make_sequences, make_task, write_sequences

from components.features import EXAMPLE_WEIGHT
from components.train_config import TrainConfig
from components.trainer.errors import TrainConfigError, TrainingFailure
from components.trainer.input_pipeline import ExampleFiles
from components.trainer.records import Records, unpacked
from components.trainer.train import TrainResult, train
from components.trainer.window_streams import (
    ExampleWindows,
    WindowEvalStream,
    WindowStream,
    window_eval_stream,
    window_stream,
)

# 3 + 0 + 1 + 10 + 4 + 2 + 7 windows: 6 batches of 4, and 3 windows that are left over.
LENGTHS = [12, 0, 1, 40, 13, 8, 27]
BATCH, SEED, BATCHES_PER_BLOCK = 4, 5, 2


@pytest.fixture(scope="module")
def sequences() -> list[dict[str, Any]]:
    return make_sequences(LENGTHS)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, sequences: list[dict[str, Any]]) -> ExampleFiles:
    return write_sequences(tmp_path_factory.mktemp("sequences") / "train.gz", sequences)


@pytest.fixture(scope="module")
def records(files: ExampleFiles) -> Iterator[Records]:
    with unpacked(files.files, len(LENGTHS)) as records:
        yield records


@pytest.fixture(scope="module")
def stream(records: Records, files: ExampleFiles) -> WindowStream:
    made = window_stream(
        records, ExampleWindows(files, Cuts()), TrainConfig(global_batch_size=BATCH, seed=SEED)
    )
    return made._replace(batches_per_block=BATCHES_PER_BLOCK)


def context(workers: int = 1, worker: int = 0, replicas: int = 1) -> Any:
    import tensorflow as tf

    return tf.distribute.InputContext(workers, worker, workers * replicas)


def values(stream: WindowStream | WindowEvalStream, *where: Any) -> list[Any]:
    return [batch[VALUES].numpy() for batch in stream.batches(*where)]


def cut(sequence: Any, offset: int) -> list[Any]:
    """Returns all windows of a sequence that are moved by `offset`."""
    padded = np.concatenate([sequence, np.zeros(LENGTH + STRIDE, np.float32)])
    return [padded[begin : begin + LENGTH] for begin in range(offset, len(sequence) + offset, STRIDE)]


def batches_by_hand(sequences: list[dict[str, Any]], epoch: int) -> list[Any]:
    windows = []
    for record in np.random.default_rng([SEED, epoch]).permutation(len(sequences)):
        state = np.random.SeedSequence([SEED, epoch, record]).generate_state(2, np.uint64)
        windows += cut(sequences[record][VALUES], int(state.view(np.int64)[1]) % STRIDE)
    size, mixed = BATCH * BATCHES_PER_BLOCK, []
    for number, begin in enumerate(range(0, len(windows), size)):
        block = np.stack(windows[begin : begin + size])
        mixed += list(block[np.random.default_rng([SEED, epoch, number + 1]).permutation(len(block))])
    return [np.stack(mixed[begin : begin + BATCH]) for begin in range(0, len(mixed) - BATCH + 1, BATCH)]


@pytest.mark.parametrize("epoch", [0, 1])
def test_the_batches_are_those_that_numpy_cuts(
    stream: WindowStream, sequences: list[dict[str, Any]], epoch: int
) -> None:
    assert stream.counts.tolist() == [3, 0, 1, 10, 4, 2, 7]
    assert stream.steps_per_epoch == 6
    batches = values(stream, epoch * 6, context())
    np.testing.assert_array_equal(np.stack(batches), np.stack(batches_by_hand(sequences, epoch)))


def test_targets_stay_with_their_values(stream: WindowStream) -> None:
    for batch in stream.batches(0, context()):
        inner = batch[VALUES].numpy()[:, :-1] + batch[VALUES].numpy()[:, 1:]
        whole = (batch[VALUES].numpy() != 0).all(axis=1)
        np.testing.assert_allclose(batch[TARGETS].numpy()[whole, :-1], inner[whole], rtol=1e-6)
        assert batch[EXAMPLE_WEIGHT].numpy().tolist() == [1.0] * BATCH


def test_a_stream_can_be_entered_at_any_step(stream: WindowStream) -> None:
    whole = values(stream, 6, context())
    for skipped in range(6):
        np.testing.assert_array_equal(
            np.stack(values(stream, 6 + skipped, context())), np.stack(whole[skipped:])
        )


@pytest.mark.parametrize(("workers", "replicas"), [(1, 2), (2, 1), (2, 2), (4, 1)])
def test_workers_and_replicas_share_each_global_batch(
    stream: WindowStream, workers: int, replicas: int
) -> None:
    whole = values(stream, 0, context())
    parts = [values(stream, 0, context(workers, worker, replicas)) for worker in range(workers)]
    for step, batch in enumerate(whole):
        own = [part[step * replicas : (step + 1) * replicas] for part in parts]
        np.testing.assert_array_equal(np.concatenate([array for part in own for array in part]), batch)


def test_windows_that_are_as_many_of_every_example_are_not_counted(
    records: Records, files: ExampleFiles, sequences: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ExampleFiles, "parse", None)
    windows = ExampleWindows(files, Cuts(drawn_per_example=2))
    assert windows.count_windows(files.in_order()).tolist() == [2] * 7


def test_a_block_holds_as_many_windows_as_fit(records: Records, files: ExampleFiles) -> None:
    class Large(Cuts):
        def take(self, features: Any, places: Any) -> dict[str, Any]:
            import tensorflow as tf

            # 3 MB: 85 of them are 255 MB.
            return {VALUES: tf.zeros([len(places), 3 * 2**18])}

    config = TrainConfig(global_batch_size=BATCH)
    assert window_stream(records, ExampleWindows(files, Cuts()), config).batches_per_block == 4096 // BATCH
    assert window_stream(records, ExampleWindows(files, Large()), config).batches_per_block == 85 // BATCH


def test_examples_without_any_window_are_refused(tmp_path: Path) -> None:
    empty = write_sequences(tmp_path / "empty.gz", make_sequences([0, 0]))
    with unpacked(empty.files, 2) as records, pytest.raises(TrainingFailure, match="in 2 training examples"):
        window_stream(records, ExampleWindows(empty, Cuts()), TrainConfig())


def test_an_evaluation_sees_every_window_once_and_weighs_the_filling_with_zero(
    files: ExampleFiles, sequences: list[dict[str, Any]]
) -> None:
    stream = window_eval_stream(ExampleWindows(files, Cuts()), 8)
    batches = list(stream.batches(context()))
    weights = np.concatenate([batch[EXAMPLE_WEIGHT].numpy() for batch in batches])
    assert weights.tolist() == [1.0] * 27 + [0.0] * 5
    real = np.concatenate([batch[VALUES].numpy() for batch in batches])[:27]
    # An example's number is its seed.
    expected = [cut(each[VALUES], number % STRIDE) for number, each in enumerate(sequences)]
    np.testing.assert_array_equal(real, np.stack([window for cuts in expected for window in cuts]))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("windows")
    lengths = np.random.default_rng(1).integers(0, 60, 30).tolist()
    splits = [
        write_sequences(folder / f"{seed}.gz", make_sequences(lengths[seed * 20 :][:20], seed))
        for seed in (0, 1)
    ]

    def run_task(working_dir: Path | None = None, dropout_rate: float = 0.0, **settings: Any) -> TrainResult:
        where = str(working_dir or tmp_path_factory.mktemp("run"))
        return train(make_task(dropout_rate, **settings), *splits, where, where)

    return run_task


def test_a_training_on_windows_learns_and_is_evaluated_on_all_of_them(run: Any) -> None:
    short, long = run(num_epochs=1), run(num_epochs=20)
    assert long.metrics["loss"] < short.metrics["loss"] / 2
    lengths = np.random.default_rng(1).integers(0, 60, 30)[20:]
    assert long.metrics["windows"] == np.ceil(lengths / STRIDE).sum()


def test_two_replicas_give_the_numbers_of_one_device(run: Any) -> None:
    one, two = run(num_epochs=2), run(num_epochs=2, strategy="mirrored")
    for weight, other in zip(one.weights, two.weights, strict=True):
        np.testing.assert_allclose(weight, other, atol=2e-6, rtol=2e-6)
    assert two.metrics == pytest.approx(one.metrics, rel=1e-5)


class Interrupted(BaseException):
    """Stands for a process that ends between two operations."""


def test_an_interrupted_run_ends_with_the_weights_of_one_that_was_not(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from components.trainer.loop import CompiledLoop

    settings = {"num_epochs": 3, "dropout_rate": 0.3}
    whole = run(**settings)
    original, left = CompiledLoop.run, iter(range(9))

    def interrupted(self: Any, *arguments: Any) -> Any:
        if next(left, None) is None:
            raise Interrupted
        return original(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(CompiledLoop, "run", interrupted)
        with pytest.raises(Interrupted):
            run(tmp_path, **settings)
    for one, other in zip(whole.weights, run(tmp_path, **settings).weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_batch_larger_than_an_epoch_is_refused(run: Any) -> None:
    with pytest.raises(TrainConfigError, match=r"expected at most the \d+ training windows, got 1024"):
        run(global_batch_size=1024)


class Shaken(Cuts):
    """Windows to which a number between 0 and 1 is added, of values that are decoded as one more each."""

    def prepared(self, features: dict[str, Any]) -> dict[str, Any]:
        return {**features, VALUES: features[VALUES] + 1}

    def drawn(self, features: dict[str, Any], seed: Any) -> Any:
        return super().drawn({**features, VALUES: features[VALUES] - 1}, seed)

    def varied(self, taken: dict[str, Any], seeds: Any) -> dict[str, Any]:
        import tensorflow as tf

        noise = tf.map_fn(
            lambda seed: tf.random.stateless_uniform([], seed), seeds, fn_output_signature=tf.float32
        )
        return {**taken, VALUES: taken[VALUES] + noise[:, None], "noise": noise}


def noises(stream: WindowStream, step: int, *where: int) -> list[Any]:
    return [batch["noise"].numpy() for batch in stream.batches(step, context(*where))]


def test_windows_are_varied_by_example_window_and_epoch_alone(
    stream: WindowStream, records: Records, files: ExampleFiles
) -> None:
    shaken = stream._replace(windows=ExampleWindows(files, Shaken()))
    batches = noises(shaken, 0)
    drawn = np.concatenate(batches)
    assert len(set(drawn.tolist())) == len(drawn)
    parts = [noises(shaken, 0, 2, worker) for worker in range(2)]
    np.testing.assert_array_equal(batches, [np.concatenate(pair) for pair in zip(*parts, strict=True)])
    np.testing.assert_array_equal(batches[3:], noises(shaken, 3))
    second = np.concatenate(noises(shaken, stream.steps_per_epoch))
    assert not set(drawn.tolist()) & set(second.tolist())


def test_what_an_evaluation_sees_is_prepared_and_not_varied(files: ExampleFiles) -> None:
    plain, shaken = (window_eval_stream(ExampleWindows(files, each), 8) for each in (Cuts(), Shaken()))
    for expected, got in zip(values(plain, context()), values(shaken, context()), strict=True):
        # Beyond the end there is nothing to add to.
        np.testing.assert_allclose(got - expected, np.where(expected == 0, got, 1), atol=1e-6)
