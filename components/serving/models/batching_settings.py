"""How requests are batched: the message BatchingParameters as a checked settings object."""

from __future__ import annotations

import logging
import os
from itertools import pairwise
from typing import Any, Final

from pydantic import Field

from components.config import Config
from components.serving.errors import invalid_argument

_LOG: Final = logging.getLogger(__name__)

# Of BatchingParameters -> of BatchingSettings
_FIELDS: Final = {
    "max_batch_size": "max_batch_size",
    "batch_timeout_micros": "batch_timeout_us",
    "max_enqueued_batches": "max_enqueued_batches",
    "num_batch_threads": "num_batch_threads",
}


class BatchingSettings(Config):
    """How requests are batched; the defaults are TensorFlow Serving's."""

    max_batch_size: int = Field(1000, gt=0)
    batch_timeout_us: int = Field(0, ge=0)
    # Batches of a version's signature that wait for a thread.
    max_enqueued_batches: int = Field(10, gt=0)
    num_batch_threads: int = Field(os.cpu_count() or 1, gt=0)
    # Batches are filled up to the next of these; the last is max_batch_size. Empty: not at all.
    allowed_batch_sizes: tuple[int, ...] = ()
    # Inputs of different lengths share a batch, filled up with zeros or empty strings.
    pad_variable_length_inputs: bool = False


def read_batching_settings(parameters: Any) -> BatchingSettings:
    """Returns the settings in a BatchingParameters message; raises ServingError if they do not hold."""
    given: dict[str, Any] = {
        field: getattr(parameters, name).value for name, field in _FIELDS.items() if parameters.HasField(name)
    }
    given["allowed_batch_sizes"] = tuple(parameters.allowed_batch_sizes)
    given["pad_variable_length_inputs"] = parameters.pad_variable_length_inputs
    if parameters.enable_large_batch_splitting.value:
        _LOG.warning("enable_large_batch_splitting has no effect: batches run whole")
    try:
        settings = BatchingSettings(**given)
    except ValueError as error:
        raise invalid_argument(f"batching parameters: {error}") from error
    _check_sizes(settings)
    return settings


def _check_sizes(settings: BatchingSettings) -> None:
    sizes = settings.allowed_batch_sizes
    if sizes and sizes[-1] != settings.max_batch_size:
        raise invalid_argument(
            "Last entry in allowed_batch_sizes must match max_batch_size; last entry was "
            f"{sizes[-1]}; expected {settings.max_batch_size}"
        )
    if any(size >= following for size, following in pairwise(sizes)) or (sizes and sizes[0] < 1):
        raise invalid_argument(f"allowed_batch_sizes must be positive and increase, got {list(sizes)}")
