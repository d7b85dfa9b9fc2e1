"""SQuAD's files with questions about made countries, people and things, which a few seeded rules write."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from components.formats.squad import V1, V2, Answer, Question, write_squad

_NUM_TRAIN: Final = 6000
_NUM_DEV: Final = 400
_QUESTIONS_PER_CONTEXT: Final = 4
# Of version 2.0's questions, as of the published ones.
_IMPOSSIBLE_SHARE: Final = 0.33
# Countries of a context, and how many contexts of 100 have so many. With one, the kind of fact that is asked
# for tells the answer, which is learned first; with two, its country does, too; with 16, there are more words
# than in a window of 384 tokens.
_CONTEXTS: Final = {1: 60, 2: 38, 16: 2}

_STARTS: Final = ("Ba", "Cor", "Del", "É", "Fen", "Gra", "Hö", "Il", "Ka", "Lu", "Mar", "Nor", "Öst", "Pra")
_ENDS: Final = ("land", "via", "nia", "stan", "mark", "burg", "ton", "ville", "são", "grad")
_FIRST_NAMES: Final = ("Anna", "Béla", "Chloé", "David", "Elif", "Frédéric", "Goran", "Håkon", "Inês", "José")
_LAST_NAMES: Final = (
    "Almási",
    "Brandt",
    "Costa",
    "Dvořák",
    "Eriksen",
    "Fuchs",
    "García",
    "Núñez",
    "Øverland",
)
_GOODS: Final = ("wool", "copper", "tea", "glass", "timber", "salt", "paper", "silk", "honey", "steel")
_RIVERS: Final = ("Ana", "Brenta", "Čava", "Duro", "Elva", "Fiora", "Göta", "Isar", "Jara", "Lys")
_COINS: Final = ("crown", "dinar", "ducat", "florin", "franc", "guilder", "mark", "rouble", "thaler", "złoty")
_BIRDS: Final = ("crane", "eagle", "falcon", "heron", "lark", "owl", "raven", "stork", "swallow", "swan")
_HAN: Final = ("青山", "白川", "東京湾", "長江", "金沢", "南海", "花蓮", "大理", "平原", "石門")


class _Kind(NamedTuple):
    """A kind of fact: how it is told, how it is asked for, and what may fill it."""

    sentence: str
    question: str
    values: Sequence[str]


class _Fact(NamedTuple):
    """What is said of a subject."""

    kind: _Kind
    subject: str
    value: str

    @property
    def sentence(self) -> str:
        """The fact as a sentence of a context."""
        return self.kind.sentence.format(subject=self.subject, value=self.value)


_PEOPLE: Final = [f"{first} {last}" for first in _FIRST_NAMES for last in _LAST_NAMES]
_CITIES: Final = [f"{start}{end}" for start in _STARTS for end in ("polis", "haven", "ford", "mouth", "cé")]
_KINDS: Final = (
    _Kind("The capital of {subject} is {value}.", "What is the capital of {subject}?", _CITIES),
    _Kind("{subject} is ruled by {value}.", "Who rules {subject}?", _PEOPLE),
    _Kind("{subject} was founded in {value}.", "When was {subject} founded?", [*map(str, range(900, 1990))]),
    _Kind("The main export of {subject} is {value}.", "What is the main export of {subject}?", _GOODS),
    _Kind("{subject} lies on the river {value}.", "On which river does {subject} lie?", _RIVERS),
    _Kind("The Chinese name of {subject} is {value}.", "What is the Chinese name of {subject}?", _HAN),
    _Kind("The currency of {subject} is the {value}.", "What is the currency of {subject}?", _COINS),
    _Kind(
        "The national bird of {subject} is the {value}.", "What is the national bird of {subject}?", _BIRDS
    ),
)


def make_squad(out_dir: Path, seed: int = 0, version: str = V1) -> None:
    """Writes train-v1.1.json (6,000 questions) and dev-v1.1.json (400), or the same with v2.0.

    Each answer is a part of a context that tells facts about one country or several, so that it takes the
    question to find it. One context in 50 is longer than a window of 384 tokens. Questions of dev have
    three answers; with version 2.0, a third of all have none, as their fact is not told.
    """
    generator = random.Random(seed)
    for name, count, num_answers in (("train", _NUM_TRAIN, 1), ("dev", _NUM_DEV, 3)):
        questions = _questions(name, count, num_answers, version, generator)
        write_squad(out_dir / f"{name}-v{version}.json", questions, version)


def make_squad_v2(out_dir: Path) -> None:
    """Writes train-v2.0.json and dev-v2.0.json."""
    make_squad(out_dir, version=V2)


def _questions(
    name: str, count: int, num_answers: int, version: str, generator: random.Random
) -> Iterator[Question]:
    for number in range(count):
        if number % _QUESTIONS_PER_CONTEXT == 0:
            told, untold = _choose_facts(generator)
            context = " ".join(fact.sentence for fact in told)
            asked = generator.sample(told, _QUESTIONS_PER_CONTEXT)
        is_impossible = version == V2 and bool(untold) and generator.random() < _IMPOSSIBLE_SHARE
        fact = untold.pop() if is_impossible else asked.pop()
        yield Question(
            where="",
            id=f"{name}-{number}",
            title=told[0].subject,
            context=context,
            question=fact.kind.question.format(subject=fact.subject),
            answers=() if is_impossible else _answers(fact, context, num_answers),
            is_impossible=is_impossible,
        )


def _choose_facts(generator: random.Random) -> tuple[list[_Fact], list[_Fact]]:
    """Returns facts to be told, in any order, and others of the same countries."""
    (count,) = generator.choices(list(_CONTEXTS), list(_CONTEXTS.values()))
    countries = generator.sample(_COUNTRIES, count)
    facts = [_Fact(kind, country, generator.choice(kind.values)) for country in countries for kind in _KINDS]
    generator.shuffle(facts)
    num_told = 2 * len(facts) // 3
    return facts[:num_told], facts[num_told:]


def _answers(fact: _Fact, context: str, count: int) -> tuple[Answer, ...]:
    """Returns what one or three people have marked: the value, and one of them the full stop, too."""
    start = context.index(fact.sentence) + fact.sentence.rindex(fact.value)
    texts = [fact.value, fact.value, f"{fact.value}."]
    return tuple(Answer(text, start) for text in texts[:count])


_COUNTRIES: Final = [f"{start}{end}" for start in _STARTS for end in _ENDS]
