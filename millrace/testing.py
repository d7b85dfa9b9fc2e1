"""The harness that tests of tasks share, also of tasks in packages of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import millrace

if TYPE_CHECKING:
    from components.protocols import Reply

# A model of any quality is published: whether the task works is asked here, not how good its model is.
_LOWEST: Final = -1e9
QUICK: Final[Mapping[str, Mapping[str, Any]]] = {
    "train": {"num_steps": 4, "steps_per_loop": 2, "global_batch_size": 4},
    "blessing": {"threshold": _LOWEST},
}
# Of a task of scans: the smallest grid, patches and network.
SMALL_VOLUMES: Final[Mapping[str, Mapping[str, Any]]] = {
    "source": {"spacing_mm": [8.0, 8.0, 8.0], "patch_size": [8, 16, 16]},
    "windowing": {"patches_per_example": 2},
    "model": {"filters": [4, 8], "normalization": "batch"},
}
_NUM_SCANS: Final = 5
_SIDE: Final = 32
_SCAN_SPACING_MM: Final = 8.0


def check_task(
    reference: str,
    data: str | Path,
    root: str | Path,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
) -> Reply:
    """Runs a task's whole DAG on a little data, for a few steps; returns what its model says of an example.

    `reference` is the task's name or "package.module:TASK", `root` an empty folder that may be written.
    Settings are those of `--set`, on top of QUICK. Raises AssertionError where no model was published, or it
    does not answer, and whatever the run raises.
    """
    from pipelines.prediction.example import first_question

    task, given_settings = millrace.load_task(reference), settings or {}
    sections = {*QUICK, *given_settings}
    chosen = {name: {**QUICK.get(name, {}), **given_settings.get(name, {})} for name in sections}
    outcome = millrace.run(task, data, settings=chosen, pipeline_root=root)
    if outcome.refused or outcome.version != 1:
        raise AssertionError(f"{reference}: expected version 1 to be published, got {outcome.refused}")
    given = first_question(task, Path(data), Path(root, "examples"))
    replies = millrace.predict(
        task, *given.inputs, texts=given.texts, rows=given.rows, fields=given.fields, pipeline_root=root
    )
    if len(replies) != 1:
        raise AssertionError(f"{reference}: expected one reply to one example, got {len(replies)}")
    return replies[0]


def write_scans(folder: Path, label_values: Sequence[int]) -> None:
    """Writes five volume-N.nii.gz and segmentation-N.nii.gz of 32³ voxels; each class but the first is a box.

    A class of the masks has one of the values, and is brighter than the one before it.
    """
    import nibabel as nib
    import numpy as np

    folder.mkdir(parents=True, exist_ok=True)
    affine = np.diag([_SCAN_SPACING_MM] * 3 + [1.0])
    for number in range(_NUM_SCANS):
        generator = np.random.default_rng(number)
        labels = np.full((_SIDE,) * 3, label_values[0], np.uint8)
        image = generator.normal(0, 10, labels.shape)
        edges = np.linspace(2, _SIDE - 2, len(label_values)).astype(int)
        for place, value in enumerate(label_values[1:]):
            box = (slice(8, 24), slice(8, 24), slice(edges[place], edges[place + 1]))
            labels[box] = value
            image[box] += 100 * (place + 1)
        for name, voxels in (("volume", image.astype(np.int16)), ("segmentation", labels)):
            nib.save(nib.Nifti1Image(voxels, affine), folder / f"{name}-{number}.nii.gz")
