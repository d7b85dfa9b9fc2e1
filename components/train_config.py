"""How a task is trained. The trainer reads it; tasks and users set it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

import pydantic
from pydantic import Field, PositiveInt

from components.config import Config

# What a partition goes together with.
_WITH_PARTITION: Final[Mapping[str, tuple[Any, ...]]] = {
    "gradient_accumulation_steps": (1,),
    "strategy": ("auto", "tpu"),
    "dtype": ("float32", "mixed_bfloat16"),
}


class TrainConfig(Config):
    """Training settings; every one can be overridden with `--set train.NAME=VALUE`."""

    num_epochs: int = Field(1, ge=1, description="How often each training example is seen.")
    num_steps: int | None = Field(None, ge=1, description="Optimizer steps; overrides num_epochs.")
    global_batch_size: int = Field(
        32, ge=1, description="Examples of one optimizer step, over all replicas and micro-batches."
    )
    eval_global_batch_size: int | None = Field(None, ge=1, description="Default: global_batch_size.")
    gradient_accumulation_steps: int = Field(
        1, ge=1, description="Micro-batches of one optimizer step, one after another."
    )

    optimizer: Literal["adam", "adamw", "lamb", "sgd"] = Field(
        "adam", description="What makes steps of gradients."
    )
    learning_rate: float = Field(
        1e-3, gt=0, description="Its highest value; schedule and warmup_fraction lower it."
    )
    momentum: float = Field(0.0, ge=0, lt=1, description="For sgd.")
    nesterov: bool = Field(False, description="For sgd.")
    epsilon: float = Field(1e-7, gt=0, description="For adam, adamw and lamb.")
    weight_decay: float = Field(0.0, ge=0, description="For adamw and lamb.")
    weight_decay_exclude: tuple[str, ...] = Field(
        ("bias", "gamma", "beta"),
        description="Weights with one of these words in their name do not decay, nor adapt by layer.",
    )
    clip_norm: float | None = Field(None, gt=0, description="Global norm, over all replicas.")
    schedule: Literal["constant", "linear", "polynomial", "cosine", "exponential"] = Field(
        "constant", description="How the learning rate falls after warm-up."
    )
    power: float = Field(0.9, gt=0, description="For schedule=polynomial: (1 - step / steps) ** power.")
    warmup_fraction: float = Field(0.0, ge=0, lt=1, description="Fraction of all steps.")
    decay_rate: float = Field(0.96, gt=0, le=1, description="For schedule=exponential.")
    decay_steps: int = Field(100_000, ge=1, description="For schedule=exponential.")

    strategy: Literal["auto", "one_device", "mirrored", "multi_worker_mirrored", "tpu"] = Field(
        "auto", description="Which devices train; auto: all of this host, or of TF_CONFIG's."
    )
    dtype: Literal["float32", "mixed_bfloat16", "mixed_float16"] = Field(
        "float32", description="What layers compute in; weights are float32."
    )
    # How many parts each batch of patches is cut into along its axes, a device each: [batch, depth, height,
    # width, channels], without the depth in 2D. See components/trainer/partition.
    partition: tuple[PositiveInt, ...] | None = Field(
        None, description="Splits volumes over devices: [1, 4, 1, 1, 1] along depth; compiled by XLA."
    )
    jit_compile: bool = Field(False, description="Compile the training step by XLA.")
    deterministic: bool = Field(False, description="Ask TensorFlow for deterministic kernels, too.")
    # As NumPy takes them, also those that several trainings count up to.
    seed: int = Field(
        0,
        ge=0,
        lt=1 << 31,
        description="Of initial weights, dropout, the order of examples and what else is random.",
    )
    num_seeds: int = Field(
        1, ge=1, description="Trainings from seed on; the model of median quality is kept."
    )

    steps_per_loop: int = Field(
        200,
        ge=1,
        description="Optimizer steps of one compiled loop; logs and checkpoints come between loops.",
    )
    checkpoint_every_loops: int = Field(1, ge=1, description="Loops from one checkpoint to the next.")
    keep_checkpoints: int = Field(3, ge=1, description="How many checkpoints are left, the newest.")
    pad_to_multiple_of: int = Field(32, ge=1, description="Lengths of padded batches; 1: as short as can be.")
    window_buffer_mb: int = Field(
        256, ge=1, description="Windows of neighbouring examples that are mixed; memory takes it a few times."
    )
    stop_threshold: float | None = Field(
        None, description="Training stops when the blessing's metric reaches this on the eval split."
    )
    # By the blessing's metric on the eval split, measured at the end of each epoch; by its loss where the
    # model does not measure that metric as it trains.
    keep: Literal["last", "best"] = Field("last", description="Which epoch's weights: the last, or the best.")
    patience: int | None = Field(
        None, ge=1, description="Training stops after so many epochs without a better one."
    )

    @pydantic.model_validator(mode="after")
    def _divisible(self) -> TrainConfig:
        if self.global_batch_size % self.gradient_accumulation_steps:
            raise ValueError(
                f"global_batch_size {self.global_batch_size} is not a multiple of "
                f"gradient_accumulation_steps {self.gradient_accumulation_steps}"
            )
        return self

    @pydantic.model_validator(mode="after")
    def _looks_ahead(self) -> TrainConfig:
        if self.nesterov and self.optimizer == "sgd" and not self.momentum:
            raise ValueError("nesterov: expected a momentum above 0, got 0")
        return self

    @pydantic.model_validator(mode="after")
    def _parts(self) -> TrainConfig:
        if self.partition is None:
            return self
        batch, channels = self.partition[0], self.partition[-1]
        if channels != 1:
            raise ValueError(f"partition: expected 1 part along channels, got {channels}")
        for name, size in (("global", self.global_batch_size), ("eval_global", self.eval_batch_size)):
            if size % batch:
                raise ValueError(f"partition: expected a divisor of {name}_batch_size {size}, got {batch}")
        for name, only in _WITH_PARTITION.items():
            if (value := getattr(self, name)) not in only:
                expected = " or ".join(map(str, only))
                raise ValueError(f"partition: expected {name} to be {expected}, got {value}")
        return self

    @property
    def judges_epochs(self) -> bool:
        """Whether something depends on which epoch was the best."""
        return self.keep == "best" or self.patience is not None

    @property
    def micro_batch_size(self) -> int:
        """Examples of one forward and backward pass over all replicas."""
        return self.global_batch_size // self.gradient_accumulation_steps

    @property
    def eval_batch_size(self) -> int:
        return self.eval_global_batch_size or self.micro_batch_size
