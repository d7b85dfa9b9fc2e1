"""A corpus of made documents: what a few seeded rules tell about people, their towns and their animals.

What a masked word is follows from its sentence (verbs, pronouns and numbers agree), from the sentences around
it (a person keeps the same work, town and animals), or from all documents (which town is in which country,
and who makes what). What a sentence is about tells whether it is of the same document as another.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from components import files

_NUM_DOCUMENTS: Final = 2000
# Sentences of a document.
_LENGTHS: Final = (8, 12)

_WOMEN: Final = ("Anna", "Clara", "Elif", "Greta", "Ida", "Karen", "Maria", "Olga", "Rosa", "Vera")
_MEN: Final = ("Ben", "David", "Frank", "Hugo", "Jonas", "Leo", "Nils", "Paul", "Simon", "Tom")
# What never differs: the country of a town, and what is made by those of a trade.
_COUNTRIES: Final[Mapping[str, str]] = {
    "Arden": "Norland",
    "Brook": "Norland",
    "Colby": "Norland",
    "Dunmore": "Westmark",
    "Elton": "Westmark",
    "Farley": "Westmark",
    "Glenn": "Ostia",
    "Harlow": "Ostia",
    "Ilford": "Ostia",
    "Kelso": "Sudonia",
}
_GOODS: Final[Mapping[str, str]] = {
    "baker": "bread",
    "brewer": "beer",
    "carpenter": "tables",
    "cobbler": "shoes",
    "potter": "cups",
    "smith": "knives",
    "tailor": "coats",
    "weaver": "cloth",
}
_ANIMALS: Final = ("cat", "dog", "goat", "horse", "hen", "cow", "duck", "donkey")
_COLOURS: Final = ("black", "white", "grey", "brown", "red", "spotted")
_PLACES: Final = ("river", "church", "market", "bridge", "garden", "gate", "well", "mill")
_VERBS: Final = ("sleep", "wait", "play", "rest", "run", "stand")
_TIMES: Final = ("morning", "evening", "summer", "winter")


class _Story(NamedTuple):
    """Whom a document is about, and what does not change in it."""

    name: str
    is_woman: bool
    trade: str
    town: str
    animal: str
    colour: str
    # One animal, or two.
    is_one: bool
    place: str

    @property
    def they(self) -> str:
        """The animals: "dog" or "dogs"."""
        return self.animal if self.is_one else f"{self.animal}s"

    @property
    def ending(self) -> str:
        """What the animals' verbs end in: "it runs", "they run"."""
        return "s" if self.is_one else ""

    @property
    def she(self) -> str:
        """The pronoun of the person."""
        return "She" if self.is_woman else "He"

    @property
    def her(self) -> str:
        """The pronoun of what is the person's."""
        return "Her" if self.is_woman else "His"


_Telling = Callable[[_Story, random.Random], str]


def make_corpus(out_dir: Path, seed: int = 0) -> None:
    """Writes corpus.txt: 2,000 documents of 8 to 12 sentences, one a line, with empty lines between them."""
    generator = random.Random(seed)
    documents = ("".join(f"{line}\n" for line in _document(generator)) for _ in range(_NUM_DOCUMENTS))
    files.write_text(str(out_dir / "corpus.txt"), "\n".join(documents))


def _document(generator: random.Random) -> list[str]:
    """Returns sentences about one person, of which the first two say who that is and with which animals."""
    story = _choose(generator)
    count = generator.randint(*_LENGTHS) - len(_FIRST)
    told = [*_FIRST, *generator.sample(_LATER, k=count, counts=[2] * len(_LATER))]
    return [tell(story, generator) for tell in told]


def _choose(generator: random.Random) -> _Story:
    is_woman = generator.random() < 0.5
    return _Story(
        name=generator.choice(_WOMEN if is_woman else _MEN),
        is_woman=is_woman,
        trade=generator.choice(list(_GOODS)),
        town=generator.choice(list(_COUNTRIES)),
        animal=generator.choice(_ANIMALS),
        colour=generator.choice(_COLOURS),
        is_one=generator.random() < 0.5,
        place=generator.choice(_PLACES),
    )


def _who(story: _Story, generator: random.Random) -> str:
    return f"{story.name} is a {story.trade} in {story.town}."


def _has(story: _Story, generator: random.Random) -> str:
    how_many = "a" if story.is_one else "two"
    return f"{story.she} has {how_many} {story.colour} {story.they} near the {story.place}."


def _where(story: _Story, generator: random.Random) -> str:
    return f"{story.town} lies in {_COUNTRIES[story.town]}."


def _makes(story: _Story, generator: random.Random) -> str:
    return f"In the {generator.choice(_TIMES)} the {story.trade} makes {_GOODS[story.trade]}."


def _sells(story: _Story, generator: random.Random) -> str:
    who = generator.choice((story.name, story.she))
    return f"{who} sells {_GOODS[story.trade]} in {story.town}."


def _rests(story: _Story, generator: random.Random) -> str:
    first, second = (f"{verb}{story.ending}" for verb in generator.sample(_VERBS, 2))
    return f"{story.her} {story.they} {first} and {second} near the {story.place}."


def _looks(story: _Story, generator: random.Random) -> str:
    are, they = ("is", "it") if story.is_one else ("are", "they")
    return f"The {story.they} {are} {story.colour}, and {story.name} likes how {they} look{story.ending}."


def _goes(story: _Story, generator: random.Random) -> str:
    place = generator.choice(_PLACES)
    return f"{story.name} goes to the {place} with {story.her.lower()} {story.colour} {story.they}."


_FIRST: Final[Sequence[_Telling]] = (_who, _has)
_LATER: Final[Sequence[_Telling]] = (_where, _makes, _sells, _rests, _looks, _goes)
