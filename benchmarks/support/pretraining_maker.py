"""The side of `pretraining_input.py` that makes examples as google-research/bert did, all of them in memory.

An own re-enactment of the rules of create_pretraining_data.py, with a tokenizer in plain Python on one core.
Prints figures as JSON: `python pretraining_maker.py --child CORPUS VOCABULARY COPIES`.
"""

import json
import random
import sys
import tempfile
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import tensorflow as tf
from children import measured

MAX_LENGTH = 128
MAX_PREDICTIONS = 20
MASKED_SHARE = 0.15
SHORT_SHARE = 0.1
# Times that another document is looked for.
TRIES = 10
IDEOGRAPHS = (
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
)  # fmt: skip

Sentence = list[str]
Document = list[Sentence]


class Instance(NamedTuple):
    """A sequence of two texts in which tokens are masked."""

    tokens: list[str]
    segment_ids: list[int]
    is_random_next: bool
    positions: list[int]
    labels: list[str]


class Tokenizer:
    """Basic tokenization character by character, then the longest piece first."""

    def __init__(self, path: Path) -> None:
        lines = path.read_text(encoding="utf-8").splitlines()
        self.ids = {line.strip(): number for number, line in enumerate(lines)}
        self.tokens = list(self.ids)

    def tokenize(self, text: str) -> Sentence:
        return [piece for word in words_of(text) for piece in self.pieces(word)]

    def pieces(self, word: str) -> Sentence:
        found: Sentence = []
        start = 0
        while start < len(word):
            end = next((end for end in range(len(word), start, -1) if self._piece(word, start, end)), None)
            if end is None or len(word) > 200:
                return ["[UNK]"]
            found.append(self._piece(word, start, end) or "")
            start = end
        return found

    def _piece(self, word: str, start: int, end: int) -> str | None:
        piece = f"##{word[start:end]}" if start else word[:end]
        return piece if piece in self.ids else None


def words_of(text: str) -> Iterator[str]:
    """Yields words without accents in lower case, and punctuation on its own; a pass for each rule."""
    cleaned = "".join(" " if _is_space(char) else char for char in text if not _is_removed(char))
    spaced = "".join(f" {char} " if _is_ideograph(char) else char for char in cleaned)
    for word in spaced.split():
        letters = unicodedata.normalize("NFD", word.lower())
        bare = "".join(char for char in letters if unicodedata.category(char) != "Mn")
        yield from "".join(f" {char} " if _is_punctuation(char) else char for char in bare).split()


def _is_space(char: str) -> bool:
    return char in " \t\n\r" or unicodedata.category(char) == "Zs"


def _is_removed(char: str) -> bool:
    if char in "\t\n\r":
        return False
    return char in "\0\ufffd" or unicodedata.category(char) in ("Cc", "Cf")


def _is_ideograph(char: str) -> bool:
    return any(first <= ord(char) <= last for first, last in IDEOGRAPHS)


def _is_punctuation(char: str) -> bool:
    code = ord(char)
    if 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126:
        return True
    return unicodedata.category(char).startswith("P")


def read_documents(path: Path, copies: int, tokenizer: Tokenizer) -> list[Document]:
    documents: list[Document] = [[]]
    for _ in range(copies):
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                if not line.strip():
                    documents.append([])
                elif tokens := tokenizer.tokenize(line):
                    documents[-1].append(tokens)
        documents.append([])
    return [document for document in documents if document]


def instances_of(
    documents: Sequence[Document], index: int, tokens: Sequence[str], generator: random.Random
) -> Iterator[Instance]:
    """Yields the instances of one document: chunks of about the full length, each in two."""
    document, most = documents[index], MAX_LENGTH - 3
    target = generator.randint(2, most) if generator.random() < SHORT_SHARE else most
    chunk: list[Sentence] = []
    place = 0
    while place < len(document):
        chunk.append(document[place])
        if place == len(document) - 1 or sum(map(len, chunk)) >= target:
            cut = generator.randint(1, len(chunk) - 1) if len(chunk) > 1 else 1
            first = [token for sentence in chunk[:cut] for token in sentence]
            is_random = len(chunk) == 1 or generator.random() < 0.5
            if is_random:
                second = random_next(documents, index, target - len(first), generator)
                # What was not used comes once more.
                place -= len(chunk) - cut
            else:
                second = [token for sentence in chunk[cut:] for token in sentence]
            truncate(first, second, most, generator)
            yield masked(first, second, is_random, tokens, generator)
            chunk = []
        place += 1


def random_next(documents: Sequence[Document], index: int, length: int, generator: random.Random) -> Sentence:
    """Returns sentences from a random place of another document on, until they are long enough."""
    chosen = index
    for _ in range(TRIES):
        chosen = generator.randint(0, len(documents) - 1)
        if chosen != index:
            break
    found: Sentence = []
    for sentence in documents[chosen][generator.randint(0, len(documents[chosen]) - 1) :]:
        found.extend(sentence)
        if len(found) >= length:
            break
    return found


def truncate(first: Sentence, second: Sentence, most: int, generator: random.Random) -> None:
    """Takes tokens from either end of the longer text until both fit."""
    while len(first) + len(second) > most:
        longer = first if len(first) > len(second) else second
        longer.pop(0 if generator.random() < 0.5 else -1)


def masked(
    first: Sentence, second: Sentence, is_random: bool, tokens: Sequence[str], generator: random.Random
) -> Instance:
    sequence = ["[CLS]", *first, "[SEP]", *second, "[SEP]"]
    segment_ids = [0] * (len(first) + 2) + [1] * (len(second) + 1)
    candidates = [place for place, token in enumerate(sequence) if token not in ("[CLS]", "[SEP]")]
    generator.shuffle(candidates)
    count = min(MAX_PREDICTIONS, max(1, round(len(sequence) * MASKED_SHARE)))
    positions = sorted(candidates[:count])
    labels = [sequence[place] for place in positions]
    for place in positions:
        if generator.random() < 0.8:
            sequence[place] = "[MASK]"
        elif generator.random() >= 0.5:
            sequence[place] = generator.choice(tokens)
    return Instance(sequence, segment_ids, is_random, positions, labels)


def to_example(instance: Instance, ids: dict[str, int]) -> bytes:
    length, count = len(instance.tokens), len(instance.positions)
    filling, unused = [0] * (MAX_LENGTH - length), [0] * (MAX_PREDICTIONS - count)
    lists = {
        "input_ids": [ids[token] for token in instance.tokens] + filling,
        "input_mask": [1] * length + filling,
        "segment_ids": instance.segment_ids + filling,
        "masked_lm_positions": instance.positions + unused,
        "masked_lm_ids": [ids[token] for token in instance.labels] + unused,
        "next_sentence_labels": [int(instance.is_random_next)],
    }
    features = {
        key: tf.train.Feature(int64_list=tf.train.Int64List(value=values)) for key, values in lists.items()
    }
    weights = tf.train.FloatList(value=[1.0] * count + [0.0] * len(unused))
    features["masked_lm_weights"] = tf.train.Feature(float_list=weights)
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def main(corpus: Path, vocabulary: Path, copies: int) -> None:
    counts = {"sentences": 0, "examples": 0}

    def make() -> None:
        generator, tokenizer = random.Random(12345), Tokenizer(vocabulary)
        documents = read_documents(corpus, copies, tokenizer)
        generator.shuffle(documents)
        instances = [
            instance
            for index in range(len(documents))
            for instance in instances_of(documents, index, tokenizer.tokens, generator)
        ]
        generator.shuffle(instances)
        with tempfile.NamedTemporaryFile() as file, tf.io.TFRecordWriter(file.name) as writer:
            for instance in instances:
                writer.write(to_example(instance, tokenizer.ids))
        counts.update(sentences=sum(map(len, documents)), examples=len(instances))

    got = measured(make)
    print(json.dumps({**counts, **got}))


if __name__ == "__main__":
    main(Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
