"""Cover pictures."""

from __future__ import annotations

import struct
import zlib

from personakit.emulator import cover


def test_picture():
    """A cover is a valid PNG of 32 by 32 pixels in one colour of the track's own."""
    picture = cover.draw("track-1")
    size = struct.unpack(">II", picture[16:24])
    start = picture.index(b"IDAT") + 4
    rows = zlib.decompress(picture[start:])

    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert picture.endswith(b"IEND" + struct.pack(">I", zlib.crc32(b"IEND")))
    assert size == (32, 32)
    assert len(rows) == 32 * (1 + 3 * 32)
    assert rows == (b"\0" + rows[1:4] * 32) * 32
    assert cover.draw("track-1") == picture
    assert cover.draw("track-2") != picture
