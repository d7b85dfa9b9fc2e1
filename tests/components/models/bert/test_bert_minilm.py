"""The encoder with real weights, against a forward pass that is written anew: NumPy, float64, no batches."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from components.features import PADDING_MASK, SEGMENT_IDS, TOKEN_IDS
from components.models.bert.encoder import POOLED_OUTPUT, SEQUENCE_OUTPUT, build_encoder
from components.models.bert.weights.checkpoint import BertCheckpoint


def read_weights(folder: Path) -> dict[str, Any]:
    """Reads float32 tensors without the project's reader."""
    content = (folder / "model.safetensors").read_bytes()
    size = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8 : 8 + size]), content[8 + size :]
    return {
        name: np.frombuffer(data[slice(*entry["data_offsets"])], np.float32)
        .reshape(entry["shape"])
        .astype(float)
        for name, entry in header.items()
        if entry.get("dtype") == "F32"
    }


def normalize(x: Any, w: dict[str, Any], name: str) -> Any:
    centred = x - x.mean(axis=-1, keepdims=True)
    spread = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-12)
    return centred / spread * w[f"{name}.LayerNorm.weight"] + w[f"{name}.LayerNorm.bias"]


def affine(x: Any, w: dict[str, Any], name: str) -> Any:
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def attention(x: Any, w: dict[str, Any], name: str, num_heads: int) -> Any:
    """Each head by itself: its columns of query, key and value."""
    query, key, value = (affine(x, w, f"{name}.self.{part}") for part in ("query", "key", "value"))
    width = x.shape[-1] // num_heads
    heads = []
    for head in range(num_heads):
        columns = slice(head * width, (head + 1) * width)
        scores = np.exp(query[:, columns] @ key[:, columns].T / math.sqrt(width))
        heads.append(scores / scores.sum(axis=-1, keepdims=True) @ value[:, columns])
    return affine(np.concatenate(heads, axis=-1), w, f"{name}.output.dense")


def forward(w: dict[str, Any], ids: Any, segments: Any, num_layers: int, num_heads: int) -> tuple[Any, Any]:
    """Returns the outputs at each token and the pooled output of one text."""
    erf = np.vectorize(math.erf)
    words = (w[f"embeddings.{name}.weight"] for name in ("word_embeddings", "token_type_embeddings"))
    word, kind = words
    x = normalize(
        word[ids] + kind[segments] + w["embeddings.position_embeddings.weight"][: len(ids)], w, "embeddings"
    )
    for number in range(num_layers):
        name = f"encoder.layer.{number}"
        x = normalize(x + attention(x, w, f"{name}.attention", num_heads), w, f"{name}.attention.output")
        inner = affine(x, w, f"{name}.intermediate.dense")
        inner = inner * (1 + erf(inner / math.sqrt(2))) / 2
        x = normalize(x + affine(inner, w, f"{name}.output.dense"), w, f"{name}.output")
    return x, np.tanh(affine(x[0], w, "pooler.dense"))


def test_real_weights_give_the_numbers_of_the_other_implementation(minilm: Path) -> None:
    checkpoint = BertCheckpoint.find(str(minilm))
    encoder = build_encoder(checkpoint.config())
    checkpoint.load(encoder)
    # "[CLS] the book was read by me . [SEP] ok [SEP]", and a shorter text that is filled up.
    ids = np.array(
        [[101, 1996, 2338, 2001, 3191, 2011, 2033, 1012, 102, 7929, 102], [101, 7929, 102] + [0] * 8]
    )
    segments = np.array([[0] * 9 + [1] * 2, [0] * 11])
    mask = (np.arange(11) < [[11], [3]]).astype(int)
    outputs = encoder({TOKEN_IDS: ids, SEGMENT_IDS: segments, PADDING_MASK: mask})
    weights = read_weights(minilm)
    for row, length in enumerate([11, 3]):
        sequence, pooled = forward(
            weights, ids[row, :length], segments[row, :length], num_layers=6, num_heads=12
        )
        np.testing.assert_allclose(outputs[SEQUENCE_OUTPUT][row, :length], sequence, atol=1e-5)
        np.testing.assert_allclose(outputs[POOLED_OUTPUT][row], pooled, atol=1e-5)
