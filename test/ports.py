"""Ports of a test alone."""

import contextlib
import socket


@contextlib.contextmanager
def reserved_port():
    """A TCP port that nobody else is given meanwhile, and one process may listen to."""
    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(('127.0.0.1', 0))
        yield reserved.getsockname()[1]
