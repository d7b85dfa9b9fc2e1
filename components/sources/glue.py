"""The sources of GLUE's CoLA, MRPC and MNLI, and of XNLI.

Layouts: the archives of gluebenchmark.com/tasks and github.com/facebookresearch/XNLI, and the columns
that github.com/google-research/bert (run_classifier.py) reads of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from pydantic import Field

from components.sources.tsv import TsvSource
from components.sources.tsv_layout import Column, TsvFile

# Raw features that evaluations are sliced by: MNLI's matched or mismatched, and XNLI's language code.
DOMAIN: Final = "domain"
LANGUAGE: Final = "language"

Language = Literal["ar", "bg", "de", "el", "en", "es", "fr", "hi", "ru", "sw", "th", "tr", "ur", "vi", "zh"]


class MrpcSource(TsvSource):
    """The Microsoft Research Paraphrase Corpus, as GLUE has it or as it was first published."""

    labels: tuple[str, ...] = ("0", "1")
    train: TsvFile = TsvFile(
        name="train.tsv",
        header=True,
        label=Column(index=0, names=("Quality",)),
        text_a=Column(index=3, names=("#1 String",)),
        text_b=Column(index=4, names=("#2 String",)),
        folders=("MRPC", "MSRParaphraseCorpus"),
    )
    evaluation: tuple[TsvFile, ...] = (train.model_copy(update={"name": "dev.tsv"}),)
    original: bool = Field(
        False, description="Read the files as first published also where GLUE's train.tsv or dev.tsv is."
    )

    def with_evaluation_file(self, name: str) -> TsvSource:
        return super().with_evaluation_file(name).model_copy(update={"original": False})

    @property
    def train_file(self) -> TsvFile:
        return _renamed(self.train, "msr_paraphrase_train.txt") if self.original else self.train

    @property
    def evaluation_files(self) -> tuple[TsvFile, ...]:
        original = (_renamed(self.evaluation[0], "msr_paraphrase_test.txt"),)
        return original if self.original else self.evaluation

    def as_found(self, directory: str) -> TsvSource:
        """Returns itself, reading the original files where they are there and none of GLUE's is."""
        original = self.model_copy(update={"original": True})
        return original if not self.any_file(directory) and original.any_file(directory) else self


class XnliSource(TsvSource):
    """XNLI: trained in one language, evaluated in many."""

    labels: tuple[str, ...] = ("contradiction", "entailment", "neutral")
    synonyms: Mapping[str, str] = Field(default_factory=lambda: {"contradictory": "contradiction"})
    train: TsvFile = TsvFile(
        name="multinli.train.en.tsv",
        header=True,
        text_a=Column(index=0, names=("premise",)),
        text_b=Column(index=1, names=("hypo", "hypothesis")),
        label=Column(index=2, names=("label",)),
        slice="en",
        folders=("XNLI-MT-1.0/multinli", "multinli"),
    )
    evaluation: tuple[TsvFile, ...] = (
        TsvFile(
            name="xnli.dev.tsv",
            header=True,
            slice=Column(index=0, names=("language",)),
            label=Column(index=1, names=("gold_label",)),
            text_a=Column(index=6, names=("sentence1",)),
            text_b=Column(index=7, names=("sentence2",)),
            folders=("XNLI-1.0",),
        ),
    )
    slice_key: str | None = LANGUAGE
    train_language: Language = Field("en", description="The file multinli.train.LANGUAGE.tsv is read.")
    eval_languages: tuple[Language, ...] = Field(
        (), description="Languages to evaluate on. Default: every one of the file."
    )

    @property
    def train_file(self) -> TsvFile:
        name = f"multinli.train.{self.train_language}.tsv"
        return self.train.model_copy(update={"name": name, "slice": self.train_language})

    @property
    def evaluation_files(self) -> tuple[TsvFile, ...]:
        return tuple(file.model_copy(update={"only": self.eval_languages}) for file in self.evaluation)


def _renamed(file: TsvFile, name: str) -> TsvFile:
    return file.model_copy(update={"name": name})


def _mnli_file(name: str, domain: str) -> TsvFile:
    return TsvFile(
        name=name,
        header=True,
        text_a=Column(index=8, names=("sentence1",)),
        text_b=Column(index=9, names=("sentence2",)),
        label=Column(index=-1, names=("gold_label",)),
        slice=domain,
        folders=("MNLI",),
    )


def _cola_file(name: str) -> TsvFile:
    # Columns: source, label, author's mark, sentence.
    return TsvFile(
        name=name,
        header=False,
        label=Column(index=1, names=("label",)),
        text_a=Column(index=3, names=("sentence",)),
        folders=("CoLA",),
    )


COLA: Final = TsvSource(labels=("0", "1"), train=_cola_file("train.tsv"), evaluation=(_cola_file("dev.tsv"),))
MRPC: Final = MrpcSource()
MNLI: Final = TsvSource(
    labels=("contradiction", "entailment", "neutral"),
    # The genres of the training rows are those of the matched ones.
    train=_mnli_file("train.tsv", "matched"),
    evaluation=(
        _mnli_file("dev_matched.tsv", "matched"),
        _mnli_file("dev_mismatched.tsv", "mismatched"),
    ),
    evaluation_pattern="dev_*matched.tsv",
    slice_key=DOMAIN,
)
XNLI: Final = XnliSource()
