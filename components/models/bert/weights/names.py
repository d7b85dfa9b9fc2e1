"""What the weights of encoder and heads are called in Google's and in Hugging Face's checkpoints.

google-research/bert, modeling.py (variable scopes); transformers, modeling_bert.py (module names).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
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
# The heads that an encoder is trained with (components/models/bert/pretraining.py); run_pretraining.py.
_HEADS: Final = {
    "masked_lm/dense/kernel": "cls/predictions/transform/dense/kernel",
    "masked_lm/dense/bias": "cls/predictions/transform/dense/bias",
    "masked_lm/layer_norm/gamma": "cls/predictions/transform/LayerNorm/gamma",
    "masked_lm/layer_norm/beta": "cls/predictions/transform/LayerNorm/beta",
    "masked_lm/output_bias": "cls/predictions/output_bias",
    "next_sentence/kernel": "cls/seq_relationship/output_weights",
    "next_sentence/bias": "cls/seq_relationship/output_bias",
}
# Heads, the optimizer's state and buffers: expected in checkpoints, and no part of an encoder.
GOOGLE_EXTRA: Final = re.compile(
    r"(cls/|bert/pooler/|output_weights$|output_bias$|global_step$)|.*/(adam_[mv]|Adam(_1)?)$"
)
HUGGINGFACE_EXTRA: Final = re.compile(
    r"(pooler|cls|classifier|qa_outputs)\.|embeddings\.(position|token_type)_ids$"
)
# What is left out where other objectives trained the encoder, in words.
OPTIONAL: Final[Mapping[str, tuple[str, ...]]] = {
    "pooler": ("bert/pooler/dense/kernel", "bert/pooler/dense/bias"),
    "head for masked words": tuple(name for name in _HEADS.values() if "/predictions/" in name),
    "head for the next sentence": tuple(name for name in _HEADS.values() if "/seq_relationship/" in name),
}
# Endings of the names of what is stored as [out, in] where Keras has [in, out].
GOOGLE_TRANSPOSED: Final = ("/output_weights",)
HUGGINGFACE_TRANSPOSED: Final = ("/kernel", "/output_weights")
# Its name's beginning is that of all of the encoder's: "", "bert.", "module.bert.".
_MARK: Final = "embeddings.word_embeddings.weight"


def google_name(path: str) -> str | None:
    """Returns the name of the variable of a path in the Keras model; None if checkpoints have none for it.

    "layer_3/attention/query/kernel" -> "bert/encoder/layer_3/attention/self/query/kernel"
    """
    if path in _HEADS:
        return _HEADS[path]
    first, _, rest = path.partition("/")
    if first == "embeddings" and rest in _EMBEDDINGS:
        return f"bert/embeddings/{_EMBEDDINGS[rest]}"
    if first == "pooler":
        return f"bert/pooler/dense/{rest}"
    part, _, weight = rest.rpartition("/")
    return f"bert/encoder/{first}/{_LAYER[part]}/{weight}" if part in _LAYER else None


def huggingface_name(google: str) -> str:
    """Returns Google's name as BertModel has it, or that of a head as BertForPreTraining has it.

    "bert/encoder/layer_3/attention/self/query/kernel" -> "encoder.layer.3.attention.self.query.weight"
    """
    name = re.sub(r"/layer_(\d+)/", r"/layer/\1/", google.removeprefix("bert/"))
    name = re.sub(r"/(output_bias|beta)$", "/bias", name)
    name = re.sub(r"/(output_weights|kernel|gamma)$", "/weight", name)
    name = f"{name}/weight" if name.endswith("_embeddings") else name
    return name.replace("/", ".")


def is_of_head(name: str) -> bool:
    """Whether a name of either kind is that of a head."""
    return name.startswith(("cls/", "cls."))


def huggingface_prefixes(stored: Iterable[str]) -> list[str]:
    """Returns what the names of each encoder among stored tensors begin with: ["bert."], or [""]."""
    return sorted(
        name.removesuffix(_MARK) for name in stored if re.search(rf"(^|\.){re.escape(_MARK)}$", name)
    )


def canonical_huggingface_name(stored: str, prefix: str) -> str:
    """Returns a stored name as BertModel has it now: "bert.a.LayerNorm.gamma" -> "a.LayerNorm.weight".

    Heads stand beside the encoder: "module.cls.predictions.bias" beside "module.bert.", its prefix.
    """
    beside = stored.removeprefix(prefix.removesuffix("bert."))
    name = beside if is_of_head(beside) else stored.removeprefix(prefix)
    return re.sub(
        r"LayerNorm\.gamma$", "LayerNorm.weight", re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name)
    )
