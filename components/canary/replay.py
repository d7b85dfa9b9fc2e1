"""Recorded requests, asked again: does a served model still answer as the trainer's model did?

The records are TensorFlow Serving's warm-up requests, with the trainer's own answers beside them
(tensorflow.org/tfx/serving/saved_model_warmup). Who answers is a function:
nothing here knows of servers.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from components import files
from components.config import Config, unknown_name

WARMUP_REQUESTS: Final = "assets.extra/tf_serving_warmup_requests"

Tensors = Mapping[str, NDArray[Any]]
# (signature name, inputs) -> outputs
Answer = Callable[[str, Tensors], Tensors]


class NotRepeated(Exception):
    """The model does not answer, or not as recorded; one line says where and how."""


class Tolerance(NamedTuple):
    """How far a served model's answer may be from the recorded one."""

    # Of floating-point values.
    absolute: float
    # Of the integers of a dense answer, the share in [0, 1] that may be others.
    differing_share: float = 0.0


class SignatureReport(Config):
    """How one signature answered."""

    requests: int
    # Over all floating-point outputs; 0 where there are none.
    max_abs_difference: float
    # Of one request over gRPC, the first included, which may compile.
    median_ms: float


class Report(Config):
    """The verdict on a model; `reason` is one line where it is not `ok`."""

    ok: bool
    reason: str = ""
    signatures: dict[str, SignatureReport]


class Record(NamedTuple):
    """A request and the answer that is expected."""

    signature: str
    inputs: Tensors
    outputs: Tensors


class _Replayed(NamedTuple):
    max_abs_difference: float
    ms: float


def read_records(model_dir: str) -> Iterator[Record]:
    """Yields the recorded requests of a SavedModel; raises NotRepeated where they cannot be read."""
    import tensorflow as tf
    from google.protobuf.message import DecodeError
    from tensorflow_serving.apis import prediction_log_pb2

    path = f"{model_dir}/{WARMUP_REQUESTS}"
    if not files.exists(path):
        raise NotRepeated(f"no recorded requests: {WARMUP_REQUESTS} is missing")
    try:
        for serialized in tf.data.TFRecordDataset(path).as_numpy_iterator():
            yield _record(prediction_log_pb2.PredictionLog.FromString(serialized))
    except tf.errors.ResourceExhaustedError:
        raise
    except (tf.errors.OpError, DecodeError) as error:
        raise NotRepeated(f"{WARMUP_REQUESTS} cannot be read: {one_line(error)}") from error


def replay(
    signatures: Iterable[str], records: Iterable[Record], answer: Answer, tolerance: Tolerance
) -> Report:
    """Asks every recorded request again and returns the verdict; each signature needs one at least."""
    replayed: dict[str, list[_Replayed]] = {name: [] for name in signatures}
    reason = ""
    try:
        for record in records:
            if record.signature not in replayed:
                raise NotRepeated(
                    f"a recorded request asks for an {unknown_name('signature', record.signature, replayed)}"
                )
            replayed[record.signature].append(_replay(record, answer, tolerance))
        unasked = sorted(name for name, done in replayed.items() if not done)
        if unasked or not replayed:
            raise NotRepeated(f"no recorded request for {', '.join(unasked) or 'any signature'}")
    except NotRepeated as error:
        reason = str(error)
    except (TypeError, ValueError) as error:  # tensors that TensorFlow or NumPy cannot convert or compare
        reason = one_line(error)
    return Report(
        ok=not reason, reason=reason, signatures={n: _summary(done) for n, done in replayed.items() if done}
    )


def compare(expected: NDArray[Any], got: NDArray[Any], tolerance: Tolerance) -> float:
    """Returns the largest absolute difference of two arrays; raises NotRepeated if they do not agree.

    Floating-point values agree within the tolerance and are never NaN or infinite. Of integers with more
    axes than the batch, such as masks, a share may differ, where two classes are as probable; all others
    agree exactly.
    """
    for what, wanted, found in (
        ("dtype", expected.dtype, got.dtype),
        ("shape", expected.shape, got.shape),
    ):
        if wanted != found:
            raise NotRepeated(f"expected {what} {wanted}, got {found}")
    if expected.dtype.kind in "biuSUO":
        num_different = np.count_nonzero(expected != got)
        is_dense = expected.dtype.kind in "iu" and expected.ndim > 1
        if num_different > (tolerance.differing_share * got.size if is_dense else 0):
            raise NotRepeated(f"{num_different} of {got.size} values differ from the recorded answer")
        return 0.0
    widest = np.complex128 if expected.dtype.kind == "c" else np.float64
    values = got.astype(widest)
    num_bad = np.count_nonzero(~np.isfinite(values))
    if num_bad:
        raise NotRepeated(f"{num_bad} of {got.size} values are NaN or infinite")
    difference = float(np.max(np.abs(values - expected.astype(widest)), initial=0.0))
    if not difference <= tolerance.absolute:  # also where the record holds NaN
        raise NotRepeated(
            f"differs from the recorded answer by {difference:.3g}, tolerance {tolerance.absolute:.3g}"
        )
    return difference


def one_line(error: BaseException) -> str:
    """Returns an error as one line of bounded length: ValueError("a\\n b") -> "ValueError: a b"."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:400]


def _record(log: Any) -> Record:
    import tensorflow as tf

    if log.WhichOneof("log_type") != "predict_log":
        raise NotRepeated(f"expected recorded requests of Predict alone, got {log.WhichOneof('log_type')}")
    request, response = log.predict_log.request, log.predict_log.response
    signature = request.model_spec.signature_name or "serving_default"
    inputs, outputs = (
        {name: tf.make_ndarray(tensor) for name, tensor in tensors.items()}
        for tensors in (request.inputs, response.outputs)
    )
    return Record(signature, inputs, outputs)


def _replay(record: Record, answer: Answer, tolerance: Tolerance) -> _Replayed:
    start = time.perf_counter()
    outputs = answer(record.signature, record.inputs)
    ms = (time.perf_counter() - start) * 1e3
    where = f"signature {record.signature!r}"
    if set(outputs) != set(record.outputs):
        recorded, found = (", ".join(sorted(names)) or "none" for names in (record.outputs, outputs))
        raise NotRepeated(f"{where}: expected the outputs {recorded}, got {found}")
    differences = [0.0]
    for name, expected in record.outputs.items():
        try:
            differences.append(compare(expected, outputs[name], tolerance))
        except NotRepeated as error:
            raise NotRepeated(f"{where}, output {name!r}: {error}") from error
    return _Replayed(max(differences), ms)


def _summary(replayed: list[_Replayed]) -> SignatureReport:
    return SignatureReport(
        requests=len(replayed),
        max_abs_difference=max(done.max_abs_difference for done in replayed),
        median_ms=round(statistics.median(done.ms for done in replayed), 3),
    )
