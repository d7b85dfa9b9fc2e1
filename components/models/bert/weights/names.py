"""What the encoder's weights are called in Google's and in Hugging Face's checkpoints.

google-research/bert, modeling.py (variable scopes); transformers, modeling_bert.py (module names).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_EMBEDDINGS: Final = {
    "word_embeddings": "word_embeddings",
    "position_embeddings": "position_embeddings",
    "segment_embeddings": "token_type_embeddings",
    "layer_norm/gamma": "LayerNorm/gamma",
    "layer_norm/beta": "LayerNorm/beta",
}
_LAYER: Final = {
    "attention/query": "attention/self/query",
    "attention/key": "attention/self/key",
    "attention/value": "attention/self/value",
    "attention/output": "attention/output/dense",
    "attention_norm": "attention/output/LayerNorm",
    "intermediate": "intermediate/dense",
    "output": "output/dense",
    "output_norm": "output/LayerNorm",
}
# Heads, the optimizer's state and buffers: expected in checkpoints, and no part of an encoder.
GOOGLE_EXTRA: Final = re.compile(
    r"(cls/|bert/pooler/|output_weights$|output_bias$|global_step$)|.*/(adam_[mv]|Adam(_1)?)$"
)
HUGGINGFACE_EXTRA: Final = re.compile(
    r"(pooler|cls|classifier|qa_outputs)\.|embeddings\.(position|token_type)_ids$"
)
# Is left out where another objective than the next sentence trained the encoder.
POOLER: Final = ("bert/pooler/dense/kernel", "bert/pooler/dense/bias")
# Its name's beginning is that of all of the encoder's: "", "bert.", "module.bert.".
_MARK: Final = "embeddings.word_embeddings.weight"


def google_name(path: str) -> str | None:
    """Returns the name of the variable of a path in the Keras model; None if that is no part of the encoder.

    "layer_3/attention/query/kernel" -> "bert/encoder/layer_3/attention/self/query/kernel"
    """
    first, _, rest = path.partition("/")
    if first == "embeddings" and rest in _EMBEDDINGS:
        return f"bert/embeddings/{_EMBEDDINGS[rest]}"
    if first == "pooler":
        return f"bert/pooler/dense/{rest}"
    part, _, weight = rest.rpartition("/")
    return f"bert/encoder/{first}/{_LAYER[part]}/{weight}" if part in _LAYER else None


def huggingface_name(google: str) -> str:
    """Returns Google's name as BertModel has it.

    "bert/encoder/layer_3/attention/self/query/kernel" -> "encoder.layer.3.attention.self.query.weight"
    """
    name = re.sub(r"/layer_(\d+)/", r"/layer/\1/", google.removeprefix("bert/"))
    name = re.sub(r"/(kernel|gamma)$", "/weight", re.sub(r"/beta$", "/bias", name))
    name = f"{name}/weight" if name.endswith("_embeddings") else name
    return name.replace("/", ".")


def is_transposed(google: str) -> bool:
    """Whether Hugging Face's checkpoints hold the tensor as [out, in] where Google's are [in, out]."""
    return google.endswith("/kernel")


def huggingface_prefixes(stored: Iterable[str]) -> list[str]:
    """Returns what the names of each encoder among stored tensors begin with: ["bert."], or [""]."""
    return sorted(
        name.removesuffix(_MARK) for name in stored if re.search(rf"(^|\.){re.escape(_MARK)}$", name)
    )


def canonical_huggingface_name(stored: str, prefix: str) -> str:
    """Returns a stored name as BertModel has it now: "bert.a.LayerNorm.gamma" -> "a.LayerNorm.weight"."""
    name = stored.removeprefix(prefix)
    return re.sub(
        r"LayerNorm\.gamma$", "LayerNorm.weight", re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name)
    )
