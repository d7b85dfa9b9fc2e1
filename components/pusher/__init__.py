"""Publishing a blessed model.

In go the model, the Evaluator's and the Canary's blessings and the evaluation; out comes `pushed_model`,
which says whether the model was published, as which version and where, or why not. What publishing is,
components/registry tells. Read `executor`, then `component`. TFX's plumbing is explained in
pipelines/dag/__init__.py.
"""
