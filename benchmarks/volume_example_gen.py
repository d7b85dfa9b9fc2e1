"""Scans to boxes in TFRecords: seconds and bytes on disk, beside .npy files and float lists.

    python benchmarks/volume_example_gen.py [--cases 2] [--spacing-mm 1.5] [--box 128] [--gzipped]
        [--rounds 3] [--out volume_example_gen.json]

Made abdomens of 512×512×100 voxels, with noise of their own in every voxel, go to boxes of one spacing, each
side in a process of its own, in turns; imports and a small first case are left out. The project's side is its
source and its shards, without Beam, with all checks. The other side re-enacts how 3D U-Nets were often fed:
nibabel's get_fdata, a float32 .npy file of scan and of mask, scipy's zoom (linear and nearest, to the same
grid), and uncompressed tf.Examples with float lists of the image and of a one-hot label of three classes. It
looks at nothing and checks nothing. Both cut the same boxes, whose voxels are compared.
"""

import json
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import nibabel as nib
import numpy as np
import tensorflow as tf
import typer
from rich.console import Console
from rich.table import Table
from scipy import ndimage
from support.children import figures, measured

from components.example_gen.shards import shards_of, write_shard
from components.features import IMAGE, LABEL
from components.formats.resampling import new_shape, whole
from components.sources.volume_boxes import tiles
from components.sources.volumes import VolumeSource
from pipelines.datasets.made_lits import make_lits

# Width, height and depth.
SHAPE = (512, 512, 100)
SPACING_MM = (0.75, 0.75, 2.5)
NUM_CLASSES = 3
LEAST_HU = -1024
# Held out, and converted before the clock starts.
SMALL = "volume-0"


class Settings(NamedTuple):
    """What both sides make of the scans."""

    spacing_mm: float | None
    box: int | None

    @property
    def source(self) -> VolumeSource:
        spacing_mm = None if self.spacing_mm is None else (self.spacing_mm,) * 3
        box_size = None if self.box is None else (self.box,) * 3
        patch = min(32, self.box or 32)
        return VolumeSource(
            spacing_mm=spacing_mm,
            box_size=box_size,
            patch_size=(patch,) * 3,
            pad_small=True,
            eval_cases=(SMALL,),
        )


def main(
    cases: Annotated[int, typer.Option(help="Scans that are converted.")] = 2,
    spacing_mm: Annotated[float, typer.Option(help="Of the boxes; 0 for that of the scans.")] = 1.5,
    box: Annotated[int, typer.Option(help="Voxels of a box along each axis; 0 for whole scans.")] = 128,
    gzipped: Annotated[bool, typer.Option(help="Scans as .nii.gz, not as .nii.")] = False,
    rounds: Annotated[int, typer.Option(help="Turns of each side.")] = 3,
    out: Annotated[Path | None, typer.Option(help="Write the figures as JSON.")] = None,
) -> None:
    """Prints a table of both sides, and how many times better the project's is."""
    settings = Settings(spacing_mm or None, box or None)
    with tempfile.TemporaryDirectory() as folder:
        scans = Path(folder, "scans")
        scans.mkdir()
        write_scans(scans, cases, ".nii.gz" if gzipped else ".nii")
        compare(scans, settings, Path(folder))
        turns: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
        for _ in range(rounds):
            for side, found in turns.items():
                found.append(figures(__file__, side, str(scans), json.dumps(settings)))
    report({side: medians(found) for side, found in turns.items()}, out)


def write_scans(folder: Path, count: int, suffix: str) -> None:
    """Writes made abdomens at the size of real ones: one small case, and `count` large ones."""
    make_lits(folder / "made", count + 1)
    for number in range(count + 1):
        scan, mask = (
            np.asarray(nib.as_closest_canonical(nib.load(folder / f"made/{name}-{number}.nii.gz")).dataobj)
            for name in ("volume", "segmentation")
        )
        if number:
            scan, mask = enlarged(scan), enlarged(mask)
            scan += np.random.default_rng(number).normal(0, 10, SHAPE).astype(np.int16)
        # As scanners do.
        scan = np.maximum(scan, LEAST_HU)
        for name, voxels in (("volume", scan), ("segmentation", mask)):
            nib.save(nib.Nifti1Image(voxels, np.diag([*SPACING_MM, 1])), folder / f"{name}-{number}{suffix}")
    shutil.rmtree(folder / "made")


def enlarged(voxels: Any) -> Any:
    at = [np.arange(size) * have // size for size, have in zip(SHAPE, voxels.shape, strict=True)]
    return voxels[np.ix_(*at)]


def project_side(scans: Path, settings: Settings, output: Path, split: str) -> None:
    """Writes the shards of a split."""
    source = settings.source
    source.check(scans)
    for folder in ("attempts", f"Split-{split}"):
        (output / folder).mkdir(parents=True)
    splits = [each for each in source.input_splits if each.name == split]
    for shard in shards_of(source, splits, scans, str(output)):
        write_shard(shard)


def usual_side(scans: Path, settings: Settings, output: Path, split: str) -> None:
    """Writes .npy files of all cases of a split, then boxes of each to a file."""
    output.mkdir(parents=True)
    cases = [path for path in sorted(scans.glob("volume-*")) if is_of(path, split)]
    for path in cases:
        write_npy(path, output)
    for path in cases:
        with tf.io.TFRecordWriter(str(output / f"{stem(path)}.tfrecord")) as writer:
            for image, label in usual_boxes(path, settings, output):
                writer.write(usual_example(image, label))


def write_npy(path: Path, output: Path) -> None:
    for file in (path, mask_of(path)):
        np.save(output / f"{stem(file)}.npy", nib.load(file).get_fdata().astype(np.float32))


def usual_boxes(path: Path, settings: Settings, output: Path) -> Iterator[tuple[Any, Any]]:
    """Yields float32[width, height, depth] of image and labels, box by box."""
    image, label = (np.load(output / f"{stem(file)}.npy") for file in (path, mask_of(path)))
    spacing_mm = SPACING_MM[::-1] if settings.spacing_mm is None else (settings.spacing_mm,) * 3
    shape = new_shape(image.shape[::-1], SPACING_MM[::-1], spacing_mm)
    factors = [new / old for new, old in zip(shape[::-1], image.shape, strict=True)]
    image = ndimage.zoom(image, factors, order=1, mode="nearest", grid_mode=True)
    label = ndimage.zoom(label, factors, order=0, mode="nearest", grid_mode=True)
    size = shape if settings.box is None else (settings.box,) * 3
    for box in tiles(whole(shape), size, size):
        yield image[box.slices[::-1]], label[box.slices[::-1]]


def usual_example(image: Any, label: Any) -> bytes:
    one_hot = np.stack([label == each for each in range(NUM_CLASSES)], axis=-1).astype(np.float32)
    features = {
        name: tf.train.Feature(float_list=tf.train.FloatList(value=values.ravel()))
        for name, values in ((IMAGE, image), (LABEL, one_hot))
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


SIDES: dict[str, Callable[[Path, Settings, Path, str], None]] = {
    "millrace": project_side,
    "npy, float lists": usual_side,
}


def is_of(path: Path, split: str) -> bool:
    return (stem(path) == SMALL) == (split == "eval")


def stem(path: Path) -> str:
    return path.name.split(".")[0]


def mask_of(path: Path) -> Path:
    return path.with_name(path.name.replace("volume", "segmentation"))


def compare(scans: Path, settings: Settings, folder: Path) -> None:
    """Raises RuntimeError unless both sides make the same boxes of the first scan."""
    source = settings.source
    (split,) = (each for each in source.input_splits if each.name == "train")
    path = min(scans.glob("volume-1.*"))
    write_npy(path, folder)
    pairs = zip(source.parts(scans, split)[0].records(), usual_boxes(path, settings, folder), strict=True)
    for record, (image, label) in pairs:
        ours = np.frombuffer(record[IMAGE], "<i2").reshape(image.T.shape)
        labels = np.frombuffer(record[LABEL], np.uint8).reshape(label.T.shape)
        difference = np.abs(ours - image.T).max()
        wrong = (labels != label.T).mean()
        if difference > 1 or wrong > 1e-3:
            got = f"{difference:g} HU away, and {wrong:.2%} of the labels"
            raise RuntimeError(f"{path}: expected the same boxes of both sides, got them {got}")
    for file in folder.glob("*.npy"):
        file.unlink()


def child(side: str, scans: str, settings: str) -> None:
    """Prints seconds, CPU seconds and MB on disk of one side as JSON."""
    convert = SIDES[side]
    given = Settings(*json.loads(settings))
    with tempfile.TemporaryDirectory() as folder:
        convert(Path(scans), given, Path(folder, "first"), "eval")
        output = Path(folder, "whole")
        got = measured(lambda: convert(Path(scans), given, output, "train"))
        sizes = {path: path.stat().st_size / 1e6 for path in output.rglob("*") if path.is_file()}
    npy = sum(size for path, size in sizes.items() if path.suffix == ".npy")
    records = sum(sizes.values()) - npy
    seconds = {name: got[name] for name in ("seconds", "cpu_s")}
    print(json.dumps({**seconds, "MB records": round(records, 1), "MB .npy": round(npy, 1)}))


def medians(found: list[dict[str, Any]]) -> dict[str, Any]:
    return {key: statistics.median(each[key] for each in found) for key in found[0]}


def report(results: dict[str, dict[str, Any]], out: Path | None) -> None:
    table = Table(title=f"Scans of {'×'.join(map(str, SHAPE))}, one process, {os.cpu_count()} cores")
    columns = list(next(iter(results.values())))
    table.add_column("side")
    for key in columns:
        table.add_column(key, justify="right")
    for side, row in results.items():
        table.add_row(side, *(f"{row[key]:,}" for key in columns))
    Console(width=110).print(table)
    ours, usual = (results[side] for side in SIDES)
    ratios = {
        "seconds": usual["seconds"] / ours["seconds"],
        "CPU seconds": usual["cpu_s"] / ours["cpu_s"],
        "MB of records": usual["MB records"] / ours["MB records"],
        "MB in all": (usual["MB records"] + usual["MB .npy"]) / ours["MB records"],
    }
    print("times less:", ", ".join(f"{name} {ratio:.1f}" for name, ratio in ratios.items()))
    if out:
        content = {"cores": os.cpu_count(), "results": results, "ratios": ratios}
        out.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:])
    else:
        typer.run(main)
