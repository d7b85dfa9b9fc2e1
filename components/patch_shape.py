"""How large a model's input is: the base of all parts of a task of volumes that have to know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import pydantic
from pydantic import Field, PositiveInt

from components.config import Config


class PatchShape(Config):
    """Depth, height and width of a patch; in 2D height and width of one slice.

    Where spatial_dims is 2, of three numbers the last two count.
    """

    spatial_dims: Literal[2, 3] = Field(3, description="3 for patches of volumes, 2 for those of slices.")
    patch_size: tuple[PositiveInt, ...] = Field(
        (32, 64, 64), description="Voxels of a patch along depth, height and width."
    )

    @pydantic.model_validator(mode="before")
    @classmethod
    def _of_slices(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or values.get("spatial_dims") != 2:
            return values
        size = values.get("patch_size", cls.model_fields["patch_size"].default)
        is_volume = isinstance(size, list | tuple) and len(size) == 3
        return {**values, "patch_size": size[1:] if is_volume else size}

    @pydantic.model_validator(mode="after")
    def _of_as_many_numbers(self) -> PatchShape:
        if len(self.patch_size) != self.spatial_dims:
            raise ValueError(f"patch_size: expected {self.spatial_dims} numbers, got {list(self.patch_size)}")
        return self

    @property
    def patch(self) -> tuple[int, int, int]:
        """Depth, height and width, the depth of a slice being 1."""
        depth, height, width = (1, *self.patch_size)[-3:]
        return depth, height, width
