"""The Canary: an exported model goes in, the verdict whether it may be pushed comes out.

The model is served by a server of its own, which may crash, and asked what the trainer asked. Read
executor.py first; probe.py, which tries a model and makes sense of how that ends; replay.py, which compares
the answers; then server.py with child.py, the process of the server, and component.py, the node in the DAG.
"""
