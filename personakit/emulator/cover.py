"""Makes the cover pictures that songs link to: one plain colour, a valid PNG."""

from __future__ import annotations

import random
import struct
import zlib

SIDE = 32
"""Width and height in pixels."""


def draw(track_id: str) -> bytes:
    """Return a PNG picture whose colour comes from the track id."""
    row = b"\0" + random.Random(track_id).randbytes(3) * SIDE
    size = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", size)
        + _chunk(b"IDAT", zlib.compress(row * SIDE))
        + _chunk(b"IEND", b"")
    )


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + check
