"""The shapes of the weights of an encoder and its heads, from its configuration alone."""

from __future__ import annotations

from components.models.bert.config import BertConfig

Shapes = dict[str, tuple[int, ...]]


def encoder_shapes(config: BertConfig) -> Shapes:
    """Returns the shapes of the weights of `build_encoder` by their names in Google's checkpoints."""
    dim = config.hidden_dim
    shapes: Shapes = {
        "bert/embeddings/word_embeddings": (config.vocabulary_size, dim),
        "bert/embeddings/position_embeddings": (config.max_positions, dim),
        "bert/embeddings/token_type_embeddings": (config.num_segments, dim),
        **_layer_norm("bert/embeddings", dim),
        **_dense("bert/pooler", dim, dim),
    }
    for number in range(config.num_layers):
        shapes |= _layer(f"bert/encoder/layer_{number}", dim, config.intermediate_dim)
    return shapes


def head_shapes(config: BertConfig) -> Shapes:
    """Returns the shapes of the weights of BertPretraining that are not the encoder's, by those names."""
    dim, scope = config.hidden_dim, "cls/predictions/transform"
    return {
        **_dense(scope, dim, dim),
        **_layer_norm(scope, dim),
        "cls/predictions/output_bias": (config.vocabulary_size,),
        "cls/seq_relationship/output_weights": (dim, 2),
        "cls/seq_relationship/output_bias": (2,),
    }


def _layer(scope: str, dim: int, intermediate_dim: int) -> Shapes:
    shapes: Shapes = {}
    for part in ("query", "key", "value"):
        shapes[f"{scope}/attention/self/{part}/kernel"] = (dim, dim)
        shapes[f"{scope}/attention/self/{part}/bias"] = (dim,)
    shapes |= _dense(f"{scope}/attention/output", dim, dim) | _layer_norm(f"{scope}/attention/output", dim)
    shapes |= _dense(f"{scope}/intermediate", dim, intermediate_dim)
    return shapes | _dense(f"{scope}/output", intermediate_dim, dim) | _layer_norm(f"{scope}/output", dim)


def _dense(scope: str, inputs: int, outputs: int) -> Shapes:
    return {f"{scope}/dense/kernel": (inputs, outputs), f"{scope}/dense/bias": (outputs,)}


def _layer_norm(scope: str, dim: int) -> Shapes:
    return {f"{scope}/LayerNorm/gamma": (dim,), f"{scope}/LayerNorm/beta": (dim,)}
