"""The server: models, gRPC and REST on one event loop, from start to graceful stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from tensorflow_serving.apis.model_pb2 import ModelSpec
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from components.serving.api import Api
from components.serving.config_protos import read_text_proto
from components.serving.errors import ServingError
from components.serving.flags import ServerFlags, address
from components.serving.memory import Budget
from components.serving.models.loader import SavedModelLoader
from components.serving.models.manager import Manager
from components.serving.models.model_config import initial_config
from components.serving.models.warmup import recorded_requests
from components.serving.rpc.server import GrpcServer

if TYPE_CHECKING:
    from components.serving.rest.server import RestServer

_LOG: Final = logging.getLogger(__name__)

# Requests in flight may take this long after a stop; a second signal ends them at once.
_GRACE_S: Final = 3600.0
# Addresses that stand for all of a machine's, and are none to connect to.
_ANY_HOST: Final = ("0.0.0.0", "::")


class Server:
    """Serves from `start` to `stop`, both on one event loop."""

    def __init__(self, flags: ServerFlags) -> None:
        self._flags = flags
        loader = SavedModelLoader(flags)
        self._manager = Manager(loader, flags)
        num_threads = max(flags.grpc_max_threads, flags.rest_api_num_threads)
        num_batch_threads = loader.batching.num_batch_threads if loader.batching else 1
        self.api = Api(self._manager, num_threads, num_batch_threads)
        self._budget = Budget(flags.max_bytes_in_flight)
        self._grpc: GrpcServer | None = None
        self._rest: RestServer | None = None
        self._reader: asyncio.Task[None] | None = None

    async def start(self, announce: Callable[[str], None] = lambda line: None) -> None:
        """Returns once all models serve and the ports are open; ServingError if that cannot be.

        `announce` gets a line such as "listening on 127.0.0.1:8500 (gRPC)" for each port.
        """
        flags = self._flags
        config = initial_config(flags)
        await self._manager.start(config)
        self._grpc = GrpcServer(self.api, self._manager, self._budget, flags)
        await self._grpc.start()
        announce(f"listening on {address(flags.host, self._grpc.port)} (gRPC)")
        if flags.grpc_socket_path:
            announce(f"listening on unix:{flags.grpc_socket_path} (gRPC)")
        if flags.rest_api_port:
            # Only where it is wanted: a web framework takes a while to import.
            from components.serving.rest.server import RestServer

            self._rest = RestServer(self.api, self._budget, flags)
            await self._rest.start()
            announce(f"listening on {address(flags.host, self._rest.port)} (REST)")
            await self._announce_trial(announce)
        if flags.model_config_file and flags.model_config_file_poll_wait_seconds > 0:
            self._reader = asyncio.create_task(self._follow_config(config))

    @property
    def grpc_port(self) -> int:
        """The TCP port of gRPC, 0 before the start."""
        return self._grpc.port if self._grpc else 0

    @property
    def rest_port(self) -> int:
        """The TCP port of REST, 0 if there is none."""
        return self._rest.port if self._rest else 0

    async def stop(self, grace_s: float = _GRACE_S) -> None:
        """Is not ready any more, ends the requests in flight, then unloads the models."""
        self._manager.begin_stop()
        if self._reader:
            self._reader.cancel()
        stops = [part.stop(grace_s) for part in (self._grpc, self._rest) if part]
        await asyncio.gather(*stops)
        await self._manager.stop()
        self.api.stop()

    async def _announce_trial(self, announce: Callable[[str], None]) -> None:
        """Announces a request that works, of the first model that has one recorded."""
        from components.serving.rest import trial

        host = "localhost" if self._flags.host in _ANY_HOST else self._flags.host
        for name in self.api.model_names:
            with contextlib.suppress(ServingError):
                path = self._manager.find(ModelSpec(name=name)).path
                requests = await asyncio.to_thread(lambda path: list(recorded_requests(path)), path)
                url = trial.predict_url(address(host, self.rest_port), name)
                if command := trial.curl_command(url, requests):
                    announce(f"try it: {command}")
                    return

    async def _follow_config(self, last: ModelServerConfig) -> None:
        while True:
            await asyncio.sleep(self._flags.model_config_file_poll_wait_seconds)
            try:
                config = await asyncio.to_thread(
                    read_text_proto, self._flags.model_config_file, ModelServerConfig
                )
                if config != last:
                    last = config
                    await self._manager.reload(config)
            except ServingError as error:
                _LOG.error("PollFilesystemAndReloadConfig failed: %s", error.message)


async def serve_until_signal(flags: ServerFlags, announce: Callable[[str], None]) -> None:
    """Serves until SIGTERM or SIGINT, and returns when the requests in flight have ended.

    A second signal ends the process at once. Raises ServingError if the server cannot start.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _on_signal, number, stopping)
    server = Server(flags)
    started = asyncio.create_task(server.start(announce))
    told = asyncio.create_task(stopping.wait())
    await asyncio.wait([started, told], return_when=asyncio.FIRST_COMPLETED)
    if started.done():
        await started
        await told
    else:
        started.cancel()
    _LOG.info("stopping")
    await server.stop()


def _on_signal(number: int, stopping: asyncio.Event) -> None:
    if stopping.is_set():
        os._exit(128 + number)
    stopping.set()
