"""The one error that both protocols answer with."""

from __future__ import annotations

import grpc


class ServingError(Exception):
    """A request, or a part of the server, failed with this status; each protocol says it its own way."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def invalid_argument(message: str) -> ServingError:
    """Returns the error for a request that can never succeed as it stands."""
    return ServingError(grpc.StatusCode.INVALID_ARGUMENT, message)


def not_found(message: str) -> ServingError:
    """Returns the error for a model, version or signature that is not there."""
    return ServingError(grpc.StatusCode.NOT_FOUND, message)
