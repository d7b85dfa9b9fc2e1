"""The DAG of a task: which nodes there are, what they are told, and what makes a node run again.

In goes a task with a run's settings, out comes a pipeline that any runner takes. Read `nodes` and
`settings`, then `pipeline`; then `fingerprint`, `imports` and `judge`, which say what results depend on,
and `entrypoints` and `training`, the functions that TFX calls.

TFX's plumbing, for all packages here. A node of a pipeline is a component: a *spec* (a `ComponentSpec`)
names its inputs, outputs and execution properties with their types; an *executor* is the class whose `Do`
gets all three and does the work, in any process. An *artifact* is a folder with a type and some
properties, such as a model; a *channel* stands for the artifacts that another node will have made, so
that passing `trainer.outputs["model"]` to a node makes it run after the Trainer. Before a node runs, a
*driver* may look at the world (which files are there, which version is live) and add execution
properties. Then the *launcher* makes a key of the node, its executor, its inputs and all execution
properties: if an execution with that key is complete in *ML Metadata*, TFX's database of executions and
artifacts, its outputs are taken, and nothing runs. So whatever changes a result has to be an input or an
execution property, and what does not must be neither. Every node here has the execution property
`fingerprint` for what it runs. On Kubeflow Pipelines there is no driver and no launcher: nodes with a
driver are never cached there.
"""
