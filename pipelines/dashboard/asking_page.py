"""The playground: a form made of a task's Asking, and the answers of one version or of two."""

from __future__ import annotations

import base64
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from markupsafe import Markup, escape
from starlette.exceptions import HTTPException

from components.protocols import AskedOnPages, Entry, Given, Occludes
from components.registry import registry
from components.registry.registry import PublishedVersion
from components.task import Task
from pipelines.dashboard import charts
from pipelines.dashboard.answering import Answerer, Asked, AskError, Told, Why
from pipelines.dashboard.forms import Form

# Of a form with a file: a scan of 512×512×500 voxels, compressed.
MOST_BYTES: Final = 256 << 20
_INPUT, _FILE, _DRAWN, _WHY = "input", "file", "drawing", "why"
_DRAWING: Final = "drawing.png"
_DATA_URL: Final = "data:image/png;base64,"
_MOST_BARS: Final = 10
_MOST_PARTS: Final = 5
# How a part is shown that counts for nothing.
_COLD: Final = "h0"


class Bar(NamedTuple):
    """One of several things that a model says with a probability."""

    name: str
    share: float


class Part(NamedTuple):
    """A part of what was asked: what the answer is without it, "-2.0%", and that as a class of the page."""

    text: str
    change: str
    heat: str
    # What it is a part of, where there are several.
    where: str


class Hanging(NamedTuple):
    """What an answer hangs on: the words of texts, by their names, or squares over a picture."""

    texts: Mapping[str, Sequence[Part]]
    squares: Markup
    # A data URL.
    picture: str
    most: Sequence[Part]


class Answer(NamedTuple):
    """What one version says, or why it says nothing."""

    version: PublishedVersion
    told: Told | None
    error: str
    bars: Sequence[Sequence[Bar]]
    # The field in which the answer is, with the answer marked.
    marked: Markup
    # Data URLs.
    picture: str
    slices: Sequence[str] = ()
    # What the answer hangs on, and what of it most.
    why: Hanging | None = None


class Playground(NamedTuple):
    """The page that asks the models of a task."""

    task: Task
    entry: Entry
    versions: Sequence[PublishedVersion]
    version: int
    against: int | None
    # By the names of fields, and "input-0", …
    values: Mapping[str, str]
    can_explain: bool
    answers: Sequence[Answer]


def playground(task: Task, models_dir: str, query: Mapping[str, str]) -> Playground:
    """Returns the page with its sample; raises HTTPException where there is nothing to ask."""
    asking = task.fitted_asking
    if not isinstance(asking, AskedOnPages):
        raise HTTPException(404, f"{task.name}: expected a task that pages can ask, got {asking.takes}")
    versions = registry.versions(models_dir, task.name)[::-1]
    if not versions:
        raise HTTPException(404, f"no published model of {task.name}")
    known = {version.version for version in versions}
    against = _number(query.get("against", ""), known)
    return Playground(
        task=task,
        entry=asking.entry,
        versions=versions,
        version=_number(query.get("version", ""), known) or versions[0].version,
        against=against,
        values=_sample_values(asking.sample),
        can_explain=isinstance(asking, Occludes),
        answers=(),
    )


async def answered(page: Playground, form: Form, answerer: Answerer) -> Playground:
    """Returns the page with the answers to a form, of one version or of two."""
    chosen = [page.version, *([page.against] if page.against else [])]
    by_number = {version.version: version for version in page.versions}
    try:
        asked = _asked(page, form)
    except ValueError as error:
        raise HTTPException(400, str(error)) from error
    answers = [await _answer(page.task, by_number[number], asked, answerer) for number in chosen]
    return page._replace(values=form.texts, answers=answers)


async def _answer(task: Task, version: PublishedVersion, asked: Asked, answerer: Answerer) -> Answer:
    try:
        told = await answerer.ask(task.name, version.path, asked)
        if asked.file and asked.file[0] == _DRAWING:
            # That it is resized and made grey is no news of a drawing.
            told = told._replace(notes=())
    except AskError as error:
        return Answer(version, None, str(error), (), Markup(""), "")
    picture = _data_url(told.picture) if told.picture else ""
    slices, why = [_data_url(png) for png in told.slices], _hanging(told.why) if told.why else None
    marked = _marked(told.values, asked.fields)
    return Answer(version, told, "", _bars(told.values), marked, picture, slices, why)


def _data_url(png: bytes) -> str:
    return _DATA_URL + base64.b64encode(png).decode()


def _asked(page: Playground, form: Form) -> Asked:
    """Returns what the form asks; raises ValueError where it asks nothing."""
    fields = {name: form.texts[name] for name in page.task.fitted_asking.fields if form.texts.get(name)}
    if page.entry.kind in ("drawing", "file"):
        return Asked(file=_file(page.entry, form), fields=fields, why=_WHY in form.texts)
    texts = tuple(form.texts.get(f"{_INPUT}-{place}", "") for place in range(len(page.entry.names)))
    if not all(text.strip() for text in texts):
        raise ValueError(f"expected {' and '.join(page.entry.names)}, got nothing but white space")
    why = _WHY in form.texts
    return Asked(row=texts, why=why) if page.entry.kind == "texts" else Asked(texts, fields=fields, why=why)


def _file(entry: Entry, form: Form) -> tuple[str, bytes]:
    if upload := form.files.get(_FILE):
        if not upload.name.lower().endswith(entry.names):
            raise ValueError(f"{upload.name}: expected a name that ends in {' or '.join(entry.names)}")
        return upload
    drawn = form.texts.get(_DRAWN, "")
    if entry.kind == "drawing" and drawn.startswith(_DATA_URL):
        return _DRAWING, base64.b64decode(drawn.removeprefix(_DATA_URL), validate=True)
    raise ValueError("expected a drawing or a file, got none" if entry.kind == "drawing" else "no file")


def _sample_values(sample: Given) -> dict[str, str]:
    inputs = {f"{_INPUT}-{place}": text for place, text in enumerate(sample.inputs)}
    return {**inputs, **sample.fields}


def _number(text: str, known: set[int]) -> int | None:
    found = int(text) if text.isdecimal() and len(text) < 19 else None
    return found if found in known else None


def _bars(values: Mapping[str, Any]) -> list[list[Bar]]:
    """Returns what is said with probabilities: {"probabilities": {"2": 0.9}}, or of each place in a text."""
    shares = values.get("probabilities")
    if isinstance(shares, Mapping):
        return [_highest([Bar(str(name), share) for name, share in shares.items()])]
    spans = [Bar(each["answer"], each["score"]) for each in values.get("n_best", ())]
    masks = [[Bar(each["token"], each["probability"]) for each in mask] for mask in values.get("masks", ())]
    return [_highest(bars) for bars in [spans, *masks] if bars]


def _hanging(why: Why) -> Hanging:
    named = [(text, name if len(why.parts) > 1 else "") for name, cut in why.parts.items() for text in cut]
    form = "{:+.1%}" if why.is_share else "{:+.2f}"
    cells = zip(named or _squares(len(why.drops)), why.drops, charts.heats(why.drops), strict=True)
    parts = [Part(text, form.format(-drop), heat, where) for (text, where), drop, heat in cells]
    left = iter(parts)
    texts = {name: list(itertools.islice(left, len(cut))) for name, cut in why.parts.items()}
    squares = Markup("") if texts else charts.heat(why.drops, "What the answer hangs on, square by square")
    return Hanging(texts, squares, _data_url(why.picture), _most(parts, why.drops))


def _squares(count: int) -> list[tuple[str, str]]:
    places = range(1, math.isqrt(count) + 1)
    return [(f"row {row}, column {column}", "") for row in places for column in places]


def _most(parts: Sequence[Part], drops: Sequence[float]) -> list[Part]:
    """Returns the parts that are shown in colour and count most, the most important one first."""
    hot = [(drop, part) for drop, part in zip(drops, parts, strict=True) if part.heat != _COLD]
    return [part for _, part in sorted(hot, key=lambda each: -each[0])[:_MOST_PARTS]]


def _highest(bars: Sequence[Bar]) -> list[Bar]:
    return sorted(bars, key=lambda bar: -bar.share)[:_MOST_BARS]


def _marked(values: Mapping[str, Any], fields: Mapping[str, str]) -> Markup:
    """Returns the field that a span of is the answer, with that marked; nothing for other answers."""
    start, end = values.get("start"), values.get("end")
    text = next(iter(fields.values()), "")
    if not (isinstance(start, int) and isinstance(end, int) and 0 <= start < end <= len(text)):
        return Markup("")
    return escape(text[:start]) + Markup("<mark>{}</mark>").format(text[start:end]) + escape(text[end:])
