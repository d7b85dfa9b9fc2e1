"""Which published model a candidate is compared with.

In goes the `candidate`, out comes a copy of the newest version in the registry that is neither the
candidate's own content nor withdrawn by a rollback; nothing, where there is none. Read `executor`, then
`component`. TFX's plumbing is explained in pipelines/dag/__init__.py.
"""
