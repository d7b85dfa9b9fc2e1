from __future__ import annotations

import pytest

from components.config import ConfigError
from components.serving.__main__ import main
from components.serving.flags import IGNORED, ServerFlags, parse_flags


def test_the_defaults_are_tensorflow_servings() -> None:
    flags = parse_flags([]).flags
    assert flags == ServerFlags()
    assert (flags.port, flags.rest_api_port, flags.rest_api_timeout_in_ms) == (8500, 0, 30_000)
    assert (flags.max_num_load_retries, flags.load_retry_interval_micros) == (5, 60_000_000)
    assert (flags.file_system_poll_wait_seconds, flags.model_config_file_poll_wait_seconds) == (1, 0)
    assert (flags.model_name, flags.enable_model_warmup, flags.host) == ("default", True, "127.0.0.1")


@pytest.mark.parametrize("form", [["--port=9000"], ["--port", "9000"]])
def test_values_follow_an_equals_sign_or_a_space(form: list[str]) -> None:
    assert parse_flags(form).flags.port == 9000


@pytest.mark.parametrize(
    ("form", "value"), [("", True), ("=true", True), ("=1", True), ("=false", False), ("=0", False)]
)
def test_a_boolean_stands_alone_or_with_its_value(form: str, value: bool) -> None:
    assert parse_flags([f"--enable_batching{form}", "--port=1"]).flags.enable_batching is value


def test_flags_that_do_nothing_here_and_unknown_ones_are_told_and_not_fatal() -> None:
    parsed = parse_flags(["--use_alts_credentials", "--prot=1", "--flush_filesystem_caches=false", "x"])
    assert parsed.flags == ServerFlags()
    assert parsed.warnings == (
        f"--flush_filesystem_caches has no effect: {IGNORED['flush_filesystem_caches']}",
        f"--use_alts_credentials has no effect: {IGNORED['use_alts_credentials']}",
        "unknown argument: --prot=1",
        "unknown argument: x",
    )


def test_cors_has_the_name_of_either_release() -> None:
    for name in ("enable_cors_support", "rest_api_enable_cors_support"):
        assert parse_flags([f"--{name}"]).flags.enable_cors_support


@pytest.mark.parametrize("wrong", ["--port=x", "--port=70000", "--enable_batching=maybe", "--port"])
def test_a_wrong_value_is_refused_with_the_flags_name(wrong: str) -> None:
    with pytest.raises(ConfigError, match=wrong.strip("-").partition("=")[0]):
        parse_flags([wrong])


def test_the_command_says_what_is_wrong_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--port=x"]) == 2
    assert capsys.readouterr().err.startswith("error: flags.port: ")


def test_the_command_tells_its_versions(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("TensorFlow ModelServer: 2.")
