"""Published models on a file system or an object store, without TFX and, for local folders, TensorFlow.

In goes a SavedModel with what is known about it; out comes a numbered version in a folder that a model
server watches, with digests of its files. Read `registry` (publish, roll back, list, verify), then
`storage`, which makes the same hold on file systems and object stores, then `refusals`, which remembers
what was trained and not published.
"""
