"""Made scans: as LiTS names and stores them, with organs where a body has them."""

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from components.config import ConfigError
from components.formats.nifti import Volume
from pipelines.datasets import catalog

VALUES = (0, 1, 2)
NUM_CASES = 7
CASES = range(NUM_CASES)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    catalog.make("lits", folder, NUM_CASES)
    return folder


def case(folder: Path, number: int) -> tuple[Volume, np.ndarray, np.ndarray]:
    """Returns a scan, its Hounsfield units and its labels."""
    scan, mask = (Volume(folder / f"{kind}-{number}.nii.gz") for kind in ("volume", "segmentation"))
    mask.check_matches(scan)
    return scan, scan.read(), mask.read_labels(VALUES)


@pytest.mark.parametrize("number", CASES)
def test_a_scan_has_thick_slices_and_whole_hounsfield_units(made: Path, number: int) -> None:
    scan, image, labels = case(made, number)
    depth, height, width = scan.spacing_mm
    assert 2.7 <= depth <= 5
    assert 2.2 < height < 2.7
    assert height == pytest.approx(width)
    assert 40 <= scan.shape[0] <= 64
    assert 104 <= scan.shape[1] < scan.shape[2] <= 128
    assert image.dtype == np.int16
    assert (-1100 < image.min() < -1000, 380 < image.max() < 500) == (True, True)
    assert labels.shape == image.shape


@pytest.mark.parametrize("number", CASES)
def test_the_liver_is_one_piece_on_the_right_below_the_lungs(made: Path, number: int) -> None:
    scan, image, labels = case(made, number)
    pieces, _ = ndimage.label(labels > 0)
    sizes = np.bincount(pieces.ravel())[1:]
    assert sizes.max() > 0.98 * sizes.sum()
    assert 600 < (labels > 0).sum() * scan.voxel_ml < 1800
    depth, _, width = np.argwhere(labels > 0).mean(axis=0) / labels.shape
    assert width > 0.55
    # Air inside of the body, which a ray from the left and one from the right enter through its wall.
    body = np.cumsum(image > 20, axis=2) * np.cumsum((image > 20)[:, :, ::-1], axis=2)[:, :, ::-1] > 9
    lungs = np.argwhere((image < -700) & body).mean(axis=0) / labels.shape
    assert lungs[0] > depth


def test_livers_differ_from_muscle_and_tumours_from_livers(made: Path) -> None:
    means = [[image[labels == label].mean() for label in (1, 2)] for _, image, labels in map_cases(made)]
    for liver, tumour in means[:6]:
        assert 50 < liver < 78
        # By 40 to 55, without noise, texture and vessels.
        assert 38 < liver - tumour < 57
    assert np.ptp([liver for liver, _ in means]) > 10
    assert np.isnan(means[6][1])


def map_cases(folder: Path) -> list[tuple[Volume, np.ndarray, np.ndarray]]:
    with np.errstate(invalid="ignore"):
        return [case(folder, number) for number in CASES]


def test_tumours_are_as_large_as_a_grape_or_a_walnut_and_inside_the_liver(made: Path) -> None:
    for scan, _, labels in map_cases(made)[:6]:
        pieces, _ = ndimage.label(labels == 2)
        # Two may touch, and crumbs of less than a tenth of a millilitre are those of uneven surfaces.
        volumes = np.bincount(pieces.ravel())[1:] * scan.voxel_ml
        assert 1 <= (volumes > 0.1).sum() <= 6
        # A ball of 30 mm has 14 ml; uneven, and one beside another.
        assert volumes.max() < 30
        around = ndimage.binary_dilation(labels == 2) & (labels != 2)
        assert (labels[around] == 1).mean() > 0.6


def test_files_have_their_axes_in_any_order_and_some_are_oblique(made: Path) -> None:
    scans = [scan for scan, _, _ in map_cases(made)]
    assert [scan.orientation for scan in scans] == ["RAS", "LPS", "RAS", "LAS", "PIR", "LPI", "RAS"]
    oblique = [bool(np.count_nonzero(np.abs(scan.affine[:3, :3]) > 1e-6) > 3) for scan in scans]
    assert oblique == [False, False, True, True, False, True, False]


def test_the_same_scans_are_made_every_time_however_many(made: Path, tmp_path: Path) -> None:
    catalog.make("lits", tmp_path, 2)
    names = [f"{kind}-{number}.nii.gz" for kind in ("segmentation", "volume") for number in (0, 1)]
    assert sorted(file.name for file in tmp_path.iterdir()) == names
    for name in names:
        assert (tmp_path / name).read_bytes() == (made / name).read_bytes()


def test_made_scans_are_known_for_such(made: Path, tmp_path: Path) -> None:
    assert catalog.is_made("lits", made)
    assert not catalog.is_made("lits", tmp_path)


def test_a_number_of_cases_is_refused_where_there_are_none(tmp_path: Path) -> None:
    message = "--cases: unknown task with cases 'mnist'; known: lits"
    with pytest.raises(ConfigError, match=message):
        catalog.make("mnist", tmp_path / "digits", 3)
    assert not list(tmp_path.iterdir())
