"""A U-Net that is trained to give every voxel its class."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

import pydantic
from pydantic import Field, NonNegativeFloat
from typing_extensions import Self

from components.features import EXAMPLE_WEIGHT, LABEL, LOGITS, Feature
from components.models.errors import ModelError
from components.models.unet import UNet
from components.protocols import StreamingMetric

if TYPE_CHECKING:
    import keras

Tensors = Mapping[str, Any]

DICE: Final = "dice"
DICE_LOSS: Final = "dice_loss"
CROSS_ENTROPY: Final = "cross_entropy"
_TERMS: Final[Mapping[str, tuple[str, ...]]] = {
    "dice_cross_entropy": (DICE_LOSS, CROSS_ENTROPY),
    "dice": (DICE_LOSS,),
    "adaptive_dice": (DICE_LOSS,),
    "cross_entropy": (CROSS_ENTROPY,),
}
# A voxel more in both parts of Dice: 1 for a class that is neither there nor found, and still something to
# gain where a class that is not there is found in a few voxels.
_SMOOTHING: Final = 1.0


class Segmentation(UNet):
    """The labels are uint8[batch, *patch_size]; every patch has Dice of its own.

    Under deep supervision the loss is a mean over the outputs, in which each weighs half of the next finer
    one, as nnU-Net has it; the labels of the coarser ones are taken at the nearest voxel.
    """

    loss: Literal["dice_cross_entropy", "dice", "adaptive_dice", "cross_entropy"] = Field(
        "dice_cross_entropy", description="adaptive_dice: the worse a class is found, the more it counts."
    )
    class_weights: tuple[NonNegativeFloat, ...] | None = Field(
        None, description="By class, of either term; default: 1 for all."
    )
    include_background: bool = Field(True, description="Class 0 in the terms of Dice.")

    @pydantic.model_validator(mode="after")
    def _weighs(self) -> Self:
        given = self.class_weights
        if given is not None and len(given) != self.num_classes:
            raise ValueError(f"class_weights: expected {self.num_classes}, one a class, got {len(given)}")
        if not any(self._dice_weights):
            raise ValueError("class_weights: expected one above 0 among the classes of Dice, got none")
        return self

    @property
    def pretrained(self) -> bool:
        return False

    @property
    def loss_terms(self) -> tuple[str, ...]:
        return _TERMS[self.loss]

    def build(self) -> keras.Model:
        """Returns the network."""
        return self.network()

    def check_features(self, features: Mapping[str, Feature]) -> None:
        """Raises ValueError unless there is a label with as many names as there are classes."""
        if LABEL not in features:
            raise ValueError(f"model: expected the raw feature {LABEL!r}, got {', '.join(features)}")
        names = features[LABEL].names
        if len(names) != self.num_classes:
            raise ValueError(
                f"model.num_classes: expected {len(names)}, one a label ({', '.join(names)}), "
                f"got {self.num_classes}"
            )

    def initialize(self, keras_model: keras.Model) -> None:
        pass

    def save_weights(self, keras_model: keras.Model, export_dir: str) -> None:
        pass

    def learning_rate_multipliers(self, keras_model: keras.Model) -> dict[str, float]:
        return {}

    def loss_weights(self, features: Tensors) -> dict[str, Any]:
        """Returns weights of Dice, [batch, classes], and of the cross-entropy, [batch].

        A patch counts for the cross-entropy as much as the weights of its voxels' classes.
        """
        from keras import ops

        examples = features[EXAMPLE_WEIGHT]
        weights = {DICE_LOSS: examples[:, None] * ops.convert_to_tensor(self._dice_weights, "float32")}
        if CROSS_ENTROPY in self.loss_terms:
            weights[CROSS_ENTROPY] = examples * _mean(self._voxel_weights(features[LABEL]))
        return {name: weights[name] for name in self.loss_terms}

    def losses(self, features: Tensors, outputs: Any) -> dict[str, Any]:
        """Returns the terms in float32, whatever the model's dtype, as means over its outputs."""
        outputs = outputs if self.deep_supervision else {LOGITS: outputs}
        # Halved from each to the next, with a sum of 1.
        largest = 1 / sum(0.5**level for level in range(len(outputs)))
        sums: dict[str, Any] = dict.fromkeys(self.loss_terms, 0.0)
        for level, name in enumerate(self.outputs):
            labels = self._coarser(features[LABEL], level)
            for term, loss in self._losses(labels, outputs[name]).items():
                sums[term] += largest * 0.5**level * loss
        return sums

    def metrics(self) -> dict[str, StreamingMetric]:
        """Returns Dice of each class but 0 over all voxels of all patches, and its mean over the classes."""
        update = functools.partial(_overlaps, self.num_classes)
        classes = {
            f"{DICE}_{number}": StreamingMetric(update, functools.partial(_dice_of_class, number))
            for number in range(1, self.num_classes)
        }
        return {DICE: StreamingMetric(update, _mean_dice), **classes}

    def answers(self, outputs: Any, features: Mapping[str, Feature]) -> dict[str, Any]:
        raise ModelError("windowing: expected Patches, which answer for the whole volume, got none")

    @property
    def _dice_weights(self) -> tuple[float, ...]:
        weights = self.class_weights or (1.0,) * self.num_classes
        return weights if self.include_background else (0.0, *weights[1:])

    def _voxel_weights(self, labels: Any) -> Any:
        """Returns the weight of each voxel's class: float32[batch, *spatial]."""
        from keras import ops

        if self.class_weights is None:
            return ops.ones_like(labels, "float32")
        return ops.take(ops.convert_to_tensor(self.class_weights, "float32"), ops.cast(labels, "int32"))

    def _coarser(self, labels: Any, level: int) -> Any:
        """Returns the labels of a level: those nearest to the middles of its voxels."""
        for axis, strides in enumerate(zip(*self.level_strides[:level], strict=True), start=1):
            factor = math.prod(strides)
            labels = labels[(slice(None),) * axis + (slice(factor // 2, None, factor),)]
        return labels

    def _losses(self, labels: Any, logits: Any) -> dict[str, Any]:
        """Returns the terms of one output: Dice as [batch, classes], the cross-entropy as [batch]."""
        from keras import ops

        logits = ops.cast(logits, "float32")
        losses = {}
        if DICE_LOSS in self.loss_terms:
            dice = _soft_dice(labels, logits)
            losses[DICE_LOSS] = _adapted(dice) if self.loss == "adaptive_dice" else 1 - dice
        if CROSS_ENTROPY in self.loss_terms:
            by_voxel = ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)
            weights = self._voxel_weights(labels)
            losses[CROSS_ENTROPY] = ops.divide_no_nan(_mean(by_voxel * weights), _mean(weights))
        return losses


def _mean(voxels: Any) -> Any:
    """Returns the means of each example's voxels."""
    from keras import ops

    return ops.mean(voxels, axis=_spatial(voxels))


def _spatial(voxels: Any) -> tuple[int, ...]:
    """Returns the axes of [batch, *spatial]."""
    return tuple(range(1, len(voxels.shape)))


def _soft_dice(labels: Any, logits: Any) -> Any:
    """Returns Dice between probabilities and labels: float32[batch, classes], in (0, 1]."""
    from keras import ops

    probabilities = ops.softmax(logits, axis=-1)
    right = ops.one_hot(labels, logits.shape[-1], dtype="float32")
    overlap = ops.sum(probabilities * right, axis=_spatial(labels))
    total = ops.sum(probabilities + right, axis=_spatial(labels))
    return (2 * overlap + _SMOOTHING) / (total + _SMOOTHING)


def _adapted(dice: Any) -> Any:
    """Returns 1 - dice · e^(1 - dice): 1 where Dice is 0, 0 where it is 1, and steep where it is low.

    Its mean over the classes is "adaptive_dice32" of tensorflow/tpu, models/official/unet3d/metrics.py, which
    takes a batch as one volume, and gives 2 for a class that is nowhere.
    """
    from keras import ops

    return 1 - dice * ops.exp(1 - dice)


def _overlaps(num_classes: int, features: Tensors, outputs: Any) -> Any:
    """Returns float32[2 · classes]: voxels that are a class and found as it, then those of both."""
    from keras import ops

    logits = outputs[LOGITS] if isinstance(outputs, Mapping) else outputs
    right = ops.one_hot(features[LABEL], num_classes, dtype="float32")
    found = ops.one_hot(ops.argmax(logits, axis=-1), num_classes, dtype="float32")
    voxels = ops.stack([right * found, right + found])
    by_example = ops.sum(voxels, axis=tuple(range(2, len(voxels.shape) - 1)))
    return ops.reshape(ops.sum(by_example * features[EXAMPLE_WEIGHT][:, None], axis=1), (-1,))


def _dice_of_class(number: int, sums: Any) -> float:
    """Returns Dice, NaN for a class that is neither there nor found."""
    overlaps, totals = sums.reshape(2, -1)
    return float(2 * overlaps[number] / totals[number]) if totals[number] else math.nan


def _mean_dice(sums: Any) -> float:
    """Returns the mean of the classes but 0 that are there or found; NaN where none is."""
    scores = [_dice_of_class(number, sums) for number in range(1, len(sums) // 2)]
    found = [score for score in scores if not math.isnan(score)]
    return sum(found) / len(found) if found else math.nan
