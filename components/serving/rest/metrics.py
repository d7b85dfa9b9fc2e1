"""Prometheus' text format: TensorFlow Serving's own request metrics, and more detailed ones.

Format: prometheus.io/docs/instrumenting/exposition_formats. Names, labels and buckets of the first kind are
those of TensorFlow Serving's servables/tensorflow/util.cc, in microseconds.
"""

from __future__ import annotations

import bisect
import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import grpc
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusRequest, ModelVersionStatus
from tensorflow_serving.apis.model_pb2 import ModelSpec

from components.serving.api import Api, Observation
from components.serving.errors import ServingError

_BUCKETS_US: Final = tuple(10 * 1.8**i for i in range(33))
_ENTRYPOINTS: Final = {"grpc": "GRPC", "rest": "REST"}
# Over gRPC the call is named by its method, over REST by its path.
_GRPC_NAMES: Final = {
    "predict": "Predict",
    "classify": "Classify",
    "regress": "Regress",
    "multi_inference": "MultiInference",
}

_Labels = tuple[tuple[str, str], ...]


class _Histogram:
    def __init__(self) -> None:
        self.counts = [0] * (len(_BUCKETS_US) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect.bisect_left(_BUCKETS_US, value)] += 1
        self.sum += value


class _Family(NamedTuple):
    name: str
    kind: str
    samples: Mapping[_Labels, float]


class Metrics:
    """Counts requests as an observer of the Api, and writes what it counted; on the event loop.

    Labels take only what the server knows, so that clients cannot make up series: other models are "", and so
    are signatures that never answered.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._answered: set[tuple[str, str]] = set()
        self._requests: defaultdict[_Labels, float] = defaultdict(float)
        self._latencies: defaultdict[_Labels, _Histogram] = defaultdict(_Histogram)
        self._detailed: defaultdict[_Labels, float] = defaultdict(float)
        self._detailed_latencies: defaultdict[_Labels, _Histogram] = defaultdict(_Histogram)

    def observe(self, request: Observation) -> None:
        """Counts one answered request."""
        model = request.model_name if request.model_name in self._api.model_names else ""
        if request.code is grpc.StatusCode.OK:
            self._answered.add((model, request.signature_name))
        call = _GRPC_NAMES[request.method] if request.api == "grpc" else request.method
        self._requests[_labels(model_name=model, status=request.code.name)] += 1
        where = _labels(model_name=model, API=call, entrypoint=_ENTRYPOINTS[request.api])
        self._latencies[where].add(request.seconds * 1e6)
        known = (model, request.signature_name) in self._answered
        detailed = _labels(
            model_name=model,
            version="" if request.version is None else str(request.version),
            signature_name=request.signature_name if known else "",
            method=request.method,
            api=request.api,
            status=request.code.name,
        )
        self._detailed[detailed] += 1
        self._detailed_latencies[detailed].add(request.seconds * 1e6)

    def page(self) -> str:
        """Returns all metrics as text."""
        lines: list[str] = []
        for family in (
            _Family(":tensorflow:serving:request_count", "counter", self._requests),
            _Family("millrace_serving_requests", "counter", self._detailed),
            _Family("millrace_serving_version_state", "gauge", self._states()),
        ):
            lines.append(f"# TYPE {family.name} {family.kind}")
            lines += [_sample(family.name, labels, value) for labels, value in sorted(family.samples.items())]
        lines += _histogram_lines(":tensorflow:serving:request_latency", self._latencies)
        lines += _histogram_lines("millrace_serving_latency_us", self._detailed_latencies)
        return "\n".join(lines) + "\n"

    def _states(self) -> dict[_Labels, float]:
        states = {}
        for name in self._api.model_names:
            for found in self._versions(name):
                state = ModelVersionStatus.State.Name(found.state)
                states[_labels(model_name=name, version=str(found.version), state=state)] = 1.0
        return states

    def _versions(self, name: str) -> Iterable[ModelVersionStatus]:
        try:
            status = self._api.model_status(GetModelStatusRequest(model_spec=ModelSpec(name=name)))
        except ServingError:
            return []  # no version was found yet
        return status.model_version_status


def _labels(**labels: str) -> _Labels:
    return tuple(labels.items())


def _sample(name: str, labels: Iterable[tuple[str, str]], value: float) -> str:
    listed = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels)
    return f"{name}{{{listed}}} {value:.15g}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _histogram_lines(name: str, histograms: Mapping[_Labels, _Histogram]) -> list[str]:
    lines = [f"# TYPE {name} histogram"]
    for labels, histogram in sorted(histograms.items(), key=lambda item: item[0]):
        limits = [*(f"{limit:g}" for limit in _BUCKETS_US), "+Inf"]
        for limit, count in zip(limits, itertools.accumulate(histogram.counts), strict=True):
            lines.append(_sample(f"{name}_bucket", (*labels, ("le", limit)), count))
        lines.append(_sample(f"{name}_sum", labels, histogram.sum))
        lines.append(_sample(f"{name}_count", labels, sum(histogram.counts)))
    return lines
