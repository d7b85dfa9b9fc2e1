"""A server of S3 on a free port, which it prints. Not a test module.

One request at a time: moto looks for an object and writes it in two steps, where S3 does both in one.
"""

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

if __name__ == "__main__":
    server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app))
    print(server.port, flush=True)
    server.serve_forever()
