"""Training on masked sequences: few runs are learned by heart, and of many stories what holds in all."""

import re
from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from tiny_corpus import NUM_PIECES, make_task, write_examples, write_runs

from components.formats.plain_text import read_documents
from components.formats.vocabulary import SPECIAL_TOKENS, VOCABULARY_ASSET
from components.models.bert.config import BertConfig
from components.models.bert.pretraining import BertPretraining
from components.task import Task
from components.trainer.input_pipeline import ExampleFiles
from components.trainer.train import train
from pipelines.datasets.made_corpus import make_corpus

ENCODER = BertConfig(
    vocabulary_size=NUM_PIECES, hidden_dim=32, num_layers=2, num_heads=2, intermediate_dim=64,
    max_positions=16, dropout_rate=0.0, attention_dropout_rate=0.0,
)  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> ExampleFiles:
    return write_runs(tmp_path_factory.mktemp("runs") / "0.gz", 10, 0)


def by_heart(runs: ExampleFiles, **train_settings: Any) -> Task:
    """The task with one set of masks for all epochs, which the evaluation has, too."""
    task = make_task(Path(runs.files[0]).parent, global_batch_size=8, **train_settings)
    windowing = task.windowing.model_copy(update={"dupe_factor": 1})  # type: ignore[union-attr]
    return task.model_copy(update={"windowing": windowing, "model": BertPretraining(encoder=ENCODER)})


def test_few_runs_are_learned_by_heart(runs: ExampleFiles, tmp_path: Path) -> None:
    task = by_heart(runs, num_steps=250, steps_per_loop=50, learning_rate=0.005, clip_norm=1.0)
    # Each many times in an epoch, since an evaluation and the start of an epoch take longer than its steps.
    often = runs._replace(files=[*runs.files] * 25, num_examples=25 * runs.num_examples)
    metrics = train(task, often, runs, str(tmp_path), str(tmp_path)).metrics
    assert metrics["masked_lm_accuracy"] > 0.95
    assert metrics["next_sentence_accuracy"] > 0.95


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> tuple[ExampleFiles, ExampleFiles, float]:
    """Made stories, a tenth of them held out; and how often the most frequent word is right there."""
    folder = tmp_path_factory.mktemp("stories")
    make_corpus(folder, 0)
    documents = [
        [re.findall(r"\w+|\S", line) for line in lines] for lines in read_documents(folder / "corpus.txt")
    ]
    known = sorted({word for document in documents for word in chain(*document)})
    tokens = [*SPECIAL_TOKENS, *known]
    (folder / VOCABULARY_ASSET).write_text("\n".join(tokens) + "\n")
    ids = {token: number for number, token in enumerate(tokens)}
    runs = [[ids[word] for word in chain(*lines)] for lines in documents]
    # No run of another story: no second texts.
    examples = [(run, [*map(len, lines)], [], []) for run, lines in zip(runs, documents, strict=True)]
    words = Counter(chain(*runs[1800:]))
    most = Counter(chain(*runs[:1800])).most_common(1)[0][0]
    parts = (
        write_examples(folder / name, part)
        for name, part in (("train.gz", examples[:1800]), ("eval.gz", examples[1800:]))
    )
    return (*parts, words[most] / words.total())


def test_of_held_out_stories_three_times_as_much_is_told_as_by_the_most_frequent_word(
    stories: tuple[ExampleFiles, ExampleFiles, float], tmp_path: Path
) -> None:
    learned, held_out, most_frequent = stories
    folder = Path(learned.files[0]).parent
    words = (folder / VOCABULARY_ASSET).read_text().splitlines()
    encoder = BertConfig(
        vocabulary_size=len(words), hidden_dim=64, num_layers=2, num_heads=2, intermediate_dim=128,
        max_positions=64, dropout_rate=0.0, attention_dropout_rate=0.0, initializer_stddev=0.06,
        initial_positions="waves",
    )  # fmt: skip
    task = make_task(folder, global_batch_size=32, num_steps=400, steps_per_loop=50, learning_rate=0.004)
    windowing = task.windowing.model_copy(update={"max_sequence_length": 64})  # type: ignore[union-attr]
    task = task.model_copy(update={"windowing": windowing, "model": BertPretraining(encoder=encoder)})
    metrics = train(task, learned, held_out, str(tmp_path), str(tmp_path)).metrics
    assert 0.05 < most_frequent < 0.15
    assert metrics["masked_lm_accuracy"] > 3 * most_frequent
