"""Trains a task's model on transformed examples: GZIP TFRecords and a Task go in, a servable SavedModel
comes out.

Beside the model it writes what decided it (`assets.extra/origin.json`), how it did
(`assets.extra/millrace.json`, `results.json`) and TensorBoard's events. Checkpoints lie outside the
node's outputs, so that a later attempt at the same training goes on from them, until the model is
published.

To read, in this order:

- `run.py`: what the node does; `component.py` makes a TFX component of it.
- `train.py`: one training, from files to weights. `loop.py`: its compiled part, optimizer steps and
  evaluation.
- `records.py`, `shuffling.py`, `input_pipeline.py`: examples to batches; `window_streams.py`: the same by
  windows.
- `hosts.py`, `strategies.py`, `optimizer.py`, `loss_scale.py`, `replica_seeds.py`: processes and devices,
  and what a step does on them.
- `partition/`: one volume over several devices, in a process of JAX.
- `checkpoints.py`, `best.py`, `curves.py`, `unfinished.py`, `progress.py`: what stays of a run that ends,
  and what people see of it.
"""
