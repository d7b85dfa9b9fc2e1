"""The Keras layers of BERT's encoder. They use Keras alone, so that they run on each of its backends.

Dense layers see a batch as one long list of tokens [batch · length, dim]: on three axes Keras multiplies
batch by batch, and the gradient of a kernel is then a sum over as many matrices as the batch has examples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from components.models.bert.config import BertConfig
from components.models.errors import ModelError

# Added to the scores of padding: its exponential is 0 in float32.
_MASKED = -1e9


def initializer(config: BertConfig) -> keras.initializers.Initializer:
    """Returns a new one for each weight: one that is used twice draws the same numbers again."""
    return keras.initializers.TruncatedNormal(stddev=config.initializer_stddev)


@keras.saving.register_keras_serializable("millrace")
class Waves(keras.initializers.Initializer):
    """Sines and cosines of positions, [positions, dim], with the variance of a standard deviation.

    A. Vaswani et al., Attention Is All You Need (arxiv.org/abs/1706.03762), section 3.5, there without
    training. What is k places further is a rotation of what is here, the same one everywhere, so that
    attention to neighbours is one small matrix to learn, where random rows take one for each position.
    """

    def __init__(self, stddev: float) -> None:
        self.stddev = stddev

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        positions, dim = shape
        # An odd dim has one sine more.
        angles = np.arange(positions)[:, None] * 10_000.0 ** (-2 * np.arange((dim + 1) // 2) / dim)
        waves = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)[:, :dim]
        return ops.convert_to_tensor(self.stddev * math.sqrt(2) * waves, dtype=dtype)

    def get_config(self) -> dict[str, Any]:
        return {"stddev": self.stddev}


class _BertPart(layers.Layer):
    """A layer that is made from a BertConfig, or from its dump where a model is loaded."""

    def __init__(self, config: BertConfig | Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.config = config if isinstance(config, BertConfig) else BertConfig(**config)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "config": self.config.model_dump()}

    def _dense(self, units: int, name: str) -> layers.Dense:
        return layers.Dense(
            units, kernel_initializer=initializer(self.config), dtype=self.dtype_policy, name=name
        )

    def _layer_norm(self, name: str) -> layers.LayerNormalization:
        # Keras computes it in float32 whatever the policy.
        return layers.LayerNormalization(
            epsilon=self.config.layer_norm_epsilon, dtype=self.dtype_policy, name=name
        )

    def _dropout(self, rate: float, name: str) -> layers.Dropout:
        return layers.Dropout(rate, dtype=self.dtype_policy, name=name)


@keras.saving.register_keras_serializable("millrace")
class BertEmbeddings(_BertPart):
    """token_ids, segment_ids int32[batch, length] -> [batch, length, hidden_dim]."""

    def build(self, token_ids_shape: Any, segment_ids_shape: Any) -> None:
        config = self.config
        waves, stddev = config.initial_positions == "waves", config.initializer_stddev
        self.word_embeddings = self._table(config.vocabulary_size, "word_embeddings")
        self.position_embeddings = self._table(
            config.max_positions, "position_embeddings", Waves(stddev) if waves else None
        )
        self.segment_embeddings = self._table(config.num_segments, "segment_embeddings")
        self.layer_norm = self._layer_norm("layer_norm")
        self.layer_norm.build((None, None, config.hidden_dim))
        self.dropout = self._dropout(config.dropout_rate, "dropout")

    def _table(self, rows: int, name: str, initial: keras.initializers.Initializer | None = None) -> Any:
        shape = (rows, self.config.hidden_dim)
        # Not cast to the compute dtype as a whole: a batch needs few of its rows.
        return self.add_weight(shape, initial or initializer(self.config), name=name, autocast=False)

    def call(self, token_ids: Any, segment_ids: Any, training: bool = False) -> Any:
        length = ops.shape(token_ids)[1]
        if isinstance(length, int) and length > self.config.max_positions:
            raise ModelError(f"token_ids: expected at most {self.config.max_positions} tokens, got {length}")
        embedded = (
            ops.take(self.word_embeddings, token_ids, axis=0)
            + ops.take(self.segment_embeddings, segment_ids, axis=0)
            + self.position_embeddings[:length]
        )
        return self.dropout(self.layer_norm(ops.cast(embedded, self.compute_dtype)), training=training)

    def compute_output_shape(self, token_ids_shape: Any, segment_ids_shape: Any) -> Any:
        return (*token_ids_shape, self.config.hidden_dim)


@keras.saving.register_keras_serializable("millrace")
class BertAttention(_BertPart):
    """[batch, length, hidden_dim], padding_mask int32[batch, length] -> the shape of the first."""

    def build(self, hidden_shape: Any) -> None:
        dim = self.config.hidden_dim
        self.query = self._dense(dim, "query")
        self.key = self._dense(dim, "key")
        self.value = self._dense(dim, "value")
        self.output_dense = self._dense(dim, "output")
        for dense in (self.query, self.key, self.value, self.output_dense):
            dense.build((None, dim))
        self.dropout = self._dropout(self.config.attention_dropout_rate, "dropout")

    def call(self, hidden: Any, padding_mask: Any, training: bool = False) -> Any:
        batch, length, dim = ops.shape(hidden)
        tokens = ops.reshape(hidden, (-1, dim))
        heads = (batch, length, self.config.num_heads, dim // self.config.num_heads)
        query, key, value = (
            ops.reshape(dense(tokens), heads) for dense in (self.query, self.key, self.value)
        )
        drops = training and self.dropout.rate > 0
        # Keras' fused attention knows no dropout, and on TensorFlow it is not fused.
        if drops or keras.config.backend() == "tensorflow":
            context = self._attend(query, key, value, padding_mask, training)
        else:
            mask = ops.cast(padding_mask, "bool")[:, None, None, :]
            context = ops.dot_product_attention(query, key, value, mask=mask)
        return ops.reshape(self.output_dense(ops.reshape(context, (-1, dim))), (batch, length, dim))

    def _attend(self, query: Any, key: Any, value: Any, padding_mask: Any, training: bool) -> Any:
        """[batch, length, num_heads, head_dim] of each -> the same shape; the softmax in float32."""
        query = ops.transpose(query * (query.shape[-1] ** -0.5), (0, 2, 1, 3))
        scores = ops.cast(ops.matmul(query, ops.transpose(key, (0, 2, 3, 1))), "float32")
        filling = 1.0 - ops.cast(padding_mask, "float32")
        probabilities = ops.softmax(scores + (filling * _MASKED)[:, None, None, :])
        probabilities = self.dropout(ops.cast(probabilities, value.dtype), training=training)
        context = ops.matmul(probabilities, ops.transpose(value, (0, 2, 1, 3)))
        return ops.transpose(context, (0, 2, 1, 3))

    def compute_output_shape(self, hidden_shape: Any) -> Any:
        return hidden_shape


@keras.saving.register_keras_serializable("millrace")
class BertLayer(_BertPart):
    """Attention, then two dense layers, each added to its input; shapes as of BertAttention."""

    def build(self, hidden_shape: Any) -> None:
        config = self.config
        self.attention = BertAttention(config, dtype=self.dtype_policy, name="attention")
        self.attention.build(hidden_shape)
        self.intermediate = self._dense(config.intermediate_dim, "intermediate")
        self.intermediate.build((None, config.hidden_dim))
        self.output_dense = self._dense(config.hidden_dim, "output")
        self.output_dense.build((None, config.intermediate_dim))
        self.attention_norm = self._layer_norm("attention_norm")
        self.output_norm = self._layer_norm("output_norm")
        for norm in (self.attention_norm, self.output_norm):
            norm.build((None, None, config.hidden_dim))
        self.attention_dropout = self._dropout(config.dropout_rate, "attention_dropout")
        self.output_dropout = self._dropout(config.dropout_rate, "output_dropout")
        self.activation = config.activation_function()

    def call(self, hidden: Any, padding_mask: Any, training: bool = False) -> Any:
        attended = self.attention(hidden, padding_mask, training=training)
        hidden = self.attention_norm(hidden + self.attention_dropout(attended, training=training))
        shape = ops.shape(hidden)
        tokens = ops.reshape(hidden, (-1, shape[-1]))
        tokens = ops.reshape(self.output_dense(self.activation(self.intermediate(tokens))), shape)
        return self.output_norm(hidden + self.output_dropout(tokens, training=training))

    def compute_output_shape(self, hidden_shape: Any) -> Any:
        return hidden_shape


@keras.saving.register_keras_serializable("millrace")
class BertMaskedWords(_BertPart):
    """[batch, length, hidden_dim], positions int32[batch, k] -> logits float32[batch, k, vocabulary_size].

    Its last matrix is the table of the word embeddings, so that it has a bias alone. Only tokens at
    `positions` are multiplied by it: all of them would take `length / k` times the memory.
    """

    def __init__(
        self,
        config: BertConfig | Mapping[str, Any],
        embeddings: BertEmbeddings | Mapping[str, Any],
        **kwargs: Any,
    ) -> None:
        super().__init__(config, **kwargs)
        self.embeddings: BertEmbeddings = (
            embeddings
            if isinstance(embeddings, BertEmbeddings)
            else keras.saving.deserialize_keras_object(embeddings)
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "embeddings": keras.saving.serialize_keras_object(self.embeddings)}

    def build(self, hidden_shape: Any, positions_shape: Any) -> None:
        config = self.config
        self.dense = self._dense(config.hidden_dim, "dense")
        self.layer_norm = self._layer_norm("layer_norm")
        for layer in (self.dense, self.layer_norm):
            layer.build((None, config.hidden_dim))
        self.activation = config.activation_function()
        self.output_bias = self.add_weight(
            (config.vocabulary_size,), "zeros", name="output_bias", autocast=False
        )

    def call(self, hidden: Any, positions: Any) -> Any:
        batch, length, dim = ops.shape(hidden)
        # Of all tokens of the batch, one after another.
        rows = ops.cast(positions, "int32") + ops.arange(batch, dtype="int32")[:, None] * length
        tokens = ops.take(ops.reshape(hidden, (-1, dim)), ops.reshape(rows, (-1,)), axis=0)
        tokens = self.layer_norm(self.activation(self.dense(tokens)))
        table = ops.cast(self.embeddings.word_embeddings, self.compute_dtype)
        # In float32 from here on: a softmax over float16 loses small probabilities.
        logits = ops.cast(ops.matmul(tokens, ops.transpose(table)), "float32") + self.output_bias
        return ops.reshape(logits, (batch, -1, self.config.vocabulary_size))

    def compute_output_spec(self, hidden: Any, positions: Any) -> Any:
        return keras.KerasTensor((*positions.shape, self.config.vocabulary_size), "float32")
