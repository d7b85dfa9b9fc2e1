"""The local web page: `millrace ui` over everything under a pipeline root.

Read `app` first, where a path becomes a page; then the pages by what they show: `runs_page`, `run_page`,
`data_page`, `compare_page`, `models_page`, `asking_page`. `past` keeps the history of runs, `charts` draws,
`answering` asks models in a process of its own, `guard` and `forms` say who may ask, `server` is the port.

Nothing here imports TensorFlow or TFX, but in that other process. It reads; only a rollback writes.
"""
