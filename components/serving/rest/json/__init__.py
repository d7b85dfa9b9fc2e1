"""JSON ↔ messages: a request's bytes go in, tensors or tf.Examples come out, and answers the other way.

Read `document` for what is JSON, then `tensors` for Predict and `examples` for Classify and Regress, both
upon `values` and `strings`; `dense` is the short way for one tensor of numbers, and `faults` says what does
not fit. `answers` writes responses, with `numbers` for floats.
"""
