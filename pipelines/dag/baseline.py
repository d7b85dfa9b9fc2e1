"""Which model a candidate is compared with."""

from __future__ import annotations

from typing import Any

from tfx.dsl.input_resolution.strategies.latest_blessed_model_strategy import LatestBlessedModelStrategy


class BlessedBeforeCandidate(LatestBlessedModelStrategy):
    """Resolves the latest blessed model that is older than the candidate.

    TFX's own strategy would resolve, on a second run with nothing changed, the very model that the first
    one blessed; the Evaluator's inputs would differ and its cached result could not be used.
    """

    def resolve_artifacts(self, store: Any, input_dict: dict[str, list[Any]]) -> dict[str, list[Any]] | None:
        """Returns at most one `model` with its `model_blessing`, and the `candidate` as it came."""
        candidates = input_dict["candidate"]
        if not candidates:
            return None
        older = [model for model in input_dict["model"] if model.id < candidates[0].id]
        found = super().resolve_artifacts(
            store, {"model": older, "model_blessing": list(input_dict["model_blessing"])}
        )
        return {**(found or {"model": [], "model_blessing": []}), "candidate": candidates}
