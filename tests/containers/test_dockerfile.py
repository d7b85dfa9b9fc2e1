import re
from pathlib import Path

_ROOT = Path(__file__).parents[2]


def test_the_image_is_installed_by_the_makefiles_uv():
    (makefile,) = re.findall(r"^UV_VERSION := (\S+)$", (_ROOT / "Makefile").read_text(), re.MULTILINE)
    (dockerfile,) = re.findall(
        r"^ARG UV_VERSION=(\S+)$", (_ROOT / "docker/Dockerfile").read_text(), re.MULTILINE
    )
    assert dockerfile == makefile
