"""What a family of tasks consists of: a protocol a part. Nothing here imports TensorFlow, Keras or Beam.

In the order in which data flows: Source, Preprocessing, Windowing (or none), Model, Evaluation, Asking.
Whatever runs a task, from the trainer to the command line, knows these and no family.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Protocol, runtime_checkable

from components.features import Feature

if TYPE_CHECKING:
    import keras
    import tensorflow as tf
    from numpy.typing import NDArray

    Tensors = Mapping[str, Any]
    Arrays = Mapping[str, NDArray[Any]]

# The split that is carved from another one.
VALIDATION: Final = "eval"
# Beside the splits of examples: SHA-256 sums of the raw files that they are made of, by name.
DATA_DIGESTS: Final = "data_digests.json"
# Beside them, too: the number of examples by split.
COUNTS: Final = "counts.json"
# Among the details of an evaluation: what other tools print of the same answers, by their names.
AS_PRINTED_BY: Final = "as_printed_by"

Value = bytes | int | float
# The raw features of one example, by key.
Record = Mapping[str, Value | Sequence[Value]]


class Split(NamedTuple):
    """One split of the examples, and a pattern of the files in the data directory that it is read from.

    A source that `FindsFiles` tells itself which they are.
    """

    name: str
    pattern: str
    # In [0, 1): part of the records, chosen by a hash of each, that goes to the split "eval" instead.
    validation_fraction: float = 0.0

    @property
    def names(self) -> tuple[str, ...]:
        """The splits that its records end in."""
        return (self.name, VALIDATION) if self.validation_fraction else (self.name,)


class BadRecord(NamedTuple):
    """A record that cannot be used: it is left out and counted; one line says which and why."""

    reason: str
    # What is wrong in the words of all such records, to be counted by; "" for what is not.
    kind: str = ""


class Note(NamedTuple):
    """Something that was mended or left out of a record, which is used all the same: it is counted."""

    kind: str
    # Where, and what: "expected …, got …".
    example: str


class Found(NamedTuple):
    """What a raw file turned out to hold."""

    # Good records, by the value of the source's `counted_by`; by b"" where it counts by nothing.
    good: Counter[bytes]
    num_bad: int = 0
    first_bad: str = ""
    # Bad records and notes, by their kinds; never changed.
    kinds: Counter[str] = Counter()  # noqa: RUF012
    first_note: str = ""


class Part(Protocol):
    """Some of the raw records of a file, in a fixed order; Beam pickles it."""

    @property
    def file(self) -> str:
        """The name of the file, relative to the data directory."""

    def records(self) -> Iterator[Record | BadRecord | Note]:
        """Yields the records, and notes on them; raises FormatError where the file itself is broken."""


@runtime_checkable
class Source(Protocol):
    """Where raw records come from; a Config, which travels by its class's name and its settings."""

    @property
    def features(self) -> Mapping[str, Feature]:
        """The raw features of each example; the schema is made from them. A label is not `served`."""

    @property
    def input_splits(self) -> tuple[Split, ...]:
        """The splits as the files give them."""

    @property
    def evaluation_split(self) -> str:
        """The split that blesses a model."""

    @property
    def group_key(self) -> str | None:
        """The raw feature whose equal values keep records on one side of a split, such as a patient."""

    @property
    def counted_by(self) -> str | None:
        """The raw feature, of bytes, by whose values `check_found` wants to know how many there are."""

    def check(self, directory: Path) -> None:
        """Raises FormatError unless headers and first records in `directory` are readable."""

    def parts(self, directory: Path, split: Split) -> Sequence[Part]:
        """Returns a split's records in parts, each of which one worker reads."""

    def check_found(self, file: str, found: Found) -> None:
        """Raises FormatError if what a file turned out to hold is not enough, or too much of it is bad."""

    def sample(self, count: int, seed: int) -> list[Record]:
        """Returns made records that look like real ones, without what is not served: warm-up requests."""

    def model_dump(self, *, mode: str) -> dict[str, Any]:
        """Returns the settings as JSON values; Config has it."""


@runtime_checkable
class FindsFiles(Protocol):
    """What a source has in addition whose files may have several names, or lie below the data directory."""

    def raw_files(self, directory: str, split: Split) -> Sequence[str]:
        """Returns the locations of the files that a split is read from; of a path or a URI.

        Raises FormatError where one is missing, or it is not clear which is meant.
        """


@runtime_checkable
class ChecksAllFound(Protocol):
    """What a source has in addition whose files count together, such as one of each case."""

    def check_all_found(self, found: Mapping[str, Found]) -> None:
        """Raises FormatError if what all files, by name, turned out to hold is not enough."""


class Surveyed(NamedTuple):
    """What a look at one of the raw records shows, before a model learns from it."""

    name: str
    # JSON values by key, the same keys for each; null where it cannot be read.
    values: Mapping[str, Any]
    # Cells of a table as those of a `Reply`; none where it cannot be read.
    cells: Mapping[str, str]
    # What looks wrong: "expected …, got …".
    doubts: tuple[str, ...] = ()
    # Draws it as a PNG.
    picture: Callable[[], bytes] | None = None


@runtime_checkable
class Surveys(Protocol):
    """What a source has in addition whose records are few and large enough to be looked at one by one."""

    def surveys(self, directory: Path) -> Sequence[Callable[[], Surveyed]]:
        """Returns what reads one record each; raises FormatError where there is none."""

    def compared(self, records: Sequence[Surveyed]) -> Sequence[Surveyed]:
        """Returns all records, with doubts about those that differ from the others, too."""


class Grid(NamedTuple):
    """The voxels of a case: how many, and millimetres between them, along depth, height and width."""

    name: str
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]


@runtime_checkable
class HasGrids(Protocol):
    """What a source has in addition whose records are volumes."""

    def grids(self, directory: Path) -> Sequence[Grid]:
        """Returns the grid of each case, of which headers alone are read; raises FormatError."""


@runtime_checkable
class EvaluatesFile(Protocol):
    """What a Source has in addition where one file is enough to evaluate a model."""

    def with_evaluation_file(self, name: str) -> Source:
        """Returns itself with a file of the data directory, of any name, as the evaluation split."""


class Request(NamedTuple):
    """One kind of serving request: what a client sends, and how it becomes raw features and back.

    `to_raw` runs in the served graph; `from_raw`, its inverse, makes warm-up requests of raw examples.
    """

    inputs: Mapping[str, tf.TensorSpec]
    to_raw: Callable[[Tensors], Tensors]
    from_raw: Callable[[Tensors], Tensors]
    # True: both functions have model features, dense and padded, in place of raw ones.
    of_features: bool = False
    # What such a request is answered, made of its inputs and of the answers for all kinds of requests; None:
    # these.
    answers: Callable[[Tensors, Tensors], Tensors] | None = None

    def answered(self, inputs: Tensors, answers: Tensors) -> dict[str, Any]:
        """Returns what a request with these inputs is answered."""
        return dict(self.answers(inputs, answers) if self.answers else answers)


@runtime_checkable
class Preprocessing(Protocol):
    """Raw features to features, the same for training and serving."""

    @property
    def materialized(self) -> bool:
        """Whether the features of the training data are written to disk: not where they are as large."""

    def preprocessing_fn(self, inputs: Tensors) -> dict[str, Any]:
        """Returns the features of a batch of raw features; for tf.Transform."""

    def requests(self) -> Mapping[str, Request]:
        """Returns the serving signatures beside `serving_default`, by name."""

    def fitted_to(self, model: Model) -> Preprocessing:
        """Returns itself with what it takes from the model, such as the vocabulary of its checkpoint."""


@runtime_checkable
class Windowing(Protocol):
    """One example to many inputs of the model, and their outputs to one answer: a fold.

    A fold, since neither the windows of a large example nor their outputs fit into memory at once. All but
    the properties runs in a graph, on a batch of features as `padded` returns them (`components/windows`).
    A place is int64[1 + k]: the example's row in the batch, then where in it.
    """

    def fitted_to(self, preprocessing: Preprocessing) -> Windowing:
        """Returns itself with what it takes from the preprocessing, such as the ids of special tokens."""

    @property
    def per_call(self) -> int:
        """The windows that the model sees at once when it serves."""

    @property
    def examples_per_call(self) -> int:
        """The whole examples that fit into memory at once when they are evaluated."""

    @property
    def drawn_per_example(self) -> int | None:
        """How many places `drawn` returns of every example; None where they have to be counted."""

    def places(self, features: Tensors) -> Any:
        """Returns all windows of a batch: int64[windows, 1 + k]; an example may have none."""

    def drawn(self, features: Tensors, seed: Any) -> Any:
        """Returns the places that one epoch trains on: all, or random ones.

        `seed` is int64[2], for TensorFlow's stateless operations, and differs by epoch and example. How many
        there are of an example does not depend on it. The last batch of an evaluation has these, too.
        """

    def take(self, features: Tensors, places: Any) -> dict[str, Any]:
        """Returns the model's inputs at these places, [windows, …] each, and targets where there are any.

        The shapes without the first axis are the same for every place.
        """

    def served(self, taken: Tensors) -> dict[str, Any]:
        """Returns the inputs that `take` returned without what the network need not see, such as filling.

        All windows of one call stay equally large, but need not be as large as in another call.
        """

    def start(self, features: Tensors) -> dict[str, Any]:
        """Returns the state of a fold over no windows, by name."""

    def add(self, state: Tensors, places: Any, outputs: Any) -> dict[str, Any]:
        """Returns the state with these windows' outputs of the network on what is `served`.

        The shapes of the state stay as they are.
        """

    def answers(self, state: Tensors, features: Tensors) -> dict[str, Any]:
        """Returns what a served model answers, by name; one row an example."""


@runtime_checkable
class Prepared(Protocol):
    """What a Windowing has in addition for which features are to be decoded once, not window by window."""

    def prepared(self, features: Tensors) -> dict[str, Any]:
        """Returns the features of a batch as its other functions take them."""


@runtime_checkable
class Varied(Protocol):
    """What a Windowing has in addition whose windows are varied while a model trains, as by turning them."""

    def varied(self, taken: Tensors, seeds: Any) -> dict[str, Any]:
        """Returns windows that `take` returned; each differs by its seed alone, int64[windows, 2]."""


@runtime_checkable
class Calibrated(Protocol):
    """What a Windowing has in addition for whose answers examples choose a value, such as a threshold."""

    @property
    def chosen_by(self) -> str | None:
        """The evaluation's result that is the best value; None: a value is set."""

    def with_chosen(self, value: float) -> Windowing:
        """Returns itself with the value; NaN: there is none, as where every question has an answer."""


@runtime_checkable
class ReadsAssets(Protocol):
    """What a Windowing has in addition that needs a file which Transform wrote, such as a vocabulary."""

    def with_assets(self, folder: str) -> Windowing:
        """Returns itself with the files of a transform graph, in a folder at a path or URI."""


class StreamingMetric(NamedTuple):
    """A metric that adds up over batches and replicas.

    `update(features, outputs)` returns sums float32[k] over one batch in which each example counts
    by `features[EXAMPLE_WEIGHT]`; `result(sums)` turns their total into the metric.
    """

    update: Callable[[Tensors, Any], Any]
    result: Callable[[Any], float]


@runtime_checkable
class Model(Protocol):
    """What is trained."""

    def build(self) -> keras.Model:
        """Returns a Keras model from a dict of features to logits (or a dict of them)."""

    @property
    def pretrained(self) -> bool:
        """Whether it starts from weights that were trained before."""

    def check_features(self, features: Mapping[str, Feature]) -> None:
        """Raises ValueError unless it can learn from these raw features; a line that names the setting."""

    def initialize(self, keras_model: keras.Model) -> None:
        """Sets the initial weights that are not random, such as those of a checkpoint."""

    def save_weights(self, keras_model: keras.Model, export_dir: str) -> None:
        """Adds the trained weights in other tools' formats to a SavedModel's `assets.extra`, if asked to."""

    def learning_rate_multipliers(self, keras_model: keras.Model) -> Mapping[str, float]:
        """Returns factors of the learning rate by the path of a variable; 1 for what is not named."""

    @property
    def loss_terms(self) -> tuple[str, ...]:
        """The terms of the training loss: weighted means over the global batch, which are added up."""

    def loss_weights(self, features: Tensors) -> Mapping[str, Any]:
        """Returns float32 weights by term; an example counts by `features[EXAMPLE_WEIGHT]`."""

    def losses(self, features: Tensors, outputs: Any) -> Mapping[str, Any]:
        """Returns float32 losses by term, of the shapes of `loss_weights`."""

    def metrics(self) -> Mapping[str, StreamingMetric]:
        """Returns what is measured on the eval split while training."""

    def answers(self, outputs: Any, features: Mapping[str, Feature]) -> dict[str, Any]:
        """Returns what a served model answers, by name; the batch is the first axis of each.

        `features` are the raw ones as they are declared, such as with names of classes. Where there is a
        Windowing, that answers.
        """


# One example as an evaluation sees it: one value as it is, several, or any number of them, as a list.
Raw = Mapping[str, Any]


class Section(NamedTuple):
    """A part of a report: HTML under a title."""

    title: str
    html: str


@runtime_checkable
class Evaluation(Protocol):
    """How good answers are. NumPy alone; a Config, which travels by its class's name and its settings.

    An answer is one row of what a served model answers, as arrays by name; TFMA gives scalars as shape [1].
    """

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of all `results`, in the order of reports."""

    @property
    def numbers(self) -> tuple[str, ...]:
        """Those of them that may bless a model: numbers, of which a higher one is better."""

    def fitted_to(self, features: Mapping[str, Feature], model: Model) -> Evaluation:
        """Returns itself with what it takes from the raw features and the model, such as names of classes."""

    def sums(self, raw: Raw, answer: Arrays) -> NDArray[Any]:
        """Returns float64[k] of one example; everything adds up over examples, also histograms."""

    def results(self, sums: NDArray[Any]) -> Mapping[str, float | list[float]]:
        """Returns the metrics by name; NaN is what does not exist here, and is never the worst."""

    def details(self, sums: NDArray[Any]) -> Mapping[str, Any]:
        """Returns what else `metrics.json` is to hold, as JSON values by key."""

    def badness(self, raw: Raw, answer: Arrays) -> float:
        """Returns how bad an answer is, 0 for a right one; reports show the worst."""

    def show(self, raw: Raw, answer: Arrays) -> str:
        """Returns one example and its answer as a small, self-contained piece of HTML."""

    def sections(self, sums: NDArray[Any]) -> Iterable[Section]:
        """Returns the sections of a report, such as a confusion matrix."""


@runtime_checkable
class Compares(Protocol):
    """What an Evaluation has in addition whose sections can also tell how two models differ."""

    def compared_sections(self, sums: NDArray[Any], baseline: NDArray[Any]) -> Iterable[Section]:
        """Returns the sections of a report on a model, with the sums of the one that it is compared with."""


@runtime_checkable
class Pictures(Protocol):
    """What an Evaluation has in addition that shows an example alone, such as the digit that an image is."""

    def picture(self, raw: Raw) -> str:
        """Returns a raw example as HTML, as a piece of a page; "" for nothing to be seen."""


# What goes with all inputs, by name, and what its option on the command line takes: a "file" whose text
# counts, `--context FILE`, or a short "value", `--spacing_mm 5,0.7,0.7`.
Fields = Mapping[str, Literal["file", "value"]]


class Given(NamedTuple):
    """What a person gave on the command line, or on a page, to ask a model about."""

    # Paths or texts, as the task takes them.
    inputs: Sequence[str] = ()
    # A file whose rows are asked about, one by one.
    rows: Path | None = None
    # What goes with all inputs, by name, such as the context of a question.
    fields: Mapping[str, str] = MappingProxyType({})
    # Inputs that are texts, whatever files there are.
    texts: Sequence[str] = ()


class Question(NamedTuple):
    """One call of a model, and what a reader calls each of its rows."""

    signature: str
    # The batch is the first axis of each.
    inputs: Arrays
    names: Sequence[str]
    # What the file that asks knows its rows by; empty where nobody does.
    ids: Sequence[str] = ()

    def rows(self, start: int, stop: int) -> Question:
        """Returns the question about some of the rows."""
        part = slice(start, stop)
        inputs = {key: value[part] for key, value in self.inputs.items()}
        return Question(self.signature, inputs, self.names[part], self.ids[part])


class Reply(NamedTuple):
    """What a person is told about one thing asked."""

    name: str
    # JSON values by key.
    values: Mapping[str, Any]
    # One sentence with the same.
    sentence: str
    # Cells of a table by column, whose name ends in ">" where numbers are aligned.
    cells: Mapping[str, str]
    # What is too large for JSON, by name, such as a mask: for files and pictures alone.
    arrays: Arrays = MappingProxyType({})


@runtime_checkable
class Asking(Protocol):
    """What a person gives to a task's model, and what comes back."""

    @property
    def takes(self) -> str:
        """What is given, in words: "a .png, .jpg or .npy file"."""

    @property
    def fields(self) -> Fields:
        """What goes with all inputs, such as the context of a question."""

    @property
    def sample(self) -> Given:
        """Something to ask a first time; no inputs where that takes a file."""

    def fitted_to(self, source: Source, preprocessing: Preprocessing) -> Asking:
        """Returns itself with what it takes from the task's other parts, such as the shape of images."""

    def questions(self, given: Given) -> Iterator[Question]:
        """Yields what to ask a model; raises UserError for what cannot be asked."""

    def replies(self, question: Question, outputs: Arrays) -> Iterator[Reply]:
        """Yields what to tell about each row of an answer; raises UserError for outputs of another task."""


class Entry(NamedTuple):
    """How a page asks for one input."""

    # Of several texts one input is made, such as of a pair.
    kind: Literal["text", "texts", "drawing", "file"]
    # What each text is called; of a drawing or a file, how its name may end.
    names: tuple[str, ...] = ()


@runtime_checkable
class AskedOnPages(Protocol):
    """What an Asking has in addition for which a page has a form."""

    @property
    def entry(self) -> Entry:
        """How one input is asked for; beside it, the page asks for the `fields`."""


class Occlusion(NamedTuple):
    """An input as it was asked about, in the first row, and without a part of it in each of the others."""

    question: Question
    # How much less of the answer there is without each part, of the replies to all rows: in [-1, 1] if it
    # `is_share`, and else in units of the answer.
    drops: Callable[[Sequence[Reply]], Sequence[float]]
    # A sentence that says what was done to the parts, and what it is that there is less of: "probability".
    how: str
    measure: str = "probability"
    # The texts of the parts by what they are parts of; of a picture none, whose squares come row by row.
    parts: Mapping[str, Sequence[str]] = MappingProxyType({})
    # A PNG of what the squares are parts of.
    picture: bytes = b""
    is_share: bool = True


@runtime_checkable
class Occludes(Protocol):
    """What an Asking has in addition whose inputs are still inputs without a part of them."""

    def occluded(self, question: Question, reply: Reply) -> Occlusion | None:
        """Returns the first row of a question, which got this reply, with and without its parts.

        To see what the answer hangs on; None where it hangs on nothing, such as a mask without a voxel.
        """


@runtime_checkable
class TakesFiles(Protocol):
    """What an Asking has in addition that is given files, which the raw data are not."""

    def written(self, record: Record, stem: Path) -> Given:
        """Returns what to give to ask about a raw example: a file, written as `stem` with a suffix."""


@runtime_checkable
class WritesFiles(Protocol):
    """What an Asking has in addition whose answers other tools read."""

    def is_file(self, out: Path) -> bool:
        """Whether a path that is to be written is one file, and no folder."""

    def writing(self, out: Path, names: Sequence[str]) -> AbstractContextManager[Callable[[Reply], None]]:
        """Enters with what adds a reply to the file, or to files in the folder, that appear whole.

        `names` are those of all replies to come. Raises UserError where their files would be others, too.
        """


@runtime_checkable
class Draws(Protocol):
    """What an Asking has in addition whose answers are seen best in a picture."""

    def drawing(self, path: Path) -> AbstractContextManager[Callable[[Reply], None]]:
        """Enters with what adds a reply to one picture, a .png that appears once all are added."""


@runtime_checkable
class DrawsSlices(Protocol):
    """What an Asking has in addition whose answers fill a space, of which one looks at slices."""

    def slices(self, reply: Reply, most: int) -> Sequence[bytes]:
        """Returns slices of the input with the answer drawn over it, in their order, PNG each."""
