"""The settings of BERT's encoder, in the project's words and in those of its JSON files.

J. Devlin et al., BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding
(arxiv.org/abs/1810.04805).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

import pydantic
from pydantic import Field
from typing_extensions import Self

from components.config import Config, in_words
from components.models.errors import ModelError

# Names of activations in configuration files -> Keras' function and its arguments.
#
# "gelu" is the exact x·Φ(x), as in `transformers` and in the first releases of google-research/bert. Later
# releases of the latter compute the tanh approximation under the same name, for the same checkpoints; the two
# differ by less than 0.0005. Whoever wants the approximation says so: "gelu_new".
_EXACT_GELU: Final = ("gelu", {"approximate": False})
_TANH_GELU: Final = ("gelu", {"approximate": True})
ACTIVATIONS: Final[Mapping[str, tuple[str, dict[str, Any]]]] = {
    "gelu": _EXACT_GELU,
    "gelu_python": _EXACT_GELU,
    "gelu_new": _TANH_GELU,
    "gelu_fast": _TANH_GELU,
    "gelu_accurate": _TANH_GELU,
    "gelu_python_tanh": _TANH_GELU,
    "gelu_pytorch_tanh": _TANH_GELU,
    "relu": ("relu", {}),
    "relu6": ("relu6", {}),
    "leaky_relu": ("leaky_relu", {"negative_slope": 0.01}),
    "sigmoid": ("sigmoid", {}),
    "silu": ("silu", {}),
    "swish": ("silu", {}),
    "tanh": ("tanh", {}),
    "linear": ("linear", {}),
}

# The project's name of each setting -> the name in bert_config.json (google-research/bert, modeling.py).
_JSON_KEYS: Final = {
    "vocabulary_size": "vocab_size",
    "hidden_dim": "hidden_size",
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "intermediate_dim": "intermediate_size",
    "activation": "hidden_act",
    "dropout_rate": "hidden_dropout_prob",
    "attention_dropout_rate": "attention_probs_dropout_prob",
    "max_positions": "max_position_embeddings",
    "num_segments": "type_vocab_size",
    "initializer_stddev": "initializer_range",
    "layer_norm_epsilon": "layer_norm_eps",
}
_REQUIRED: Final = ("vocabulary_size", "hidden_dim", "num_layers", "num_heads", "intermediate_dim")

# Further keys of a Hugging Face config.json that name another computation: only these values are this one's.
# All others, such as id2label or torch_dtype, say nothing about the encoder's numbers.
_ONLY: Final[Mapping[str, tuple[Any, ...]]] = {
    "model_type": ("bert",),
    "position_embedding_type": ("absolute",),
    "directionality": ("bidi",),
    "is_decoder": (False,),
    "add_cross_attention": (False,),
    "pruned_heads": ({}, None),
    "quantization_config": (None,),
}


class BertConfig(Config):
    """The shape of an encoder; by default that of BERT-Base, uncased."""

    vocabulary_size: int = Field(30_522, ge=1)
    hidden_dim: int = Field(768, ge=1)
    # The bound is nobody's model, but what a broken file says must not be waited for.
    num_layers: int = Field(12, ge=1, le=1000)
    num_heads: int = Field(12, ge=1)
    intermediate_dim: int = Field(3072, ge=1)
    activation: str = "gelu"
    dropout_rate: float = Field(0.1, ge=0, lt=1, description="Of the outputs of sublayers, embeddings too.")
    attention_dropout_rate: float = Field(0.1, ge=0, lt=1, description="Of the attention's weights.")
    max_positions: int = Field(512, ge=1)
    num_segments: int = Field(2, ge=1)
    initializer_stddev: float = Field(0.02, gt=0)
    initial_positions: Literal["random", "waves"] = Field(
        "random",
        description="Embeddings of positions before training; with waves, neighbours are found soon.",
    )
    layer_norm_epsilon: float = Field(1e-12, gt=0)

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.hidden_dim % self.num_heads:
            raise ValueError(f"hidden_dim {self.hidden_dim} is not a multiple of num_heads {self.num_heads}")
        if self.activation not in ACTIVATIONS:
            # No name is near another one here: each of them is another function.
            raise ValueError(
                f"unknown activation {self.activation!r}; known: {', '.join(sorted(ACTIVATIONS))}"
            )
        return self

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], path: str = "BERT config") -> Self:
        """Returns the settings of a bert_config.json or a Hugging Face config.json, parsed.

        {"hidden_size": 128, …} -> BertConfig(hidden_dim=128, …)

        Raises:
          ModelError: a key is missing, a value is not allowed, or the file describes another computation;
            it begins with `path`.
        """
        for key, allowed in _ONLY.items():
            if key in values and values[key] not in allowed:
                raise ModelError(f"{path}: {key}: expected {allowed[0]!r}, got {values[key]!r}")
        missing = [_JSON_KEYS[name] for name in _REQUIRED if _JSON_KEYS[name] not in values]
        if missing:
            raise ModelError(
                f"{path}: expected the keys {', '.join(missing)}, got {', '.join(values) or 'none'}"
            )
        try:
            return cls(**{name: values[key] for name, key in _JSON_KEYS.items() if key in values})
        except pydantic.ValidationError as error:
            first = error.errors()[0]
            where = "".join(f"{_JSON_KEYS[str(name)]}: " for name in first["loc"])
            got = f", got {first['input']!r}" if where else ""
            raise ModelError(f"{path}: {where}{in_words(first)}{got}") from error

    @classmethod
    def from_json(cls, text: str, path: str = "BERT config") -> Self:
        """Returns the settings of a file's text, as `from_dict`."""
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ModelError(f"{path}: expected JSON, got: {error}") from error
        if not isinstance(values, dict):
            raise ModelError(f"{path}: expected a JSON object, got {text[:80]!r}")
        return cls.from_dict(values, path)

    def to_dict(self) -> dict[str, Any]:
        """Returns the settings with the keys of bert_config.json; {"vocab_size": 30522, …}."""
        return {key: getattr(self, name) for name, key in _JSON_KEYS.items()}

    def to_json(self) -> str:
        """Returns the text of a bert_config.json."""
        return json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n"

    def activation_function(self) -> Callable[[Any], Any]:
        """Returns the function that `activation` names."""
        from keras import ops

        name, arguments = ACTIVATIONS[self.activation]
        function = getattr(ops, name, None)
        return (lambda values: function(values, **arguments)) if function else (lambda values: values)
