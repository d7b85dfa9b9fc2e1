"""Some updates of two weights, by whatever Keras runs on."""

from typing import Any

import keras
import numpy as np

from components.train_config import TrainConfig
from components.trainer.optimizer import make_optimizer

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "adamw": {"weight_decay": 0.1, "schedule": "cosine", "warmup_fraction": 0.4},
    "lamb": {"weight_decay": 0.1, "schedule": "linear", "epsilon": 1e-6},
    "adam": {"schedule": "linear", "epsilon": 1e-3},
    "sgd": {"momentum": 0.9, "nesterov": True, "schedule": "exponential", "decay_steps": 2},
}


def updated(settings: dict[str, Any]) -> list[Any]:
    """Returns a kernel and a bias, which is not decayed, after five updates."""
    config = TrainConfig(optimizer=_name(settings), learning_rate=0.1, **settings)
    start = np.arange(1, 5, dtype=np.float32)
    variables = [keras.Variable(start, name=name) for name in ("kernel", "bias")]
    optimizer = make_optimizer(config, 5, variables, {"bias": 0.5})
    random = np.random.default_rng(0)
    for _ in range(5):
        gradients = random.normal(size=(2, 4)).astype(np.float32)
        optimizer.apply([keras.ops.convert_to_tensor(each) for each in gradients], variables)
    return [variable.numpy().tolist() for variable in variables]


def _name(settings: dict[str, Any]) -> Any:
    return next(name for name, known in OPTIMIZERS.items() if known is settings)
