"""Volumes that are split over devices, `train.partition`: Keras on JAX, in a process of its own.

Keras' backend is chosen when it is imported, and TensorFlow's convolutions exchange the borders of their
parts on TPUs alone. So the Trainer starts `python -m components.trainer.partition`, which reads the same
windows by TensorFlow and takes the same steps by JAX; XLA cuts each step up along the axes of the volumes.
A batch is what it was: statistics of a normalization are of the whole of it.

- `process.py`: the Trainer's side; it knows no JAX. `messages.py`: what the two tell each other.
- `child.py`: the process; `training.py`: the trainer's own loop in it; `steps.py`: what is compiled.
- `devices.py`: which devices there are, and how a batch lies on them.
"""
