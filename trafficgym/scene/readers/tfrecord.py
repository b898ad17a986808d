"""TFRecord framing, read without TensorFlow.

A record is an 8-byte little-endian length, the masked CRC32C of those 8 bytes, the payload, and the
masked CRC32C of the payload (TensorFlow, ``tensorflow/core/lib/io/record_writer.h``).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import google_crc32c

HEADER_BYTES = 12
# protobuf refuses messages of 2 GiB and more, so that a longer record cannot be a Scenario.
_MAX_PAYLOAD = 2**31 - 1
_CRC_MASK_DELTA = 0xA282EAD8


@dataclass(frozen=True, kw_only=True)
class Damaged:
    """A record that cannot be used."""

    reason: str


def masked_crc(data: bytes) -> int:
    """CRC32C of `data`, rotated and shifted as TFRecord stores it."""
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + _CRC_MASK_DELTA) & 0xFFFFFFFF


def is_header(data: bytes) -> bool:
    """Whether `data` begins with the 12 bytes of a sound record header: a length and its CRC."""
    if len(data) < HEADER_BYTES:
        return False
    return struct.unpack_from("<I", data, 8)[0] == masked_crc(data[:8])


def frame(payload: bytes) -> bytes:
    """Return `payload` as one TFRecord record."""
    length = struct.pack("<Q", len(payload))
    return length + struct.pack("<I", masked_crc(length)) + payload + struct.pack("<I", masked_crc(payload))


def records(stream: BinaryIO) -> Iterator[bytes | Damaged]:
    """Yield the payload of each record, one in memory at a time.

    A payload with a wrong CRC yields `Damaged` and the next record follows, since the length was right;
    after a damaged length or a truncated record nothing can be found, and the stream ends with `Damaged`.
    """
    while header := stream.read(HEADER_BYTES):
        if len(header) < HEADER_BYTES:
            yield Damaged(reason=f"is truncated: the file ends {len(header)} bytes into its header; {_REMEDY}")
            return
        if not is_header(header):
            yield Damaged(
                reason="has a wrong CRC of its length, so that neither it nor the records after it can be found; "
                + _REMEDY
            )
            return
        length = struct.unpack_from("<Q", header)[0]
        if length > _MAX_PAYLOAD:
            yield Damaged(reason=f"claims {length} bytes, more than a Scenario can have; {_REMEDY}")
            return
        payload = stream.read(length)
        footer = stream.read(4)
        if len(footer) < 4:
            there = len(payload) + len(footer)
            yield Damaged(reason=f"is truncated: {there} of its {length + 4} bytes are there; {_REMEDY}")
            return
        if struct.unpack("<I", footer)[0] != masked_crc(payload):
            yield Damaged(reason=f"has a wrong CRC: its bytes changed after they were written; {_REMEDY}")
        else:
            yield payload


_REMEDY = "download the file again"
