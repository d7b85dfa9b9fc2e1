"""The side of `bert_training.py` that runs `transformers`, in an environment of its own.

Reads lines "length steps" from its standard input, and answers each with the seconds of a step.
"""

import sys
import time

import numpy as np
import torch
from transformers import BertForSequenceClassification


def main(checkpoint: str, batch_size: int, threads: int) -> None:
    """Answers until its input ends."""
    torch.set_num_threads(threads)
    # Its attention is PyTorch's fused one by default.
    model = BertForSequenceClassification.from_pretrained(checkpoint, num_labels=2).train()
    decayed = [weight for weight in model.parameters() if weight.ndim > 1]
    others = [weight for weight in model.parameters() if weight.ndim == 1]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=2e-5, eps=1e-6, fused=True)
    for line in sys.stdin:
        length, steps = map(int, line.split())
        batch = make_batch(batch_size, length, model.config.vocab_size)
        start = time.perf_counter()
        for _ in range(steps):
            optimizer.zero_grad()
            model(**batch).loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        print((time.perf_counter() - start) / steps, flush=True)


def make_batch(batch_size: int, length: int, vocabulary_size: int) -> dict[str, torch.Tensor]:
    """Returns the inputs of a batch; bert_training.py makes the same."""
    token_ids = np.random.default_rng(length).integers(vocabulary_size, size=(batch_size, length))
    return {
        "input_ids": torch.tensor(token_ids),
        "token_type_ids": torch.zeros(batch_size, length, dtype=torch.int64),
        "attention_mask": torch.ones(batch_size, length, dtype=torch.int64),
        "labels": torch.arange(batch_size) % 2,
    }


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
