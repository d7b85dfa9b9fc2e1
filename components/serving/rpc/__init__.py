"""TensorFlow Serving's gRPC services: messages go in, the Api is called, messages or a status come out.

Read `services` for the methods and their messages, then `server`, and `uploads` for how messages are
received.
"""
