"""Whether a WordPiece vocabulary knows upper-case letters; texts lose theirs where it does not."""

from __future__ import annotations
