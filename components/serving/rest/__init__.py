"""TensorFlow Serving's REST API: HTTP requests go in, calls of the Api are made, JSON comes out.

Read `server`, which listens, then `app`: which call a path stands for, and every status. `body` reads what
was sent, within its limits, `json` translates it and the answer, `metrics` counts for Prometheus, and
`openapi` describes the loaded models.
"""
