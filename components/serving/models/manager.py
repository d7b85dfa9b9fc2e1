"""Which versions of which models are loaded, and their swap without a gap.

Availability preserving, as TensorFlow Serving's AspiredVersionsManager: a new version is loaded first, and
only once it serves is the old one unloaded, after its last request. One that fails to load replaces none.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
from tensorflow_serving.apis.get_model_status_pb2 import ModelVersionStatus
from tensorflow_serving.apis.model_pb2 import ModelSpec
from tensorflow_serving.config.model_server_config_pb2 import ModelConfig, ModelServerConfig

from components.serving.errors import ServingError, invalid_argument, not_found
from components.serving.flags import ServerFlags
from components.serving.models.model_config import checked_models
from components.serving.models.servable import Servable
from components.serving.models.sources import aspired_versions

_LOG: Final = logging.getLogger(__name__)

# (model name, version, path of the SavedModel) -> the loaded version; runs in a thread, raises ServingError
Loader = Callable[[str, int, str], Servable]

START: Final = ModelVersionStatus.START
LOADING: Final = ModelVersionStatus.LOADING
AVAILABLE: Final = ModelVersionStatus.AVAILABLE
UNLOADING: Final = ModelVersionStatus.UNLOADING
END: Final = ModelVersionStatus.END

# Ended versions of a model whose status is kept.
_MAX_ENDED: Final = 100


@dataclass(eq=False)
class Version:
    """A version of a model and its state; of the event loop alone."""

    model_name: str
    number: int
    path: str
    state: int = START
    error: ServingError | None = None
    servable: Servable | None = None
    users: int = 0


@dataclass(eq=False)
class _Model:
    aspired: dict[int, str] = field(default_factory=dict)
    versions: dict[int, Version] = field(default_factory=dict)
    # Aspired versions whose load has not begun.
    pending: set[int] = field(default_factory=set)
    # Those of `versions` that are available.
    serving: dict[int, Version] = field(default_factory=dict)


class Manager:
    """Loads, unloads and hands out versions; every method belongs to the event loop."""

    def __init__(self, load: Loader, flags: ServerFlags) -> None:
        self.stopping = False
        self._load_servable = load
        self._flags = flags
        self._configured: dict[str, ModelConfig] = {}
        self._labels: dict[str, dict[str, int]] = {}
        self._models: dict[str, _Model] = {}
        self._changed = asyncio.Event()
        self._reloading = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._complaints: dict[str, str] = {}
        self._loaders = ThreadPoolExecutor(max(flags.num_load_threads, 1), "load")
        self._unloaders = ThreadPoolExecutor(max(flags.num_unload_threads, 1), "unload")

    async def start(self, config: ModelServerConfig) -> None:
        """Begins to watch, and returns once each model has a version; ServingError if one cannot be had."""
        if self._flags.file_system_poll_wait_seconds > 0:
            self._spawn(self._watch())
        await self.reload(config)

    async def reload(self, config: ModelServerConfig) -> None:
        """Replaces the configuration, and returns once its new models have a version."""
        async with self._reloading:
            kind = config.WhichOneof("config")
            if kind is None:
                _LOG.info("Taking no action for empty config.")
                return
            if kind != "model_config_list":
                raise invalid_argument("ModelServer does not yet support custom model config.")
            models = checked_models(config, self._configured)
            self._labels = self._checked_labels(models)
            new = [name for name in models if name not in self._configured]
            self._configured = models
            for name in self._models.keys() - models.keys():
                self._aspire(name, {})
            await self._discover()
            await self._until(lambda: self.stopping or all(self._is_settled(name) for name in new))
            self._raise_failures(new)

    def begin_stop(self) -> None:
        """Is not ready any more, and ends the waiting for new models."""
        self.stopping = True
        self._notify()

    async def stop(self) -> None:
        """Unloads everything; requests must have ended."""
        self.begin_stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for model in self._models.values():
            await asyncio.gather(*(self._close(version) for version in model.versions.values()))
        self._loaders.shutdown(wait=False, cancel_futures=True)
        self._unloaders.shutdown(wait=False)

    @property
    def ready(self) -> bool:
        """Whether every configured model has an available version, and the server is not stopping."""
        return not self.stopping and all(
            name in self._models and self._models[name].serving for name in self._configured
        )

    @property
    def model_names(self) -> list[str]:
        """The configured models."""
        return sorted(self._configured)

    @contextlib.contextmanager
    def holding(self, spec: ModelSpec) -> Iterator[Version]:
        """Gives the version that `spec` asks for, and keeps it loaded; ServingError if there is none."""
        version = self.find(spec)
        self.hold(version)
        try:
            yield version
        finally:
            self.release(version)

    def hold(self, version: Version) -> None:
        """Begins a use of a version, which stays loaded until its `release`."""
        version.users += 1

    def release(self, version: Version) -> None:
        """Ends a use of a version."""
        version.users -= 1
        if version.state == UNLOADING and not version.users:
            self._notify()

    def find(self, spec: ModelSpec) -> Version:
        """Returns the available version that `spec` asks for by number, by label, or as the latest."""
        if not spec.name:
            raise invalid_argument("ModelSpec has no name specified.")
        choice = spec.WhichOneof("version_choice")
        model = self._models.get(spec.name, _Model())
        if choice is None:
            if not model.serving:
                raise not_found(f"Servable not found for request: Latest({spec.name})")
            return model.serving[max(model.serving)]
        number = spec.version.value if choice == "version" else self._labelled(spec)
        if number not in model.serving:
            raise not_found(f"Servable not found for request: Specific({spec.name}, {number})")
        return model.serving[number]

    def states(self, spec: ModelSpec) -> list[Version]:
        """Returns all versions of a model that were ever seen, or the one asked for, newest first."""
        model = self._models.get(spec.name, _Model())
        if spec.WhichOneof("version_choice") == "version":
            if spec.version.value not in model.versions:
                raise not_found(f"Could not find version {spec.version.value} of model {spec.name}")
            return [model.versions[spec.version.value]]
        if not model.versions:
            raise not_found(f"Could not find any versions of model {spec.name}")
        return [model.versions[number] for number in sorted(model.versions, reverse=True)]

    def _labelled(self, spec: ModelSpec) -> int:
        try:
            return self._labels[spec.name][spec.version_label]
        except KeyError:
            raise invalid_argument(f"Unrecognized servable version label: {spec.version_label}") from None

    def _checked_labels(self, models: Mapping[str, ModelConfig]) -> dict[str, dict[str, int]]:
        for name, config in models.items():
            available = self._models.get(name, _Model()).serving
            for label, number in config.version_labels.items():
                known = self._labels.get(name, {}).get(label, number)
                is_new = self._flags.allow_version_labels_for_unavailable_models and known == number
                if number not in available and not is_new:
                    raise ServingError(
                        grpc.StatusCode.FAILED_PRECONDITION,
                        f"Request to assign label to version {number} of model {name}, "
                        "which is not currently available for inference",
                    )
        return {name: dict(config.version_labels) for name, config in models.items()}

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._flags.file_system_poll_wait_seconds)
            try:
                await self._discover()
            except Exception:  # whatever it was, the next look may succeed
                _LOG.exception("looking for versions failed")

    async def _discover(self) -> None:
        await asyncio.gather(*map(self._look, self._configured.values()))

    async def _look(self, config: ModelConfig) -> None:
        name = config.name
        try:
            versions = await asyncio.to_thread(aspired_versions, config)
        except ServingError as error:
            # What is loaded goes on serving: the file system may be back soon.
            self._complain(name, error.message)
            return
        missing = f"No versions of servable {name} found under base path {config.base_path}."
        self._complain(name, "" if versions else missing)
        if self._configured.get(name) is config:  # not replaced meanwhile
            self._aspire(name, versions)

    def _complain(self, name: str, complaint: str) -> None:
        if complaint and complaint != self._complaints.get(name):
            _LOG.warning("%s", complaint)
        self._complaints[name] = complaint

    def _aspire(self, name: str, versions: dict[int, str]) -> None:
        model = self._models.setdefault(name, _Model())
        model.pending |= versions.keys() - model.aspired.keys()
        model.pending &= versions.keys()
        changed = versions.keys() != model.aspired.keys()
        model.aspired = versions
        if changed:
            self._reconcile(name)
            self._notify()

    def _reconcile(self, name: str) -> None:
        """Starts what must be loaded or unloaded next."""
        model = self._models[name]
        stale = sorted(model.serving.keys() - model.aspired.keys())
        if model.aspired and len(stale) == len(model.serving):
            stale = stale[:-1]  # the newest serves until an aspired one does
        for number in stale:
            version = model.serving.pop(number)
            version.state = UNLOADING
            self._spawn(self._unload(version))
        for number in sorted(model.pending, reverse=True):
            known = model.versions.get(number)
            if known is not None and known.state == UNLOADING:
                continue  # loaded again once it has ended
            model.pending.remove(number)
            if known is None or known.state == END:
                version = model.versions[number] = Version(name, number, model.aspired[number])
                self._spawn(self._load(version))
        self._forget(model)

    def _forget(self, model: _Model) -> None:
        ended = sorted(number for number, version in model.versions.items() if version.state == END)
        for number in ended[:-_MAX_ENDED]:
            del model.versions[number]

    async def _load(self, version: Version) -> None:
        model = self._models[version.model_name]
        version.state = LOADING
        _LOG.info("Loading servable version {name: %s version: %d}", version.model_name, version.number)
        for attempt in range(self._flags.max_num_load_retries + 1):
            if attempt and not await self._is_still_aspired(model, version):
                break
            try:
                version.servable = await asyncio.get_running_loop().run_in_executor(
                    self._loaders, self._load_servable, version.model_name, version.number, version.path
                )
            except ServingError as error:
                version.error = error
                _LOG.error(
                    "Loading servable: {name: %s version: %d} failed: %s",
                    version.model_name,
                    version.number,
                    error.message,
                )
            else:
                version.error = None
                break
        if version.servable is None:
            version.state = END
        else:
            version.state = AVAILABLE
            model.serving[version.number] = version
            _LOG.info("Loaded servable version {name: %s version: %d}", version.model_name, version.number)
        self._reconcile(version.model_name)
        self._notify()

    async def _is_still_aspired(self, model: _Model, version: Version) -> bool:
        """Waits until the next attempt at a load, or until the version is not wanted any more."""
        dropped = self._until(lambda: version.number not in model.aspired)
        try:
            await asyncio.wait_for(dropped, max(self._flags.load_retry_interval_micros, 0) / 1e6)
        except asyncio.TimeoutError:
            return True
        return False

    async def _unload(self, version: Version) -> None:
        await self._until(lambda: not version.users)
        await self._close(version)
        _LOG.info("Unloaded servable version {name: %s version: %d}", version.model_name, version.number)
        self._reconcile(version.model_name)
        self._notify()

    async def _close(self, version: Version) -> None:
        self._models[version.model_name].serving.pop(version.number, None)
        servable, version.servable = version.servable, None
        if servable is not None:
            version.state = UNLOADING
            await asyncio.get_running_loop().run_in_executor(self._unloaders, servable.close)
        version.state = END

    def _is_settled(self, name: str) -> bool:
        """Whether a model serves, or all of its versions have failed."""
        model = self._models.get(name, _Model())
        ended = {number for number, version in model.versions.items() if version.state == END}
        failed = bool(model.aspired) and model.aspired.keys() <= ended
        return bool(model.serving) or failed or name not in self._configured

    def _raise_failures(self, names: Iterable[str]) -> None:
        models = {name: self._models.get(name, _Model()) for name in names if name in self._configured}
        failed = [name for name, model in models.items() if not model.serving]
        if not failed:
            return
        reasons = [
            f"{{{{name: {name} version: {version.number}}} due to error: {_described(version.error)}}}, "
            for name in failed
            for version in models[name].versions.values()
            if version.number in models[name].aspired
        ]
        raise ServingError(
            grpc.StatusCode.UNKNOWN,
            f"{len(failed)} model(s) did not become available: {{{''.join(reasons)}}}",
        )

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            await self._changed.wait()

    def _notify(self) -> None:
        # All that wait now wake up, and wait again if theirs has not come.
        self._changed.set()
        self._changed.clear()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _described(error: ServingError | None) -> str:
    return f"{error.code.name}: {error.message}" if error else "none"
