"""What a model was made of: kept in its SavedModel, so that a later run can tell what has changed since."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection
from typing import Any, Final

from components import files
from components.config import Config
from components.registry import storage

ORIGIN_FILE: Final = storage.ORIGIN_FILE
# A DatasetFeatureStatisticsList (TensorFlow Metadata) of the split "train".
STATISTICS_FILE: Final = "assets.extra/training_statistics.pb"


class Origin(Config):
    """Everything that decides what is trained; no times and no paths, so that equals give equal files."""

    # SHA-256 in hexadecimal of the raw files by name, relative to the data directory.
    data: dict[str, str]
    # Settings by section and key.
    settings: dict[str, dict[str, Any]]
    # SHA-256 of the files that settings name, by "section/file name".
    files: dict[str, str]
    # Digests of source files by path, and versions of packages by name.
    code: dict[str, str]

    def to_bytes(self) -> bytes:
        """Returns the file's content: the same bytes for equal origins."""
        return json.dumps(self.model_dump(mode="json"), indent=2, sort_keys=True).encode()

    @property
    def digest(self) -> str:
        """The SHA-256 sum of the file, by which the registry knows what a version was made of."""
        return hashlib.sha256(self.to_bytes()).hexdigest()


def write_origin(origin: Origin, statistics: bytes, features: Collection[str], export_dir: str) -> None:
    """Adds an origin and the training statistics of `features` to a SavedModel.

    Of other features nothing is kept: the most frequent values of a text or an image are training data,
    which is not to be published with the model.
    """
    files.write_bytes(os.path.join(export_dir, ORIGIN_FILE), origin.to_bytes())
    files.write_bytes(os.path.join(export_dir, STATISTICS_FILE), _only(features, statistics))


def _only(features: Collection[str], statistics: bytes) -> bytes:
    from tensorflow_metadata.proto.v0 import statistics_pb2

    parsed = statistics_pb2.DatasetFeatureStatisticsList.FromString(statistics)
    for dataset in parsed.datasets:
        kept = sorted(
            (feature for feature in dataset.features if feature.path.step[0] in features),
            key=lambda feature: feature.path.step[0],
        )
        del dataset.features[:]
        dataset.features.extend(kept)
    return bytes(parsed.SerializeToString(deterministic=True))
