"""The pages by their paths, as an ASGI app."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import jinja2
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from components.errors import Failure, UserError
from components.protocols import Surveys
from components.registry import registry
from components.task import Task
from pipelines.dashboard import (
    asking_page,
    calls,
    compare_page,
    curves,
    data_page,
    describe,
    models_page,
    run_page,
    runs_page,
)
from pipelines.dashboard.answering import Answerer
from pipelines.dashboard.forms import TOKEN, read_form
from pipelines.dashboard.guard import POLICY, Guard
from pipelines.dashboard.past import Past
from pipelines.prediction import journey
from pipelines.runs.history import Run
from pipelines.tasks import get_task, task_names

_MOST_FORM_BYTES: Final = 1 << 20
# How often a live page is told of news, and that it is still connected.
_NEWS_S: Final = 1.0
_SILENCE_S: Final = 15.0
# A report is a page of its own, with its styles in it; scripts it has none.
_REPORT_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"
_STATIC: Final = Path(__file__).with_name("static")
_TEMPLATES: Final = Path(__file__).with_name("templates")


class Places(NamedTuple):
    """What the dashboard shows."""

    pipeline_root: str
    models_dir: str


def make_app(places: Places, hosts: Sequence[str]) -> ASGIApp:
    """Returns the ASGI app, which answers requests for these hosts, such as "127.0.0.1:8600"."""
    pages = _Pages(places)
    routes = [
        Route("/", pages.runs),
        Route("/runs/{run_id}", pages.run),
        Route("/runs/{run_id}/report", pages.report),
        Route("/runs/{run_id}/log", pages.log),
        Route("/runs/{run_id}/data", pages.data),
        Route("/compare", pages.compare),
        Route("/models", pages.models),
        Route("/models/{task}", pages.model),
        Route("/models/{task}/requests/{signature}", pages.request),
        Route("/models/{task}/rollback", pages.rollback, methods=["GET", "POST"]),
        Route("/show/{task}", pages.show),
        Route("/ask", pages.asks),
        Route("/ask/{task}", pages.ask, methods=["GET", "POST"]),
        Route("/events", pages.events),
        Mount("/static", StaticFiles(directory=_STATIC)),
    ]
    handlers: dict[Any, Any] = {
        HTTPException: pages.on_http_error,
        UserError: pages.on_error,
        Failure: pages.on_error,
        Exception: pages.on_crash,
    }
    # Around all of it, so that what Starlette says of a crash has the headers, too.
    return Guard(Starlette(routes=routes, exception_handlers=handlers, lifespan=pages.lifespan), hosts)


class _Pages:
    def __init__(self, places: Places) -> None:
        self._places = places
        self._past = Past(places.pipeline_root)
        self._answerer = Answerer()
        self._token = secrets.token_urlsafe()
        self._environment = _environment()

    @contextlib.asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        # Read ahead of the first page, which waits for what is missing.
        reading = asyncio.create_task(run_in_threadpool(self._past.read_ahead))
        yield
        # What went wrong there, the first page has told.
        await asyncio.gather(reading, return_exceptions=True)
        self._answerer.stop()

    async def runs(self, request: Request) -> Response:
        choice = runs_page.Choice.of(request.query_params)
        listing = await run_in_threadpool(runs_page.listing, self._past, choice)
        return self._page("runs.html", listing=listing, is_live=listing.is_live)

    async def run(self, request: Request) -> Response:
        run = await self._found(request.path_params["run_id"])
        return await run_in_threadpool(self._run_page, run)

    def _run_page(self, run: Run) -> Response:
        root, models_dir = self._places.pipeline_root, self._places.models_dir
        details = run_page.details(run, self._past.of_task(run.task), self._past, models_dir)
        found = compare_page.charts_of(curves.of_run(run, root))
        return self._page("run.html", details=details, run=run, charts=found, is_live=run.state == "running")

    async def report(self, request: Request) -> Response:
        run = await self._found(request.path_params["run_id"])
        path = run_page.report(run, self._places.pipeline_root)
        if path is None:
            raise HTTPException(404, f"{run.short_id} has no report")
        content = await run_in_threadpool(path.read_bytes)
        return HTMLResponse(content, headers={POLICY: _REPORT_POLICY})

    async def log(self, request: Request) -> Response:
        run = await self._found(request.path_params["run_id"])
        path = run_page.log(run, self._places.pipeline_root)
        if path is None:
            raise HTTPException(404, f"{run.short_id} has no log")
        text = await run_in_threadpool(run_page.log_end, path)
        return self._page("log.html", run=run, text=text, path=path)

    async def data(self, request: Request) -> Response:
        """Shows the folder that a run recorded, and no other."""
        run = await self._found(request.path_params["run_id"])
        made_by = await run_in_threadpool(self._past.made_by, run)
        task, directory = run_page.run_as(run, made_by), made_by.record.data_dir
        if task is None or directory is None or isinstance(task.source, Surveys):
            raise HTTPException(404, f"{run.short_id}: no data of rows are known")
        found = await run_in_threadpool(data_page.data, run, directory, task)
        return self._page("data.html", data=found)

    async def compare(self, request: Request) -> Response:
        ids = list(dict.fromkeys(request.query_params.getlist("run")))
        if not 2 <= len(ids) <= compare_page.MOST:
            raise HTTPException(400, f"expected 2 to {compare_page.MOST} runs to compare, got {len(ids)}")
        runs = [await self._found(run_id) for run_id in ids]
        found = await run_in_threadpool(compare_page.comparison, runs, self._past)
        return self._page("compare.html", comparison=found)

    async def models(self, _: Request) -> Response:
        found = await run_in_threadpool(models_page.summaries, self._places.models_dir)
        return self._page("models.html", summaries=found)

    async def model(self, request: Request) -> Response:
        task = _task(request)
        runs = await run_in_threadpool(self._past.of_task, task.name)
        url = f"{request.base_url}models/{task.name}"
        found = await run_in_threadpool(models_page.model, self._places.models_dir, task, runs, url)
        return self._page("model.html", model=found, done=request.query_params.get("done", ""))

    async def request(self, request: Request) -> Response:
        """Returns what a server may be asked, as REST has it: of the live version, a recorded request."""
        task, signature = _task(request), request.path_params["signature"]
        live = await run_in_threadpool(registry.live, self._places.models_dir, task.name)
        found = await run_in_threadpool(calls.request_of, live, signature) if live else None
        if found is None:
            raise HTTPException(404, f"{task.name}: no recorded request of signature {signature!r}")
        return JSONResponse(found)

    async def rollback(self, request: Request) -> Response:
        """Asks first; what is then sent makes an earlier version live again."""
        task = _task(request)
        versions = await run_in_threadpool(registry.versions, self._places.models_dir, task.name)
        asked = request.query_params.get("to", "")
        version = next((each for each in versions[:-1] if str(each.version) == asked), None)
        if version is None:
            raise HTTPException(404, f"{task.name}: expected an earlier version, got {asked!r}")
        if request.method != "POST":
            return self._page("rollback.html", task=task, version=version, live=versions[-1])
        await read_form(request, self._token, _MOST_FORM_BYTES)
        roll_back = partial(registry.rollback, self._places.models_dir, task.name, version.version)
        done = await run_in_threadpool(roll_back)
        return RedirectResponse(f"/models/{task.name}?done={done.version}", 303)

    async def show(self, request: Request) -> Response:
        """Follows one example from the raw row to the answer."""
        task, text = _task(request), request.query_params.get("row", "1")
        row = int(text) if text.isdecimal() and len(text) < 10 else 0
        runs = await run_in_threadpool(self._past.of_task, task.name)
        places = await run_in_threadpool(journey.places, runs, self._places.models_dir, task.name)
        if row < 1 or places.data_dir is None:
            raise HTTPException(404, f"expected a row from 1 on, of a run of {task.name}, got {text!r}")
        # A mapping proxy cannot be pickled.
        places = places._replace(settings=dict(places.settings))
        steps = await self._answerer.follow(task.name, row, places)
        return self._page("show.html", task=task, steps=steps, row=row)

    async def asks(self, _: Request) -> Response:
        found = await run_in_threadpool(models_page.summaries, self._places.models_dir)
        return self._page("asks.html", summaries=[each for each in found if each.live])

    async def ask(self, request: Request) -> Response:
        """Shows a form, and answers it."""
        task = _task(request)
        make = partial(asking_page.playground, task, self._places.models_dir, request.query_params)
        page = await run_in_threadpool(make)
        if request.method == "POST":
            form = await read_form(request, self._token, asking_page.MOST_BYTES)
            page = await asking_page.answered(page, form, self._answerer)
        return self._page("ask.html", page=page, query=request.url.query)

    async def events(self, request: Request) -> Response:
        """Tells a page, as server-sent events, whenever the history has changed."""
        return StreamingResponse(self._news(request), media_type="text/event-stream")

    async def _news(self, request: Request) -> AsyncIterator[str]:
        told, silent_s = None, 0.0
        while not await request.is_disconnected():
            stamp = await run_in_threadpool(self._past.stamp)
            silent_s += _NEWS_S
            if stamp != told:
                yield f"data: {'-'.join(str(int(part)) for part in stamp)}\n\n"
                told, silent_s = stamp, 0.0
            elif silent_s >= _SILENCE_S:
                yield ": still here\n\n"
                silent_s = 0.0
            await asyncio.sleep(_NEWS_S)

    async def on_http_error(self, _: Request, error: HTTPException) -> Response:
        return self._error(error.status_code, error.detail, dict(error.headers or {}))

    async def on_error(self, _: Request, error: Exception) -> Response:
        return self._error(400 if isinstance(error, UserError) else 500, str(error))

    async def on_crash(self, _: Request, error: Exception) -> Response:
        # Starlette raises it again, so that it is logged.
        return self._error(500, "something went wrong; the terminal of `millrace ui` has the traceback")

    def _error(self, status: int, message: str, headers: dict[str, str] | None = None) -> Response:
        return self._page("error.html", status, headers, message=message, code=status)

    async def _found(self, run_id: str) -> Run:
        run = await run_in_threadpool(self._past.find, run_id)
        if run is None:
            raise HTTPException(404, f"no run {run_id!r} under {self._places.pipeline_root}")
        return run

    def _page(
        self, name: str, status: int = 200, headers: dict[str, str] | None = None, **values: Any
    ) -> Response:
        template = self._environment.get_template(name)
        content = template.render(places=self._places, token=self._token, token_name=TOKEN, **values)
        return HTMLResponse(content, status, headers)


def _task(request: Request) -> Task:
    name = request.path_params["task"]
    # Not by where it is in a package: what is imported, the path of a page does not say.
    if name not in task_names():
        raise HTTPException(404, f"no task {name!r}")
    return get_task(name)


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for function in (
        describe.ago, describe.local, describe.duration, describe.value, describe.metric, describe.called
    ):  # fmt: skip
        environment.filters[function.__name__] = function
    return environment
