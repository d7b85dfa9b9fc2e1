"""The fold that answers for whole examples: their windows go through the network, a few at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from components.protocols import Prepared, Windowing

Tensors = Mapping[str, Any]


def fold(
    windowing: Windowing,
    features: Tensors,
    network: Callable[[Tensors], Any],
    tell: Callable[[Any, Any], Any] | None = None,
) -> dict[str, Any]:
    """Returns the answers to a batch of whole examples, by name; in a graph or eagerly.

    Holds the windows of one call and the state, whatever the number of windows. `tell` hears before each call
    how many windows are done, and how many there are.
    """
    features = prepared(windowing, features)
    places = windowing.places(features)
    first = dict(windowing.start(features))
    count = tf.shape(places)[0]

    def add(position: Any, state: Tensors) -> tuple[Any, dict[str, Any]]:
        if tell is not None:
            tell(position, count)
        chosen = places[position : position + windowing.per_call]
        inputs = windowing.served(windowing.take(features, chosen))
        added = windowing.add(state, chosen, network(inputs))
        # A loop's state keeps its shapes, of which TensorFlow may lose sight.
        return position + windowing.per_call, {
            name: tf.ensure_shape(value, first[name].shape) for name, value in added.items()
        }

    _, state = tf.while_loop(
        lambda position, _: position < count,
        add,
        (tf.constant(0), first),
        # One call after another: their windows are not to be in memory at once.
        parallel_iterations=1,
    )
    return windowing.answers(state, features)


def prepared(windowing: Windowing, features: Tensors) -> dict[str, Any]:
    """Returns the features of a batch as the functions of a Windowing take them."""
    return dict(windowing.prepared(features) if isinstance(windowing, Prepared) else features)
