"""The nodes of the DAG by id, in the order in which they run."""

from __future__ import annotations

from typing import Final

from components.config import ConfigError, unknown_name

# Execution property of every node: what it depends on beside its inputs and settings, as JSON.
FINGERPRINT: Final = "fingerprint"

EXAMPLE_GEN = "ExampleGen"
SCHEMA_GEN = "SchemaGen"
STATISTICS_GEN = "StatisticsGen"
EXAMPLE_VALIDATOR = "ExampleValidator"
TRANSFORM = "Transform"
TRAINER = "Trainer"
LATEST_BLESSED_MODEL = "LatestBlessedModel"
EVALUATOR = "Evaluator"
CANARY = "Canary"
PUSHER = "Pusher"

NODES = (
    EXAMPLE_GEN, SCHEMA_GEN, STATISTICS_GEN, EXAMPLE_VALIDATOR, TRANSFORM, TRAINER,
    LATEST_BLESSED_MODEL, EVALUATOR, CANARY, PUSHER,
)  # fmt: skip

# The nodes that each one waits for, as `pipeline` wires them.
EDGES = {
    EXAMPLE_GEN: (),
    SCHEMA_GEN: (),
    STATISTICS_GEN: (EXAMPLE_GEN, SCHEMA_GEN),
    EXAMPLE_VALIDATOR: (SCHEMA_GEN, STATISTICS_GEN),
    TRANSFORM: (EXAMPLE_GEN, SCHEMA_GEN, EXAMPLE_VALIDATOR),
    TRAINER: (EXAMPLE_GEN, SCHEMA_GEN, STATISTICS_GEN, TRANSFORM),
    LATEST_BLESSED_MODEL: (TRAINER,),
    EVALUATOR: (EXAMPLE_GEN, SCHEMA_GEN, TRAINER, LATEST_BLESSED_MODEL),
    CANARY: (TRAINER, EVALUATOR),
    PUSHER: (TRAINER, EVALUATOR, CANARY),
}


def find_node(name: str) -> str:
    """Returns the id: "example_gen" -> "ExampleGen"; an unknown name lists the known ones."""
    by_key = {node.lower(): node for node in NODES}
    key = name.lower().replace("_", "").replace("-", "")
    if key not in by_key:
        raise ConfigError(unknown_name("node", name, NODES))
    return by_key[key]


def check_order(from_node: str | None, until_node: str | None) -> None:
    """Raises ConfigError if a run would end before it starts."""
    if from_node and until_node and NODES.index(from_node) > NODES.index(until_node):
        raise ConfigError(f"--from {from_node} comes after --until {until_node}")
