"""What a step of training a U-Net takes of memory, by a formula whose factors were measured.

It holds what gradients need of every convolution, and of every weight its gradient and what the optimizer
remembers. benchmarks/unet_memory.py measures how far that is from what a step takes: about a tenth, on CPUs
in float32. What a GPU's convolutions take beside that is not in it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from components.models.unet import UNet
from components.train_config import TrainConfig

_FLOAT_BYTES: Final = 4
# Copies of a convolution's output that are held at once, by how it is normalized; and for a leaky rectifier.
_COPIES: Final[Mapping[str, float]] = {"batch": 2.95, "instance": 3.0, "group": 2.85, "none": 1.95}
_LEAKY_COPIES: Final = 0.7
_CONSTANT_BYTES: Final = 20_000_000
# Numbers that an optimizer remembers of a weight.
_SLOTS: Final[Mapping[str, int]] = {"adam": 2, "adamw": 2, "lamb": 2, "sgd": 1}


class Convolution(NamedTuple):
    """One convolution: numbers that it has as weights, and that it puts out for one patch."""

    num_weights: int
    num_outputs: int


def step_bytes(model: UNet, train: TrainConfig, batch_size: int) -> int:
    """Returns what a step on so many patches takes, beside the programs and the data themselves."""
    convolutions = list(_convolutions(model))
    outputs = batch_size * sum(each.num_outputs for each in convolutions)
    weights = sum(each.num_weights for each in convolutions)
    copies = _COPIES[model.normalization] + (_LEAKY_COPIES if model.activation == "leaky_relu" else 0)
    # Half precision takes as much on CPUs; what it saves on GPUs was not measured.
    held = copies * _FLOAT_BYTES * outputs
    return round(_CONSTANT_BYTES + held + weights * _FLOAT_BYTES * (2 + _SLOTS[train.optimizer]))


def _convolutions(model: UNet) -> Iterator[Convolution]:
    """Yields the convolutions of a network from the first to the last."""
    voxels = [math.prod(model.patch_size)]
    for strides in model.level_strides:
        voxels.append(voxels[-1] // math.prod(strides))
    given = 1
    for filters, size in zip(model.filters, voxels, strict=True):
        yield from _block(model, given, filters, size, residual=model.residual_encoder)
        given = filters
    for level in reversed(range(len(model.filters) - 1)):
        filters = model.filters[level]
        kernel = math.prod(model.level_strides[level]) if model.upsampling == "transposed" else 1
        yield Convolution(kernel * given * filters + filters, filters * voxels[level])
        yield from _block(model, 2 * filters, filters, voxels[level])
        if level < len(model.outputs):
            yield Convolution((filters + 1) * model.num_classes, model.num_classes * voxels[level])
        given = filters


def _block(
    model: UNet, given: int, filters: int, voxels: int, residual: bool = False
) -> Iterator[Convolution]:
    # Mean and variance are no weights of batch normalization, but are there.
    own = {"none": 1, "batch": 4}.get(model.normalization, 2) * filters
    if residual and given != filters:
        # What it puts out is added, and not held.
        yield Convolution(given * filters, 0)
    for _ in range(model.convolutions):
        yield Convolution(3**model.spatial_dims * given * filters + own, filters * voxels)
        given = filters
