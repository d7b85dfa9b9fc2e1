"""The files of MRPC, MNLI and XNLI with pairs of sentences that a few seeded rules make."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from components.formats.tsv import write_tsv
from pipelines.datasets.made_cola import NOUNS, Row, unique


class _Proposition(NamedTuple):
    """Who did what to whom, where and when."""

    agent: str
    verb: str
    patient: str
    place: str
    day: str


_VERBS: Final = {
    "praised": "praised",
    "saw": "seen",
    "drove": "driven",
    "met": "met",
    "beat": "beaten",
    "thanked": "thanked",
}
_PLACES: Final = ["Paris", "London", "Rome", "Vienna", "Oslo", "Madrid"]
_DAYS: Final = ["Monday", "Tuesday", "Thursday", "Saturday"]


def make_mrpc(out_dir: Path, seed: int = 0) -> None:
    """Writes train.tsv (3,000 pairs), dev.tsv (400) and test.tsv (100), half of them paraphrases.

    A paraphrase says the same in other words; in what is none, agent and patient are exchanged, or one
    part is another.
    """
    generator = random.Random(seed)
    pairs = unique(lambda: _mrpc_pair(generator))
    rows = [
        (label, f"{2 * i}", f"{2 * i + 1}", a, b)
        for i, (label, a, b) in enumerate(itertools.islice(pairs, 3500))
    ]
    columns = ("#1 ID", "#2 ID", "#1 String", "#2 String")
    write_tsv(out_dir / "train.tsv", [("Quality", *columns), *rows[:3000]])
    write_tsv(out_dir / "dev.tsv", [("Quality", *columns), *rows[3000:3400]])
    test = [(str(index), *row[1:]) for index, row in enumerate(rows[3400:])]
    write_tsv(out_dir / "test.tsv", [("index", *columns), *test])


def _mrpc_pair(generator: random.Random) -> Row:
    first = _choose_proposition(generator)
    same = generator.random() < 0.5
    second = first if same else _alter(first, generator)
    active, passive = _active(first), _passive(second)
    texts = (active, passive) if generator.random() < 0.5 else (_passive(first), _active(second))
    return (str(int(same)), *texts)


def _choose_proposition(generator: random.Random) -> _Proposition:
    agent, patient = generator.sample(NOUNS, 2)
    verb = generator.choice(list(_VERBS))
    return _Proposition(agent, verb, patient, generator.choice(_PLACES), generator.choice(_DAYS))


def _alter(proposition: _Proposition, generator: random.Random) -> _Proposition:
    """Returns another proposition: agent and patient exchanged, or all but one part replaced."""
    if generator.random() < 0.2:
        return proposition._replace(agent=proposition.patient, patient=proposition.agent)
    kept = generator.choice(proposition._fields)
    while True:
        other = _choose_proposition(generator)._replace(**{kept: getattr(proposition, kept)})
        if other != proposition and other.agent != other.patient:
            return other


def _active(proposition: _Proposition) -> str:
    agent, verb, patient, place, day = proposition
    return f"The {agent} {verb} the {patient} in {place} on {day}."


def _passive(proposition: _Proposition) -> str:
    agent, verb, patient, place, day = proposition
    return f"On {day}, the {patient} was {_VERBS[verb]} by the {agent} in {place}."


class _Fact(NamedTuple):
    """What may be said of a person, as the end of a sentence, in each language."""

    en: str
    de: str
    zh: str


_NAMES: Final = {
    "Anna": "安娜",
    "Ben": "本",
    "Clara": "克拉拉",
    "David": "大卫",
    "Emma": "艾玛",
    "Felix": "菲利克斯",
    "Martin": "马丁",
    "Peter": "彼得",
    "Sara": "萨拉",
    "Tom": "汤姆",
}
# Of each kind, one fact excludes the others.
_FACTS: Final = (
    (
        _Fact("is in the garden", "ist im Garten", "在花园里"),
        _Fact("is at the station", "ist am Bahnhof", "在车站"),
        _Fact("is at school", "ist in der Schule", "在学校"),
        _Fact("is at the beach", "ist am Strand", "在海滩上"),
    ),
    (
        _Fact("reads a book", "liest ein Buch", "正在看书"),
        _Fact("eats an apple", "isst einen Apfel", "正在吃苹果"),
        _Fact("plays chess", "spielt Schach", "正在下棋"),
        _Fact("writes a letter", "schreibt einen Brief", "正在写信"),
    ),
    (
        _Fact("wears a red coat", "trägt einen roten Mantel", "穿着红色大衣"),
        _Fact("wears a blue coat", "trägt einen blauen Mantel", "穿着蓝色大衣"),
        _Fact("wears a green coat", "trägt einen grünen Mantel", "穿着绿色大衣"),
        _Fact("wears a white coat", "trägt einen weißen Mantel", "穿着白色大衣"),
    ),
)
_LABELS: Final = ("contradiction", "entailment", "neutral")
_LANGUAGES: Final = ("de", "en", "zh")


class _Inference(NamedTuple):
    """Two facts about somebody, and what is claimed of the same person."""

    label: str
    name: str
    first: _Fact
    second: _Fact
    claim: _Fact

    def texts(self, language: str) -> tuple[str, str]:
        """Returns premise and hypothesis."""
        first, second, claim = (getattr(fact, language) for fact in (self.first, self.second, self.claim))
        if language == "zh":
            name = _NAMES[self.name]
            return f"{name}{first}，{second}。", f"{name}{claim}。"
        conjunction = "und" if language == "de" else "and"
        return f"{self.name} {first} {conjunction} {second}.", f"{self.name} {claim}."


def make_mnli(out_dir: Path, seed: int = 0) -> None:
    """Writes train.tsv (3,000 pairs), dev_matched.tsv and dev_mismatched.tsv (300 each), and tests of 60.

    Neither text alone, nor the words of both, tell the label.
    """
    inferences = _inferences(3720, seed)
    _write_mnli(out_dir / "train.tsv", inferences[:3000], "fiction", num_annotators=1)
    for start, domain, genre in ((3000, "matched", "fiction"), (3300, "mismatched", "travel")):
        part = inferences[start : start + 300]
        _write_mnli(out_dir / f"dev_{domain}.tsv", part, genre, num_annotators=5)
    for start, domain, genre in ((3600, "matched", "fiction"), (3660, "mismatched", "travel")):
        part = inferences[start : start + 60]
        _write_mnli(out_dir / f"test_{domain}.tsv", part, genre, num_annotators=0)


def make_xnli(out_dir: Path, seed: int = 0) -> None:
    """Writes multinli.train.{de,en,zh}.tsv (3,000 pairs each) and xnli.dev.tsv (300 in each language)."""
    inferences = _inferences(3300, seed)
    train, dev = inferences[:3000], inferences[3000:]
    for language in _LANGUAGES:
        train_rows = [(*pair.texts(language), _XNLI_LABELS.get(pair.label, pair.label)) for pair in train]
        write_tsv(out_dir / f"multinli.train.{language}.tsv", [("premise", "hypo", "label"), *train_rows])
    columns = (
        *("language", "gold_label", "sentence1_binary_parse", "sentence2_binary_parse"),
        *("sentence1_parse", "sentence2_parse", "sentence1", "sentence2", "promptID", "pairID", "genre"),
        *(f"label{i}" for i in range(1, 6)),
        *("sentence1_tokenized", "sentence2_tokenized", "match"),
    )
    rows = [
        _xnli_row(language, number, pair)
        for language in _LANGUAGES
        for number, pair in enumerate(dev, start=1)
    ]
    write_tsv(out_dir / "xnli.dev.tsv", [columns, *rows])


# The training files, and they alone, say it so.
_XNLI_LABELS: Final = {"contradiction": "contradictory"}


def _xnli_row(language: str, number: int, pair: _Inference) -> Row:
    texts = pair.texts(language)
    ids = (str(number), str(number), "fiction")
    return (language, pair.label, "", "", "", "", *texts, *ids, *[pair.label] * 5, *texts, "True")


def _write_mnli(path: Path, pairs: Sequence[_Inference], genre: str, num_annotators: int) -> None:
    """Writes MNLI's columns; the last ones, with the labels, are missing from tests."""
    columns = (
        *("index", "promptID", "pairID", "genre", "sentence1_binary_parse", "sentence2_binary_parse"),
        *("sentence1_parse", "sentence2_parse", "sentence1", "sentence2"),
        *(f"label{i}" for i in range(1, num_annotators + 1)),
        *(("gold_label",) if num_annotators else ()),
    )
    rows = []
    for index, pair in enumerate(pairs):
        premise, hypothesis = pair.texts("en")
        # Another domain tells the same in another way.
        texts = (f"They say that {premise}" if genre == "travel" else premise, hypothesis)
        parses = (*(f"( {text} )" for text in texts), *(f"(ROOT {text})" for text in texts))
        labels = [pair.label] * (num_annotators + 1) if num_annotators else ()
        rows.append((str(index), str(index), f"{index}{pair.label[0]}", genre, *parses, *texts, *labels))
    write_tsv(path, [columns, *rows])


def _inferences(count: int, seed: int) -> list[_Inference]:
    """Returns different pairs, as many of each label."""
    generator = random.Random(seed)
    labels = itertools.cycle(_LABELS)
    found: dict[_Inference, None] = {}
    while len(found) < count:
        label = next(labels)
        while (pair := _infer(label, generator)) in found:
            pass
        found[pair] = None
    pairs = list(found)
    generator.shuffle(pairs)
    return pairs


def _infer(label: str, generator: random.Random) -> _Inference:
    """Returns a claim that is a fact (entailment), that one excludes, or of which there is none (neutral)."""
    first_kind, second_kind, unmentioned = generator.sample(_FACTS, 3)
    first, second = generator.choice(first_kind), generator.choice(second_kind)
    held, kind = generator.choice(((first, first_kind), (second, second_kind)))
    excluded = generator.choice([fact for fact in kind if fact != held])
    unknown = generator.choice(unmentioned)
    claims = {"entailment": held, "contradiction": excluded, "neutral": unknown}
    return _Inference(label, generator.choice(list(_NAMES)), first, second, claims[label])
