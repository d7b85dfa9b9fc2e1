"""Scans and their labels: voxels as they are, and what intensities the foreground has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import pydantic
from pydantic import Field
from typing_extensions import Self

from components.config import Config
from components.features import (
    FOREGROUND,
    FOREGROUND_COUNTS,
    IMAGE,
    LABEL,
    NORMALIZATION,
    SHAPE,
    SPACING_MM,
)
from components.protocols import Model, Request

Percentile = Annotated[float, Field(ge=0, le=100)]


class Volumes(Config):
    """Leaves volumes the bytes they are, and adds how to normalize them; `components/windows` takes patches.

    Intensities are clipped to `percentiles` of the train split's foreground and scaled by its mean and
    deviation, or, where there is a `window_hu`, clipped to that and scaled to [-1, 1].
    """

    percentiles: tuple[Percentile, Percentile] = Field(
        (0.5, 99.5), description="Of the train split's foreground, to which intensities are clipped."
    )
    window_hu: tuple[float, float] | None = Field(
        None,
        description="Such as [-200, 300] for soft tissue. Default: the intensities of the train split count.",
    )

    @pydantic.model_validator(mode="after")
    def _ascends(self) -> Self:
        for name, value in (("percentiles", self.percentiles), ("window_hu", self.window_hu)):
            if value is not None and value[0] >= value[1]:
                raise ValueError(f"{name}: expected the lower one first, got {list(value)}")
        return self

    @property
    def materialized(self) -> bool:
        return False

    def preprocessing_fn(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Returns image string[batch], shape int64[batch, 3], spacing_mm and normalization float32[batch, …].

        A normalization is mean, deviation, and the bounds to clip to before. Where they are given: label
        string[batch], foreground as it is, and how many there are of it, int64[batch].
        """
        import tensorflow as tf

        features = {
            key: inputs[key] for key in (IMAGE, SHAPE, SPACING_MM, LABEL, FOREGROUND) if key in inputs
        }
        if FOREGROUND in inputs:
            rows = inputs[FOREGROUND].indices[:, 0]
            features[FOREGROUND_COUNTS] = tf.math.bincount(
                tf.cast(rows, tf.int32), minlength=tf.size(inputs[IMAGE]), dtype=tf.int64
            )
        features[NORMALIZATION] = tf.tile(
            self._normalization(inputs)[tf.newaxis], (tf.size(inputs[IMAGE]), 1)
        )
        return features

    def requests(self) -> dict[str, Request]:
        """Returns `segment` (Hounsfield units), `segment_float` (as floats) and `nifti` (whole files)."""
        from components.transform.scan_requests import requests

        return requests()

    def fitted_to(self, model: Model) -> Volumes:
        return self

    def _normalization(self, inputs: Mapping[str, Any]) -> Any:
        """Returns mean, deviation, lower and upper bound, float32[4]."""
        import tensorflow as tf

        if self.window_hu is not None:
            low, high = self.window_hu
            return tf.constant([(low + high) / 2, (high - low) / 2, low, high], tf.float32)
        from components.transform.intensities import learn_normalization

        return learn_normalization(inputs[IMAGE], inputs.get(LABEL), self.percentiles)
