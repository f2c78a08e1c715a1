"""Mutations of binary files: bytes, and the fields of some formats with their checksums made right again."""

from __future__ import annotations

import gzip
import io
import json
import struct
import zlib
from collections.abc import Sequence
from random import Random

import mutate
from target import Change

SIZES = [0, 1, 2, 7, 255, 256, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**63, 2**64 - 1]


def of_bytes(source: bytes, draw: Random) -> bytes:
    """Some bytes or numbers overwritten, removed, repeated or cut off. The ends of a file are changed more often: there
    are its tables."""
    content = bytearray(source)
    for _ in range(draw.choice([1, 1, 2, 4, 12])):
        if not content:
            return b""
        at = draw.choice([draw.randrange(len(content)), draw.randrange(min(len(content), 64))])
        at = len(content) - 1 - at if draw.random() < 0.3 else at
        match draw.randrange(7):
            case 0:
                content[at] ^= 1 << draw.randrange(8)
            case 1:
                content[at] = draw.choice([0, 1, 0x7F, 0x80, 0xFF, draw.randrange(256)])
            case 2:
                size = draw.choice([2, 4, 8])
                number = draw.choice(SIZES) % (1 << 8 * size)
                content[at : at + size] = number.to_bytes(size, draw.choice(["little", "big"]))
            case 3:
                del content[at : at + draw.choice([1, 4, 16, 300])]
            case 4:
                content[at:at] = content[at : at + draw.choice([1, 8, 100])]
            case 5:
                content[at:at] = draw.randbytes(draw.choice([1, 4, 64]))
            case _:
                if draw.random() < 0.3:
                    del content[at:]
    return bytes(content)


def zipped(inner: Change) -> Change:
    """A gzip file whose content is changed by `inner`, or its bytes."""

    def change(source: bytes, draw: Random) -> bytes:
        if draw.random() < 0.4:
            return of_bytes(source, draw)
        return gzip.compress(inner(gzip.decompress(source), draw), 1, mtime=0)

    return change


def of_png(source: bytes, draw: Random) -> bytes:
    """A PNG file with a changed header, such as a huge size, whose checksum is right; or its bytes."""
    if draw.random() < 0.4:
        return of_bytes(source, draw)
    header = bytearray(source[16:29])
    for _ in range(draw.choice([1, 1, 2])):
        if draw.random() < 0.7:
            struct.pack_into(">I", header, draw.choice([0, 4]), draw.choice([*SIZES[:6], 7_100, 20_000, 2**31 - 1]))
        else:
            header[draw.randrange(8, 13)] = draw.choice([0, 1, 2, 3, 4, 6, 8, 16, 255])
    head = b"IHDR" + bytes(header)
    return source[:12] + head + struct.pack(">I", zlib.crc32(head)) + source[33:]


def of_tar(source: bytes, draw: Random) -> bytes:
    """A tar file with a changed field of a header, whose checksum is right; or its bytes."""
    if draw.random() < 0.4:
        return of_bytes(source, draw)
    content = bytearray(source)
    heads = [at for at in range(0, len(content) - 511, 512) if content[at + 257 : at + 262] == b"ustar"]
    at = draw.choice(heads)
    low, high = draw.choice([(0, 100), (100, 108), (124, 136), (136, 148), (156, 157), (157, 257), (345, 500)])
    values = [b"7" * 12, b"0", b"-1", b"\x80" + b"\xff" * 11, b"../../x.txt", b"/etc/x.txt", b"\xff\xfe.txt", b"x" * 99]
    new = draw.choice([draw.choice(values), draw.choice([b"1", b"2", b"5", b"x", b"g", b"L", b"K", b"S"])])
    content[at + low : at + high] = new[: high - low].ljust(high - low, b"\0")
    content[at + 148 : at + 156] = b" " * 8
    content[at + 148 : at + 156] = f"{sum(content[at : at + 512]):06o}\0 ".encode()
    return bytes(content)


def of_safetensors(source: bytes, draw: Random) -> bytes:
    """A safetensors file with changed values in its header, whose length is right; or its bytes."""
    if draw.random() < 0.3:
        return of_bytes(source, draw)
    (size,) = struct.unpack("<Q", source[:8])
    header = json.loads(source[8 : 8 + size])
    about = header.get("__metadata__", {})
    if "about" in about and draw.random() < 0.6:
        about["about"] = json.dumps(mutate.value(json.loads(about["about"]), draw))
    else:
        header = mutate.value(header, draw)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + source[8 + size :]


def records(payloads: Sequence[bytes]) -> Change:
    """A file of TFRecords, of which one holds other bytes, with its checksums; or its bytes."""

    def change(source: bytes, draw: Random) -> bytes:
        from log_files import record

        if draw.random() < 0.3:
            return of_bytes(source, draw)
        held = list(payloads)
        at = draw.randrange(len(held))
        held[at] = of_bytes(held[at], draw)
        return b"".join(map(record, held))

    return change


def png(side: int) -> bytes:
    """A small image."""
    from PIL import Image

    Image.new("RGB", (side, side), (200, 30, 90)).save(held := io.BytesIO(), "png")
    return held.getvalue()
