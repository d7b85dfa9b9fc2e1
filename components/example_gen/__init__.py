"""Any source's files to shards of tf.Examples, their digests and counts, and the schema that they must fit.

`component` puts a source into the node ExampleGen, `executor` takes it out again and runs it on Beam. What
workers do imports no TFX: `digests` sums the files up, then `shards` writes examples, and `found` tells the
main process what was in them. `schema` and `validation` are the nodes SchemaGen and ExampleValidator.
"""
