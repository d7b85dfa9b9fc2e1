"""The U-Net in 2D and 3D: a path down that sees more and more of an image, and one up that keeps its detail.

O. Ronneberger et al., U-Net: Convolutional Networks for Biomedical Image Segmentation
(arxiv.org/abs/1505.04597); in 3D: Ö. Çiçek et al. (arxiv.org/abs/1606.06650). Residual blocks, deep
supervision and pooling that spares thick slices: F. Isensee et al., nnU-Net (arxiv.org/abs/1904.08128).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

import pydantic
from pydantic import Field, PositiveInt
from typing_extensions import Self

from components.features import IMAGE, LOGITS
from components.patch_shape import PatchShape

if TYPE_CHECKING:
    import keras

# Of leaky rectifiers, as nnU-Net has it.
_NEGATIVE_SLOPE: Final = 0.01
# Coarser outputs than these say nothing of small structures.
_MOST_SUPERVISED: Final = 4


class UNet(PatchShape):
    """A U-Net; the defaults are the 3D one of four levels that starts with 32 filters."""

    patch_size: tuple[PositiveInt, ...] = (128, 128, 128)
    num_classes: int = Field(3, ge=2, description="Classes, the background among them.")
    filters: tuple[PositiveInt, ...] = Field(
        (32, 64, 128, 256), min_length=2, description="Filters of each level, the finest first."
    )
    strides: tuple[tuple[PositiveInt, ...], ...] | None = Field(
        None, description="From each level to the next one, along each axis. Default: 2 along all."
    )
    convolutions: int = Field(
        2, ge=1, description="Convolutions of a block, of three voxels along each axis."
    )
    normalization: Literal["batch", "instance", "group", "none"] = Field(
        "batch", description="What follows each convolution."
    )
    num_groups: int = Field(8, ge=1, description="Of group normalization.")
    activation: Literal["relu", "leaky_relu"] = Field("relu", description="What follows each normalization.")
    residual_encoder: bool = Field(
        False, description="Add the input of each block on the way down to its output."
    )
    upsampling: Literal["transposed", "nearest"] = Field(
        "transposed", description="How a coarser level becomes as large as the next finer one."
    )
    dropout_rate: float = Field(0.0, ge=0, lt=1, description="Of whole channels, at the coarsest level.")
    deep_supervision: bool = Field(False, description="Losses on the coarser levels, too.")

    @pydantic.model_validator(mode="after")
    def _fits(self) -> Self:
        for strides in self.level_strides:
            if len(strides) != self.spatial_dims:
                raise ValueError(f"strides: expected {self.spatial_dims} numbers, got {list(strides)}")
        levels, steps = len(self.filters), len(self.level_strides)
        if steps != levels - 1:
            raise ValueError(f"strides: expected {levels - 1}, one less than filters, got {steps}")
        for axis, (size, divisor) in enumerate(zip(self.patch_size, self.divisors, strict=True)):
            if size % divisor:
                nearest = max(divisor, round(size / divisor) * divisor)
                raise ValueError(
                    f"patch_size[{axis}]: expected a multiple of {divisor}, such as {nearest}, got {size}"
                )
        if self.normalization == "group" and (wrong := [n for n in self.filters if n % self.num_groups]):
            raise ValueError(f"filters: expected multiples of num_groups {self.num_groups}, got {wrong[0]}")
        return self

    @property
    def level_strides(self) -> tuple[tuple[int, ...], ...]:
        """The strides from each level to the next."""
        return self.strides or ((2,) * self.spatial_dims,) * (len(self.filters) - 1)

    @property
    def divisors(self) -> tuple[int, ...]:
        """What the patch's size is a multiple of, by axis."""
        return tuple(math.prod(axis) for axis in zip(*self.level_strides, strict=True))

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the outputs, the finest first: "logits", "logits_1", …"""
        count = min(len(self.filters) - 1, _MOST_SUPERVISED) if self.deep_supervision else 1
        return (LOGITS, *(f"{LOGITS}_{level}" for level in range(1, count)))

    def network(self) -> keras.Model:
        """Returns a model: {"image": [batch, *patch_size]} -> logits [batch, *patch_size, num_classes].

        With deep supervision a dict of them; "logits_1" is smaller by the first strides, and so on.
        """
        import keras
        from keras import layers

        image = keras.Input(self.patch_size, name=IMAGE)
        x = layers.Reshape((*self.patch_size, 1))(image)
        skips = []
        for level, (filters, strides) in enumerate(
            zip(self.filters, (None, *self.level_strides), strict=True)
        ):
            x = x if strides is None else self._layer("MaxPooling", strides)(x)
            x = self._block(x, filters, f"down_{level}", self.residual_encoder)
            skips.append(x)
        x = self._layer("SpatialDropout", self.dropout_rate)(skips.pop())
        logits = {}
        for level in reversed(range(len(skips))):
            x = self._up(x, self.filters[level], self.level_strides[level], f"up_{level}")
            x = self._block(layers.Concatenate()([skips[level], x]), self.filters[level], f"up_{level}_block")
            if level < len(self.outputs):
                logits[self.outputs[level]] = self._logits(x, self.outputs[level])
        return keras.Model(
            {IMAGE: image},
            logits if self.deep_supervision else logits[LOGITS],
            name=f"unet_{self.spatial_dims}d",
        )

    def _block(self, x: Any, filters: int, name: str, residual: bool = False) -> Any:
        """Convolutions, each normalized and rectified; a residual one adds its input before the last."""
        from keras import layers

        given = x
        for number in range(self.convolutions):
            # What is normalized needs no bias.
            x = self._layer(
                "Conv",
                filters,
                3,
                padding="same",
                use_bias=self.normalization == "none",
                name=f"{name}_conv_{number}",
            )(x)
            x = self._normalized(x, f"{name}_norm_{number}")
            if residual and number == self.convolutions - 1:
                x = layers.Add()([x, self._matched(given, filters, f"{name}_skip")])
            x = self._rectified(x)
        return x

    def _matched(self, x: Any, filters: int, name: str) -> Any:
        return x if x.shape[-1] == filters else self._layer("Conv", filters, 1, use_bias=False, name=name)(x)

    def _up(self, x: Any, filters: int, strides: Sequence[int], name: str) -> Any:
        if self.upsampling == "transposed":
            return self._layer("Conv", filters, strides, strides, kind="Transpose", name=name)(x)
        return self._layer("Conv", filters, 1, name=name)(self._layer("UpSampling", strides)(x))

    def _normalized(self, x: Any, name: str) -> Any:
        from keras import layers

        if self.normalization == "none":
            return x
        if self.normalization == "group":
            return layers.GroupNormalization(self.num_groups, epsilon=1e-5, name=name)(x)
        from components.models.normalization import BatchNormalization, InstanceNormalization

        if self.normalization == "batch":
            return BatchNormalization(name=name)(x)
        # Keras' word for one group a channel.
        return InstanceNormalization(-1, epsilon=1e-5, name=name)(x)

    def _rectified(self, x: Any) -> Any:
        from keras import layers

        if self.activation == "relu":
            return layers.ReLU()(x)
        return layers.LeakyReLU(negative_slope=_NEGATIVE_SLOPE)(x)

    def _logits(self, x: Any, name: str) -> Any:
        # In float32: a softmax over float16 loses small probabilities.
        return self._layer("Conv", self.num_classes, 1, dtype="float32", name=name)(x)

    def _layer(self, layer: str, /, *arguments: Any, kind: str = "", **options: Any) -> Any:
        """Returns a layer of as many dimensions: "Conv", kind "Transpose" -> Conv3DTranspose."""
        from keras import layers

        return getattr(layers, f"{layer}{self.spatial_dims}D{kind}")(*arguments, **options)


# The 2D U-Net of the first paper, with normalization.
UNET_2D: Final = UNet(spatial_dims=2, patch_size=(256, 256), filters=(64, 128, 256, 512, 1024))
UNET_3D: Final = UNet()
# nnU-Net's plain 3D network for a patch of 128³.
NNUNET_3D: Final = UNet(
    filters=(32, 64, 128, 256, 320, 320),
    normalization="instance",
    activation="leaky_relu",
    deep_supervision=True,
)
