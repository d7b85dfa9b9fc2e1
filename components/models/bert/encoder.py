"""BERT's encoder as a Keras model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from components.features import PADDING_MASK, SEGMENT_IDS, TOKEN_IDS
from components.models.bert.config import BertConfig

if TYPE_CHECKING:
    import keras

SEQUENCE_OUTPUT: Final = "sequence_output"
POOLED_OUTPUT: Final = "pooled_output"


def build_encoder(config: BertConfig) -> keras.Model:
    """Returns the encoder.

    {"token_ids", "segment_ids", "padding_mask": int32[batch, length]} ->
    {"sequence_output": [batch, length, hidden_dim], "pooled_output": [batch, hidden_dim]}

    `padding_mask` is 1 where a token is and 0 where the batch is filled up: the filling does not change
    the output at tokens. `pooled_output` is a tanh layer on the first token. A length above
    `max_positions` is an error.
    """
    import keras
    from keras import layers

    from components.models.bert.layers import BertEmbeddings, BertLayer, initializer

    inputs = {
        name: keras.Input((None,), dtype="int32", name=name)
        for name in (TOKEN_IDS, SEGMENT_IDS, PADDING_MASK)
    }
    hidden = BertEmbeddings(config, name="embeddings")(inputs[TOKEN_IDS], inputs[SEGMENT_IDS])
    for number in range(config.num_layers):
        hidden = BertLayer(config, name=f"layer_{number}")(hidden, inputs[PADDING_MASK])
    pooler = layers.Dense(
        config.hidden_dim, activation="tanh", kernel_initializer=initializer(config), name="pooler"
    )
    outputs = {SEQUENCE_OUTPUT: hidden, POOLED_OUTPUT: pooler(hidden[:, 0])}
    return keras.Model(inputs, outputs, name="bert")
