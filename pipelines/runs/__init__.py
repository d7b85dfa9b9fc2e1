"""Runs on this machine: started, repeated, and looked back at.

In goes a task with settings; out come what the run did (`local.RunReport`), what past runs did
(`history.Run`, read from ML Metadata) and whether another run would do anything new (`retrain`). Read
`launch`, which checks what is cheap to check, then `local`, which runs the DAG of pipelines/dag with TFX's
own runner, with `lock` and `beam` beside it, and `display`, which shows it; `measure`, which runs the
Evaluator's pass alone; then `record`, which says what made a run, of what `surroundings` finds, `history`,
`logs` and `cleaning`; and `explain`, `foresee`, `compare` and `drift`, which compare runs and data. TFX's
plumbing is explained in pipelines/dag/__init__.py.
"""
