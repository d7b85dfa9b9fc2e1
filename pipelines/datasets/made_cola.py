"""CoLA's files with sentences of a small seeded grammar, and with the same gone wrong."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from components.formats.tsv import write_tsv

Row = tuple[str, ...]

# Determiners, transitive and intransitive verbs: the form that agrees with one, and with many.
_DETERMINERS: Final = (
    ["the", "a", "this", "every", "each", "one"],
    ["the", "these", "those", "many", "several", "two"],
)
NOUNS: Final = [
    "teacher",
    "doctor",
    "farmer",
    "singer",
    "driver",
    "painter",
    "sailor",
    "baker",
    "lawyer",
    "writer",
    "king",
    "queen",
    "boy",
    "girl",
    "nurse",
    "pilot",
]
_TRANSITIVE: Final = [
    "admire",
    "follow",
    "help",
    "visit",
    "greet",
    "praise",
    "trust",
    "ignore",
    "thank",
    "hire",
    "meet",
    "call",
]
_INTRANSITIVE: Final = ["sleep", "smile", "arrive", "laugh", "wait", "cough", "work", "fall"]
_INVARIABLE: Final = {
    "A": ["tall", "old", "young", "happy", "famous", "rich", "poor", "quiet"],
    "P": ["near", "behind", "beside", "above"],
    "R": ["today", "again", "here", "outside", "now", "twice"],
    "who": ["who"],
}

# A sentence is a subject and a predicate. Determiner, Noun, Transitive and Intransitive verb agree within
# their number; Adjective, Preposition and adveRb are invariable.
_SUBJECTS: Final = (
    "D1 N1",
    "D1 A N1",
    "D1 N1 P D2 N2",
    "D1 N1 who I1",
    "D1 N1 who T1 D2 N2",
    "D1 N1 who D2 N2 T2",
)
_PREDICATES: Final = ("I1", "I1 R", "T1 D3 N3", "T1 D3 A N3", "T1 D3 N3 R", "T1 D3 N3 P D4 N4")
_TEMPLATES: Final = tuple(
    tuple(f"{subject} {predicate}".split()) for subject in _SUBJECTS for predicate in _PREDICATES
)
_MAX_WORDS: Final = 12
_MIN_WORDS: Final = 4


class _Word(NamedTuple):
    """A word, its category, and for what agrees its other form."""

    text: str
    category: str
    other: str | None = None


Sentence = list[_Word]


def make_cola(out_dir: Path, seed: int = 0) -> None:
    """Writes train.tsv (4,000 sentences), dev.tsv (500) and test.tsv (100), half of them ungrammatical.

    An ungrammatical sentence is a grammatical one with its words in an order that the grammar does not
    have, or with one verb or determiner that does not agree. Neither changes its length, and the forms
    are chosen evenly, so that which words a sentence has says nothing.
    """
    generator = random.Random(seed)
    rows = list(itertools.islice(unique(lambda: _cola_row(generator)), 4600))
    write_tsv(out_dir / "train.tsv", rows[:4000])
    write_tsv(out_dir / "dev.tsv", rows[4000:4500])
    test = [(str(index), row[-1]) for index, row in enumerate(rows[4500:])]
    write_tsv(out_dir / "test.tsv", [("index", "sentence"), *test])


def _cola_row(generator: random.Random) -> Row:
    acceptable = generator.random() < 0.5
    sentence = _grammatical(generator)
    if not acceptable:
        sentence = _ungrammatical(sentence, generator)
    text = " ".join(word.text for word in sentence)
    # Source, label, author's mark, sentence.
    return ("made", str(int(acceptable)), "" if acceptable else "*", f"{text[0].upper()}{text[1:]}.")


def _grammatical(generator: random.Random) -> Sentence:
    template = generator.choice([t for t in _TEMPLATES if _MIN_WORDS <= len(t) <= _MAX_WORDS])
    numbers = [generator.randrange(2) for _ in range(5)]
    return [_choose_word(slot, numbers, generator) for slot in template]


def _choose_word(slot: str, numbers: Sequence[int], generator: random.Random) -> _Word:
    """Returns a word for a slot such as "N2": a noun of the second number."""
    if slot in _INVARIABLE:
        return _Word(generator.choice(_INVARIABLE[slot]), slot)
    category, number = slot[0], numbers[int(slot[1])]
    forms = _forms(category, generator)
    # Nouns stay as they are: verbs and determiners are what fails to agree.
    return _Word(forms[number], category, None if category == "N" else forms[1 - number])


def _forms(category: str, generator: random.Random) -> tuple[str, str]:
    """Returns a noun's singular and plural, or the forms that agree with them."""
    if category == "D":
        singular, plural = (generator.choice(words) for words in _DETERMINERS)
        return singular, plural
    if category == "N":
        noun = generator.choice(NOUNS)
        return noun, f"{noun}s"
    verb = generator.choice(_TRANSITIVE if category == "T" else _INTRANSITIVE)
    return f"{verb}s", verb


def _ungrammatical(sentence: Sentence, generator: random.Random) -> Sentence:
    while True:
        (fault,) = generator.choices(list(_FAULTS), list(_FAULTS.values()))
        broken = fault(list(sentence), generator)
        if broken is not None:
            return broken


def _disagree(sentence: Sentence, generator: random.Random) -> Sentence | None:
    # "The" agrees with everything.
    choices = [i for i, word in enumerate(sentence) if word.other not in (None, "the")]
    if not choices:
        return None
    index = generator.choice(choices)
    sentence[index] = sentence[index]._replace(text=sentence[index].other or "")
    return sentence


def _swap(sentence: Sentence, generator: random.Random) -> Sentence | None:
    index = generator.randrange(len(sentence) - 1)
    sentence[index : index + 2] = sentence[index + 1], sentence[index]
    return None if _is_in_order(sentence) else sentence


def _move(sentence: Sentence, generator: random.Random) -> Sentence | None:
    word = sentence.pop(generator.randrange(len(sentence)))
    sentence.insert(generator.randrange(len(sentence) + 1), word)
    return None if _is_in_order(sentence) else sentence


def _shuffle(sentence: Sentence, generator: random.Random) -> Sentence | None:
    generator.shuffle(sentence)
    return None if _is_in_order(sentence) else sentence


# By weight: most are scrambled, since a small model learns from 4,000 sentences what is out of place
# far sooner than what does not agree.
_FAULTS: Final = {_disagree: 1, _swap: 1, _move: 2, _shuffle: 8}


# What English allows of the words, by their categories, is more than what the templates have.
_NOUN_PHRASE: Final = "DN(PDN)*"
_ANY_PHRASE: Final = f"{_NOUN_PHRASE}(w(I(PDN)*|T{_NOUN_PHRASE}|{_NOUN_PHRASE}T))?"
_IN_ORDER: Final = re.compile(f"(PDN)*{_ANY_PHRASE}(I|T{_ANY_PHRASE})(PDN)*")


def _is_in_order(sentence: Sentence) -> bool:
    """Returns whether this may be a sentence; adverbs may stand anywhere, adjectives before nouns."""
    categories = "".join(word.category[0] for word in sentence)
    return bool(_IN_ORDER.fullmatch(categories.replace("R", "").replace("AN", "N")))


def unique(make: Callable[[], Row]) -> Iterator[Row]:
    """Yields rows no two of which end in the same texts."""
    seen = set()
    while True:
        row = make()
        if row[-2:] not in seen:
            seen.add(row[-2:])
            yield row
