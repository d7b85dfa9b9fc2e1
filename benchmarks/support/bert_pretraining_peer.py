"""The side of `pretraining.py` that is `transformers`, in an environment of its own.

Reads lines of JSON, and answers each: {"logits", "out"}, two .npz files, with the weights that were not found
or not known, when the logits of a batch are written; {"steps", "gathered"} with the seconds of a training
step on that batch, by the clock and of all threads.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from transformers import BertForPreTraining


def main(folder: Path) -> None:
    """Answers until its input ends."""
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    model, info = BertForPreTraining.from_pretrained(folder, output_loading_info=True)
    step = make_step(model)
    batch: dict[str, torch.Tensor] = {}
    for line in sys.stdin:
        asked = json.loads(line)
        answer: Any
        if "logits" in asked:
            batch = {name: torch.tensor(value) for name, value in np.load(asked["logits"]).items()}
            np.savez(asked["out"], **logits_of(model.eval(), batch))
            answer = {"missing": list(info["missing_keys"]), "unexpected": list(info["unexpected_keys"])}
        else:
            answer = timed(step, batch, **asked)
        print(json.dumps(answer), file=sys.__stdout__, flush=True)


def inputs_of(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {
        "input_ids": batch["token_ids"],
        "token_type_ids": batch["segment_ids"],
        "attention_mask": batch["padding_mask"],
    }


def logits_of(model: BertForPreTraining, batch: dict[str, torch.Tensor]) -> dict[str, Any]:
    """Returns the logits at masked positions and those of pairs."""
    with torch.no_grad():
        found = model(**inputs_of(batch))
    return {
        "masked_lm": taken(found.prediction_logits, batch).numpy(),
        "next_sentence": found.seq_relationship_logits.numpy(),
    }


def taken(values: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Returns the values at masked positions: [batch, length, dim] -> [batch, k, dim]."""
    return values[torch.arange(len(values))[:, None], batch["masked_positions"]]


def make_step(model: BertForPreTraining) -> Any:
    """Returns a function that takes a training step."""
    decayed = [weight for weight in model.parameters() if weight.ndim > 1]
    others = [weight for weight in model.parameters() if weight.ndim == 1]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-4, eps=1e-6, fused=True)

    def step(batch: dict[str, torch.Tensor], gathered: bool) -> None:
        optimizer.zero_grad()
        (gathered_loss if gathered else whole_loss)(model, batch).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def whole_loss(model: BertForPreTraining, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Returns the loss as the model computes it, of the logits of all tokens."""
    labels = torch.full_like(batch["token_ids"], -100)
    labels.scatter_(1, batch["masked_positions"], batch["masked_ids"])
    # The class 0 is that the second text follows.
    pairs = 1 - batch["is_next"]
    return model(**inputs_of(batch), labels=labels, next_sentence_label=pairs).loss


def gathered_loss(model: BertForPreTraining, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Returns the same loss, of the logits of masked tokens alone."""
    found = model.bert(**inputs_of(batch))
    masked, pairs = model.cls(taken(found.last_hidden_state, batch), found.pooler_output)
    masked_loss = cross_entropy(masked.flatten(0, 1), batch["masked_ids"].flatten())
    return masked_loss + cross_entropy(pairs, 1 - batch["is_next"])


def timed(step: Any, batch: dict[str, torch.Tensor], steps: int, gathered: bool) -> tuple[float, float]:
    start, cpu = time.perf_counter(), time.process_time()
    for _ in range(steps):
        step(batch, gathered)
    return (time.perf_counter() - start) / steps, (time.process_time() - cpu) / steps


if __name__ == "__main__":
    # What libraries print is not to be taken for an answer.
    sys.stdout = sys.stderr
    main(Path(sys.argv[1]))
