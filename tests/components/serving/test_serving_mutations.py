"""Valid requests in which something is changed are answered, or refused for what they hold."""

import asyncio
from pathlib import Path

import pytest
from rest_client import ECHOED, save_echo
from serving_client import served
from serving_mutations import make_request, send_all


@pytest.mark.parametrize("batched", [False, True])
def test_no_request_ends_in_an_unknown_error_or_without_an_answer(tmp_path: Path, batched: bool) -> None:
    save_echo(tmp_path)
    with served(tmp_path, rest_api_port=-1, enable_batching=batched) as client:
        ports = client.server.grpc_port, client.server.rest_port
        outcomes = asyncio.run(send_all(range(600), ECHOED, *ports))
        assert outcomes.wrong == []
        # Some of all kinds went well, or nothing would have been tried.
        assert {"gRPC OK", "REST 200", "HTTP 200"} <= outcomes.answers.keys()
        assert client.answer(2.0) == 3.0


def test_a_request_follows_from_its_number() -> None:
    requests = [make_request(number, ECHOED) for number in range(50)]
    assert requests == [make_request(number, ECHOED) for number in range(50)]
    assert len(set(requests)) > 40
