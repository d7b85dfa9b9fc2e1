"""Container images without a registry: an archive, as `docker save` writes it, of a few files."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

TAG: Final = "1"
USER_ID: Final = 65532

_PASSWD: Final = f"root:x:0:0::/:/bin/sh\nnonroot:x:{USER_ID}:{USER_ID}::/tmp:/bin/sh\n"


class Image(NamedTuple):
    """An image `localhost/NAME:1` of some files, by their paths in it, and what it runs."""

    name: str
    files: Mapping[str, Path]
    entrypoint: Sequence[str]

    @property
    def reference(self) -> str:
        return f"localhost/{self.name}:{TAG}"


def write_archive(image: Image, target: Path) -> None:
    """Writes an image's archive, whole or not at all."""
    layer = _layer(image.files)
    digest = hashlib.sha256(layer).hexdigest()
    config = json.dumps(_config(image, digest)).encode()
    name = hashlib.sha256(config).hexdigest()
    manifest = [{"Config": f"{name}.json", "RepoTags": [image.reference], "Layers": [f"{digest}/layer.tar"]}]
    part = target.with_suffix(".part")
    with tarfile.open(part, "w") as archive:
        _add(archive, f"{name}.json", config)
        _add(archive, f"{digest}/layer.tar", layer)
        _add(archive, "manifest.json", json.dumps(manifest).encode())
    part.rename(target)


def _config(image: Image, layer: str) -> dict[str, object]:
    container = {"User": str(USER_ID), "Env": ["PATH=/bin"], "Entrypoint": list(image.entrypoint)}
    return {
        "architecture": "amd64",
        "os": "linux",
        "config": container,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer}"]},
    }


def _layer(files: Mapping[str, Path]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as layer:
        for folder, mode in (("bin", 0o755), ("etc", 0o755), ("tmp", 0o1777)):
            info = tarfile.TarInfo(folder)
            info.type, info.mode = tarfile.DIRTYPE, mode
            layer.addfile(info)
        _add(layer, "etc/passwd", _PASSWD.encode())
        for path, file in files.items():
            _add(layer, path, file.read_bytes(), 0o755)
            if os.path.basename(path) == "busybox":
                _add_applets(layer, file)
    return content.getvalue()


def _add(archive: tarfile.TarFile, path: str, content: bytes, mode: int = 0o644) -> None:
    info = tarfile.TarInfo(path)
    info.size, info.mode = len(content), mode
    archive.addfile(info, io.BytesIO(content))


def _add_applets(layer: tarfile.TarFile, busybox: Path) -> None:
    for name in subprocess.check_output([busybox, "--list"], text=True, timeout=60).split():
        if name != "busybox":
            info = tarfile.TarInfo(f"bin/{name}")
            info.type, info.linkname = tarfile.SYMTYPE, "busybox"
            layer.addfile(info)
