"""A raw example and an answer in, sums that add up over examples and the metrics of those sums out.

One module a family, each an Evaluation of `components/protocols.py`; NumPy and SciPy, no TensorFlow. Read
`classification` first; `confusion` has the formulas that the models' own metrics use, too. `regression` is
for scores.
"""
