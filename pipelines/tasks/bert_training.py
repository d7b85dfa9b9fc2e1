"""What the tasks of fine-tuning BERT have in common."""

from typing import Final

from components.train_config import TrainConfig

# Learning rate, batch sizes, epochs, decay, clipping and warm-up of google-research/bert's run_classifier.py.
FINE_TUNING: Final = TrainConfig(
    global_batch_size=32,
    eval_global_batch_size=64,
    num_epochs=3,
    optimizer="adamw",
    learning_rate=5e-5,
    epsilon=1e-6,
    weight_decay=0.01,
    clip_norm=1.0,
    schedule="linear",
    warmup_fraction=0.1,
)
# Random weights have further to go.
FROM_SCRATCH: Final = FINE_TUNING.model_copy(update={"learning_rate": 5e-4, "num_epochs": 6})
