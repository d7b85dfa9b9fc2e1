"""LiTS: which voxels of an abdominal CT are liver, and which a tumour in it? P. Bilic et al. (2023)."""

from components.asking.volumes import VolumeAsking
from components.metrics.segmentation import SegmentationEvaluation
from components.models.segmentation import Segmentation
from components.sources.volumes import VolumeSource
from components.task import AtLeast, Task
from components.train_config import TrainConfig
from components.transform.volumes import Volumes
from components.windows.patches import Patches

# For two cores: patches of 72×192×192 mm. `millrace plan` proposes what the data and a GPU want.
_SPACING_MM = (3.0, 3.0, 3.0)
_PATCH = (24, 64, 64)
_NAMES = ("background", "liver", "tumour")

LITS = Task(
    name="lits",
    summary="Which voxels of an abdominal CT are liver, and which a tumour in it?",
    source=VolumeSource(label_names=_NAMES, spacing_mm=_SPACING_MM, patch_size=_PATCH),
    preprocessing=Volumes(),
    # Not mirrored: a spleen looks like a liver on the other side. Many patches an epoch, since a case is read
    # whole for each.
    windowing=Patches(
        label_names=_NAMES, spacing_mm=_SPACING_MM, patch_size=_PATCH, patches_per_example=16, flip_axes=()
    ),
    model=Segmentation(patch_size=_PATCH, filters=(16, 32, 64, 128), normalization="instance"),
    train=TrainConfig(
        global_batch_size=2, optimizer="adamw", learning_rate=1e-3, weight_decay=1e-4, clip_norm=1.0,
        schedule="cosine", warmup_fraction=0.05, num_epochs=14, steps_per_loop=20,
    ),
    evaluation=SegmentationEvaluation(),
    asking=VolumeAsking(),
    blessing=AtLeast(metric="mean_dice", threshold=0.6, max_drop=0.02),
)  # fmt: skip
