"""The flags of tensorflow_model_server, and those of this server alone.

Names, defaults and forms are TensorFlow Serving's (`--key=value`; `--flag` or `--flag=true` for booleans).
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from pydantic import Field

from components.config import Config, ConfigError

_NUM_THREADS: Final = 4 * (os.cpu_count() or 1)

# What the C++ server has and this one does not need; each is taken, with a warning.
IGNORED: Final = {
    "enable_grpc_healthcheck_service": "the health service always runs",
    "enable_profiler": "there is no profiler service",
    "flush_filesystem_caches": "nothing is kept from model files after a load",
    "mixed_precision": "models run as they were exported",
    "num_tflite_interpreters_per_pool": "there is no TensorFlow Lite here",
    "num_tflite_pools": "there is no TensorFlow Lite here",
    "platform_config_file": "the platform is always TensorFlow",
    "prefer_tflite_model": "there is no TensorFlow Lite here",
    "remove_unused_fields_from_bundle_metagraph": "only signatures are ever kept",
    "skip_initialize_tpu": "no TPU is initialized",
    "thread_pool_factory_config_file": "TensorFlow's own thread pools are used",
    "use_alts_credentials": "ALTS works on Google's machines alone",
    "xla_cpu_compilation_enabled": "models are compiled where they ask for it",
}
# Another name of the same flag.
_ALIASES: Final = {"rest_api_enable_cors_support": "enable_cors_support"}


class ServerFlags(Config):
    """Settings of a server; ports: 0 is any free port for gRPC, -1 for REST."""

    host: str = Field("127.0.0.1", description="address to listen on; 0.0.0.0 for all (own flag)")
    port: int = Field(8500, ge=0, le=65535, description="TCP port of gRPC; 0: any free one")
    grpc_socket_path: str = Field("", description="also serve gRPC on this UNIX socket")
    rest_api_port: int = Field(
        0, ge=-1, le=65535, description="TCP port of HTTP/REST; 0: no REST, -1: any free one"
    )
    rest_api_num_threads: int = Field(_NUM_THREADS, gt=0, description="requests over REST that run at once")
    rest_api_timeout_in_ms: int = Field(30_000, gt=0, description="timeout of a call over REST")
    enable_cors_support: bool = Field(False, description="CORS headers in answers over REST")
    max_request_bytes: int = Field(
        100 << 20, gt=0, description="largest body over REST, also when inflated (own flag)"
    )
    max_bytes_in_flight: int = Field(
        2 << 30, gt=0, description="bytes that requests may hold together, others are refused (own flag)"
    )
    upload_timeout_in_ms: int = Field(
        300_000, gt=0, description="longest time in which a request may arrive (own flag)"
    )
    upload_idle_timeout_in_ms: int = Field(
        30_000, gt=0, description="longest silence within a body over REST (own flag)"
    )
    grpc_max_slow_uploads: int = Field(
        16, gt=0, description="messages over gRPC that may take over 1 s to arrive, at once (own flag)"
    )
    model_name: str = Field("default", description="name of the model (not with --model_config_file)")
    model_base_path: str = Field("", description="absolute path or URI of the folder that holds versions")
    model_config_file: str = Field("", description="ModelServerConfig text proto: the models to serve")
    model_config_file_poll_wait_seconds: float = Field(
        0.0, description="seconds between readings of that file; 0: read once"
    )
    file_system_poll_wait_seconds: float = Field(
        1.0, description="seconds between looks for new versions; 0: look once"
    )
    allow_version_labels_for_unavailable_models: bool = Field(
        False, description="new labels may name a version that is not available yet"
    )
    saved_model_tags: str = Field("serve", description="comma-separated tags of the graph to load")
    num_load_threads: int = Field(0, ge=0, description="versions that load at once; 0: one")
    num_unload_threads: int = Field(0, ge=0, description="versions that unload at once; 0: one")
    max_num_load_retries: int = Field(5, ge=0, description="further attempts at a version that fails to load")
    load_retry_interval_micros: int = Field(60_000_000, description="microseconds between such attempts")
    enable_model_warmup: bool = Field(True, description="replay assets.extra/tf_serving_warmup_requests")
    num_request_iterations_for_warmup: int = Field(0, description="times that each is replayed, if > 0")
    enable_batching: bool = Field(False, description="run requests together")
    batching_parameters_file: str = Field("", description="BatchingParameters text proto")
    enable_per_model_batching_parameters: bool = Field(
        False, description="read batching_params.pbtxt beside each saved_model.pb"
    )
    monitoring_config_file: str = Field("", description="MonitoringConfig text proto: Prometheus")
    ssl_config_file: str = Field("", description="SSLConfig text proto: TLS for gRPC")
    grpc_channel_arguments: str = Field("", description="comma-separated key=value for the gRPC server")
    grpc_max_threads: int = Field(_NUM_THREADS, gt=0, description="requests over gRPC that run at once")
    tensorflow_session_parallelism: int = Field(0, ge=0, description="threads of a session; 0: automatic")
    tensorflow_intra_op_parallelism: int = Field(0, ge=0, description="threads within one operation")
    tensorflow_inter_op_parallelism: int = Field(0, ge=0, description="operations that run at once")
    tensorflow_session_config_file: str = Field("", description="ConfigProto text proto for sessions")
    per_process_gpu_memory_fraction: float = Field(
        0.0, ge=0, le=1, description="share of the GPU's memory; 0: automatic"
    )
    enable_signature_method_name_check: bool = Field(
        False, description="refuse classify and regress on signatures of another method name"
    )
    version: bool = Field(False, description="print the versions and exit")


def address(host: str, port: int) -> str:
    """Returns host and port as URLs have them: ("::1", 8500) -> "[::1]:8500"."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Parsed(NamedTuple):
    """Flags, and what to tell the user about the others."""

    flags: ServerFlags
    warnings: tuple[str, ...]
    # Arguments that are no flags of a model server.
    unknown: tuple[str, ...] = ()


def known_flags() -> tuple[str, ...]:
    """Returns the names of all flags that are taken, with or without effect."""
    return (*ServerFlags.model_fields, *IGNORED, *_ALIASES)


def parse_flags(arguments: Sequence[str]) -> Parsed:
    """Returns the parsed flags; raises ConfigError, and SystemExit for --help.

    parse_flags(["--port=9000", "--prot=1"]) -> port 9000, warning "unknown argument: --prot=1"
    """
    namespace, unknown = _parser().parse_known_args(list(arguments))
    given = {key: value for key, value in vars(namespace).items() if value is not None}
    warnings = [
        f"--{key} has no effect: {IGNORED[key]}" for key in IGNORED if given.pop(key, None) is not None
    ]
    warnings += [f"unknown argument: {argument}" for argument in unknown]
    return Parsed(ServerFlags().override(given, "flags"), tuple(warnings), tuple(unknown))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m components.serving",
        description="Serves TensorFlow SavedModels over gRPC and REST, as tensorflow_model_server does.",
        allow_abbrev=False,
    )
    for name, field in ServerFlags.model_fields.items():
        default = str(field.default).lower() if isinstance(field.default, bool) else field.default
        shown = f"{field.description} (default: {default if default != '' else 'none'})"
        names = [f"--{name}", *(f"--{alias}" for alias, target in _ALIASES.items() if target == name)]
        alone: dict[str, Any] = {"nargs": "?", "const": "true"} if isinstance(field.default, bool) else {}
        parser.add_argument(*names, help=shown, metavar=type(field.default).__name__.upper(), **alone)
    for name in IGNORED:
        parser.add_argument(f"--{name}", help=argparse.SUPPRESS, nargs="?", const="true")
    return parser


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise ConfigError(message)
