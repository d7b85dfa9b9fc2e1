"""TensorFlow Serving's interface: SavedModels in folders go in, answers over gRPC and REST come out.

What is asked, answered and refused is what tensorflow_model_server does, message for message. Read
`__main__` and `flags` for the command, then `server`, which puts the parts together: `models` loads
versions and knows what a request runs; `api` is what both protocols call, alone or through `batching`;
`rpc` and `rest` translate the protocols to it. `memory` bounds what requests hold together, `threads` says
what leaves the event loop, `config_protos` reads the text protos that flags name, and `errors` has the one
error that both protocols answer with.
"""
