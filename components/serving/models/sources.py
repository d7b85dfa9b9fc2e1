"""Versions of models in folders: `base_path/<integer>/saved_model.pb`, local or at a URI."""

from __future__ import annotations

import itertools
import os
import posixpath
import re
from collections.abc import Iterator
from typing import Final

import grpc
import tensorflow as tf
from tensorflow_serving.config.file_system_storage_path_source_pb2 import FileSystemStoragePathSourceConfig
from tensorflow_serving.config.model_server_config_pb2 import ModelConfig

from components.serving.errors import ServingError, not_found
from components.serving.models.servable import from_tensorflow

_VERSION: Final = re.compile(r"[0-9]+")
_LARGEST: Final = 2**63 - 1
# A folder without one of them is still being written, or no SavedModel.
_SAVED_MODELS: Final = ("saved_model.pb", "saved_model.pbtxt")


def aspired_versions(config: ModelConfig) -> dict[int, str]:
    """Returns the versions that a model's policy asks for and that are there: {2: "/models/m/2"}.

    Raises ServingError if the base path is not there or cannot be read.
    """
    folders = _version_folders(config.name, config.base_path)
    versions = _chosen(folders, config.model_version_policy)
    if folders and not versions:
        # The base path may have vanished after the first look, which must not unload what is served.
        _version_folders(config.name, config.base_path)
    return versions


def _chosen(
    folders: dict[int, str], policy: FileSystemStoragePathSourceConfig.ServableVersionPolicy
) -> dict[int, str]:
    choice = policy.WhichOneof("policy_choice")
    if choice == "specific":
        return dict(_complete(folders, sorted(set(policy.specific.versions) & set(folders))))
    complete = _complete(folders, sorted(folders, reverse=True))
    if choice == "all":
        return dict(complete)
    return dict(itertools.islice(complete, max(policy.latest.num_versions, 1)))


def _version_folders(name: str, base_path: str) -> dict[int, str]:
    try:
        children = tf.io.gfile.listdir(base_path) if "://" in base_path else os.listdir(base_path)
    except (tf.errors.NotFoundError, FileNotFoundError) as error:
        raise not_found(f"Could not find base path {base_path} for servable {name}") from error
    except tf.errors.OpError as error:
        raise from_tensorflow(error) from error
    except OSError as error:
        raise ServingError(grpc.StatusCode.UNKNOWN, f"{base_path}; {error.strerror}") from error
    # In reverse, so that of "1" and "001" the first in order is taken.
    names = sorted((child.rstrip("/") for child in children), reverse=True)
    found = {int(n): posixpath.join(base_path, n) for n in names if _VERSION.fullmatch(n)}
    return {version: path for version, path in found.items() if version <= _LARGEST}


def _complete(folders: dict[int, str], versions: list[int]) -> Iterator[tuple[int, str]]:
    for version in versions:
        path = folders[version]
        if any(tf.io.gfile.exists(posixpath.join(path, name)) for name in _SAVED_MODELS):
            yield version, path
