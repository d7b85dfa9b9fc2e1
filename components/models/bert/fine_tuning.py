"""What all models on a BERT encoder share: where its weights come from, which are trained, and how fast."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

import pydantic
from pydantic import Field
from typing_extensions import Self

from components import files
from components.config import Config, Location
from components.formats.tokenizer_files import Rules, read_rules
from components.formats.vocabulary import read_vocabulary
from components.models.bert.config import BertConfig
from components.models.bert.encoder import build_encoder
from components.models.bert.weights.checkpoint import BertCheckpoint
from components.models.bert.weights.writers import write_google, write_huggingface
from components.models.errors import ModelError

if TYPE_CHECKING:
    import keras

# Small enough to be trained from random weights on a laptop.
SMALL = BertConfig(vocabulary_size=8000, hidden_dim=128, num_layers=2, num_heads=2, intermediate_dim=512)


class BertFineTuning(Config):
    """An encoder whose weights are random, or those of a checkpoint; a subclass adds what is on top."""

    encoder: BertConfig = Field(SMALL, description="Without init_checkpoint, which brings its own.")
    init_checkpoint: Location | None = Field(
        None, description="Google's bert_model.ckpt or a folder of Hugging Face's; a path or URI."
    )
    freeze_layers: int = Field(
        0, ge=0, description="Lowest layers that are not trained, nor are the embeddings then."
    )
    layer_decay: float = Field(
        1.0, gt=0, le=1, description="Each layer's learning rate as a fraction of that of the one above."
    )

    save_as: tuple[Literal["google", "huggingface"], ...] = Field(
        (), description="Also save the trained encoder for these, in the SavedModel's assets.extra."
    )

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.init_checkpoint is not None and self.encoder != SMALL:
            raise ValueError(
                "encoder and init_checkpoint: expected one of them, since a checkpoint has a shape"
            )
        # A checkpoint need not be there yet.
        if self.init_checkpoint is None and (mistake := self._frozen_too_high()):
            raise ValueError(mistake)
        return self

    @property
    def pretrained(self) -> bool:
        return self.init_checkpoint is not None

    @property
    def encoder_config(self) -> BertConfig:
        """The encoder's shape: the checkpoint's where there is one."""
        return self.encoder if self.init_checkpoint is None else self._checkpoint().config()

    @property
    def vocabulary_file(self) -> str | None:
        """The vocabulary beside the checkpoint, whose ids its embeddings are for."""
        return None if self.init_checkpoint is None else self._checkpoint().vocabulary_file

    @property
    def max_sequence_length(self) -> int:
        """How many tokens a sequence may have: as many as there are positions, or as the tokenizer allows."""
        bound = self._tokenizer_rules().max_length
        positions = self.encoder_config.max_positions
        return positions if bound is None else min(positions, bound.tokens)

    def input_files(self) -> tuple[str, ...]:
        return () if self.init_checkpoint is None else self._checkpoint().files()

    def check_input_files(self) -> None:
        """Raises ModelError where the checkpoint cannot be the encoder's; reads headers alone."""
        self._check_checkpoint()

    def initialize(self, keras_model: keras.Model) -> None:
        """Sets the encoder's weights to the checkpoint's; those on top of it stay random."""
        if self.init_checkpoint is not None:
            self._checkpoint().load(keras_model)

    def save_weights(self, keras_model: keras.Model, export_dir: str) -> None:
        """Writes assets.extra/google and assets.extra/huggingface, as `save_as` says; to a path or URI."""
        # What the tokenizer put into the SavedModel.
        vocabulary = os.path.join(export_dir, "assets", "vocabulary.txt")
        known = vocabulary if files.exists(vocabulary) else None
        config, folder = self.encoder_config, os.path.join(export_dir, "assets.extra")
        if "google" in self.save_as:
            write_google(keras_model, config, os.path.join(folder, "google"), known)
        if "huggingface" in self.save_as:
            said = self._tokenizer_rules().to_config()
            write_huggingface(keras_model, config, os.path.join(folder, "huggingface"), known, said)

    def learning_rate_multipliers(self, keras_model: keras.Model) -> dict[str, float]:
        """Returns layer_decay to the power of how far below the top a weight is.

        Pooler and what is on top 1, the top layer `layer_decay`, the embeddings
        `layer_decay ** (num_layers + 1)`. As in ELECTRA (google-research/electra, model/optimization.py).
        """
        if self.layer_decay == 1.0:
            return {}
        num_layers = self.encoder_config.num_layers
        below = {f"layer_{number}": num_layers - number for number in range(num_layers)}
        below["embeddings"] = num_layers + 1
        return {
            variable.path: self.layer_decay ** below.get(variable.path.split("/")[0], 0)
            for variable in keras_model.trainable_variables
        }

    def build_encoder(self) -> keras.Model:
        """Returns the encoder; what is frozen is not trained."""
        encoder = build_encoder(self.encoder_config)
        if self.freeze_layers:
            for name in ("embeddings", *(f"layer_{number}" for number in range(self.freeze_layers))):
                encoder.get_layer(name).trainable = False
        return encoder

    def _check_checkpoint(self, heads: bool = False) -> None:
        if self.init_checkpoint is None:
            return
        self._checkpoint().check(heads=heads)
        if mistake := self._frozen_too_high():
            raise ModelError(f"model.{mistake}")

    def _frozen_too_high(self) -> str:
        """Returns what is wrong with freeze_layers, if something is."""
        num_layers = self.encoder_config.num_layers
        if self.freeze_layers <= num_layers:
            return ""
        return f"freeze_layers: expected at most {num_layers}, the encoder's layers, got {self.freeze_layers}"

    def _tokenizer_rules(self) -> Rules:
        """What the files beside the checkpoint's vocabulary say; nothing where there is none."""
        path = self.vocabulary_file
        return read_rules(path, read_vocabulary(path)) if path and files.exists(path) else Rules()

    def _checkpoint(self) -> BertCheckpoint:
        if self.init_checkpoint is None:
            raise ModelError("model.init_checkpoint: expected a path, got none")
        return BertCheckpoint.find(self.init_checkpoint)
