"""Choices by a hash: the same for the same data, whatever the order, the process or the number of workers."""

import hashlib


def hashed(*parts: object) -> int:
    """Returns 64 bits that these parts alone decide."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest(), "big")
