"""TensorFlow and TFX are imported once a process, with two logical CPUs."""

import os

# Before TensorFlow is imported anywhere: quiet, CPU only, and as fast as under `millrace`.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

from pathlib import Path
from typing import Final

import hypothesis
import pytest

# How long an example takes says nothing where other work keeps the cores busy.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")

# Files that take a minute or more, the longest first; they begin before all others.
_LONGEST: Final = (
    "test_readme.py",
    "test_pipeline.py",
    "test_real_cola.py",
    "test_train_processes.py",
    "test_entrypoint.py",
    "test_text_pipeline.py",
    "test_real_mnist.py",
    "test_wordpiece.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ranks = {name: rank for rank, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path.name, len(_LONGEST)))


@pytest.fixture(scope="session", autouse=True)
def two_logical_cpus() -> None:
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with small real data sets; tests that need it are skipped where it is absent."""
    root = Path(__file__).parents[1]
    folder = Path(os.environ.get("MILLRACE_TEST_DATA", root / "../shared/data")).resolve()
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set MILLRACE_TEST_DATA")
    return folder
