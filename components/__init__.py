"""What happens to data on its way from raw files to answers; nothing here knows of DAGs or runners.

Read `protocols` first, which says what a task is made of, then `task`. The packages follow the data:
formats, sources, example_gen, transform, windows, models, trainer, export, evaluator with metrics, canary,
pusher with registry, and, apart from all others, serving. docs/architecture.md has the picture.
"""
