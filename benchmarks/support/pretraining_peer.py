"""The side of `pretraining_input.py` that prepares texts as run_mlm.py of `transformers` does.

An own re-enactment without `datasets`, in an environment of its own: lines in thousands through the fast
tokenizer, all ids in a row cut into sequences of one length, then masked by the collator in batches.
Prints figures as JSON: `python pretraining_peer.py CORPUS VOCABULARY COPIES`.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from children import measured
from transformers import BertTokenizerFast, DataCollatorForLanguageModeling

MAX_LENGTH = 128
LINES = 1000
BATCH_SIZE = 32


def main(corpus: Path, vocabulary: Path, copies: int) -> None:
    """Prints sentences, examples, seconds and memory."""
    tokenizer = BertTokenizerFast(str(vocabulary), do_lower_case=True, model_max_length=10**9)
    collate = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15)
    counts = {"sentences": 0, "examples": 0}

    def make() -> None:
        text = corpus.read_text(encoding="utf-8")
        lines = [line for line in text.splitlines() if line.strip()] * copies
        counts["sentences"] = len(lines)
        grouped = [each for batch in batches(lines, LINES) for each in sequences(tokenizer, batch)]
        for batch in batches(grouped, BATCH_SIZE):
            counts["examples"] += len(collate(batch)["input_ids"])

    tokenizer(["Once, so that what starts once is left out."])
    got = measured(make)
    print(json.dumps({**counts, **got}))


def sequences(tokenizer: BertTokenizerFast, lines: Sequence[str]) -> list[dict[str, list[int]]]:
    """Returns the sequences of full length of some lines; what is left over is dropped."""
    encoded = tokenizer(list(lines), return_special_tokens_mask=True)
    rows = {key: list(chain.from_iterable(values)) for key, values in encoded.items()}
    total = len(rows["input_ids"]) // MAX_LENGTH * MAX_LENGTH
    return [
        {key: values[start : start + MAX_LENGTH] for key, values in rows.items()}
        for start in range(0, total, MAX_LENGTH)
    ]


def batches(rows: Sequence, size: int) -> Iterator[Sequence]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
