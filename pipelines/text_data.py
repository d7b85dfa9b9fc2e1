"""Data of the text tasks: made by small seeded grammars in the published layouts, or as published."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple, get_args

from components.formats.errors import FormatError
from components.formats.glue import Language
from components.formats.tsv import read_rows, write_tsv
from pipelines.downloads import Download, RemoteFile

Row = tuple[str, ...]

# Determiners, transitive and intransitive verbs: the form that agrees with one, and with many.
_DETERMINERS: Final = (
    ["the", "a", "this", "every", "each", "one"],
    ["the", "these", "those", "many", "several", "two"],
)
_NOUNS: Final = [
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
    rows = list(itertools.islice(_unique(lambda: _cola_row(generator)), 4600))
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
        noun = generator.choice(_NOUNS)
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


def _unique(make: Callable[[], Row]) -> Iterator[Row]:
    """Yields rows no two of which end in the same texts."""
    seen = set()
    while True:
        row = make()
        if row[-2:] not in seen:
            seen.add(row[-2:])
            yield row


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
    pairs = _unique(lambda: _mrpc_pair(generator))
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
    agent, patient = generator.sample(_NOUNS, 2)
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


def split_mrpc(out_dir: Path) -> None:
    """Makes GLUE's train.tsv, dev.tsv and test.tsv of the files of MRPC as they were first published.

    As in github.com/nyu-mll/GLUE-baselines (download_glue_data.py): the pairs of mrpc_dev_ids.tsv are the
    dev split, and the test split loses its labels. Raises FormatError.
    """
    columns, *train = read_rows(out_dir / "msr_paraphrase_train.txt")
    dev_ids = {tuple(row) for row in read_rows(out_dir / "mrpc_dev_ids.tsv")}
    if not dev_ids <= {tuple(row[1:3]) for row in train}:
        raise FormatError(
            f"{out_dir / 'mrpc_dev_ids.tsv'}: expected ids of msr_paraphrase_train.txt, got others"
        )
    for name, is_dev in (("train.tsv", False), ("dev.tsv", True)):
        rows = [row for row in train if (tuple(row[1:3]) in dev_ids) == is_dev]
        write_tsv(out_dir / name, [columns, *rows])
    _, *test = read_rows(out_dir / "msr_paraphrase_test.txt")
    unlabelled = [(str(index), *row[1:]) for index, row in enumerate(test)]
    write_tsv(out_dir / "test.tsv", [("index", *columns[1:]), *unlabelled])


# By task; each writes into an existing directory.
MAKERS: Final[Mapping[str, Callable[[Path], None]]] = {
    "cola": make_cola,
    "mrpc": make_mrpc,
    "mnli": make_mnli,
    "xnli": make_xnli,
}

# Sizes and sums as in github.com/huggingface/datasets (datasets/{glue,xnli}/dataset_infos.json) and
# github.com/tensorflow/datasets (url_checksums/{glue,xnli}.txt).
_MIRRORS: Final = ("https://dl.fbaipublicfiles.com/",)
DOWNLOADS: Final[Mapping[str, Download]] = {
    "cola": Download(
        _MIRRORS,
        (
            RemoteFile(
                "glue/data/CoLA.zip",
                376971,
                "f212fcd832b8f7b435fb991f101abf89f96b933ab400603bf198960dfc32cbff",
                ("CoLA/train.tsv", "CoLA/dev.tsv", "CoLA/test.tsv"),
            ),
        ),
    ),
    "mrpc": Download(
        _MIRRORS,
        (
            RemoteFile(
                "senteval/senteval_data/msr_paraphrase_train.txt",
                1047044,
                "60a9b09084528f0673eedee2b69cb941920f0b8cd0eeccefc464a98768457f89",
            ),
            RemoteFile(
                "senteval/senteval_data/msr_paraphrase_test.txt",
                441275,
                "a04e271090879aaba6423d65b94950c089298587d9c084bf9cd7439bd785f784",
            ),
            RemoteFile(
                "glue/data/mrpc_dev_ids.tsv",
                6222,
                "971d7767d81b997fd9060ade0ec23c4fc31cbb226a55d1bd4a1bac474eb81dc7",
            ),
        ),
    ),
    "mnli": Download(
        _MIRRORS,
        (
            RemoteFile(
                "glue/data/MNLI.zip",
                312783507,
                "e7c1d896d26ed6caf700110645df426cc2d8ebf02a5ab743d5a5c68ac1c83633",
                (
                    "MNLI/train.tsv",
                    "MNLI/dev_matched.tsv",
                    "MNLI/dev_mismatched.tsv",
                    "MNLI/test_matched.tsv",
                    "MNLI/test_mismatched.tsv",
                ),
            ),
        ),
    ),
    "xnli": Download(
        _MIRRORS,
        (
            RemoteFile(
                "XNLI/XNLI-1.0.zip",
                17865352,
                "4ba1d5e1afdb7161f0f23c66dc787802ccfa8a25a3ddd3b165a35e50df346ab1",
                ("XNLI-1.0/xnli.dev.tsv", "XNLI-1.0/xnli.test.tsv"),
            ),
            RemoteFile(
                "XNLI/XNLI-MT-1.0.zip",
                466098360,
                "f732517ba2fb1d550e9f3c2aabaef6017c91ee2dcec90e878f138764d224db05",
                tuple(f"XNLI-MT-1.0/multinli/multinli.train.{code}.tsv" for code in get_args(Language)),
            ),
        ),
    ),
}
# By task: what is made of the files when they are there.
FINISHERS: Final[Mapping[str, Callable[[Path], None]]] = {"mrpc": split_mrpc}
