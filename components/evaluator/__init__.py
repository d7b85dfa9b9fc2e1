"""Raw examples and a model in; a measured and blessed model out, with `metrics.json` and `report.html`.

Read `executor` first, then `measuring`, the pass that measures. What a task's Evaluation says of one answer
becomes a metric of TensorFlow Model Analysis in `judging`, which `tfma_setup` puts into its configuration;
`worst` and `bootstrap` look at the same examples in the same pass; `result` gives the verdict, `report` shows
it, with the model's `provenance`. pipelines/dag says what TFX's words mean.
"""
