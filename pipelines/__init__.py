"""How the components are wired to a DAG, run on this machine or on a cluster, and asked.

Read `tasks` first, then `dag`, which makes a TFX pipeline of a task, `runs`, which runs it here, and
`kubeflow`, which translates it for a cluster. `planning` proposes settings before, `prediction` asks what
came out; `projects` makes a task of somebody's own data; `cli` is the command `millrace` over all of it.
"""
