"""What a file is, told from its first bytes and never from its name; gzip is looked through."""

from __future__ import annotations

import gzip
import zlib
from enum import Enum
from pathlib import Path
from typing import BinaryIO, cast

from trafficgym.scene.readers.tfrecord import is_header

_HEAD_BYTES = 4096
# What fails while a damaged gzip stream is read.
GZIP_ERRORS = (gzip.BadGzipFile, EOFError, zlib.error)


class Format(Enum):
    """The kinds of content that a reader exists for, and two that deserve an error of their own."""

    TFRECORD = "TFRecord"
    PICKLE = "pickle"
    JSON = "JSON"
    PARQUET = "parquet"
    EMPTY = "empty"
    ZLIB_TFRECORD = "ZLIB-compressed TFRecord"


def open_plain(path: Path) -> BinaryIO:
    """Open a file for reading, through gzip where its content is gzipped."""
    with path.open("rb") as stream:
        magic = stream.read(2)
    return cast(BinaryIO, gzip.open(path)) if magic == b"\x1f\x8b" else path.open("rb")


def read_head(path: Path) -> bytes:
    """First bytes of the content, looked at through gzip.

    Raises:
        OSError: the file cannot be read.
        GZIP_ERRORS: it is gzipped and damaged at its very start.
    """
    with open_plain(path) as stream:
        return stream.read(_HEAD_BYTES)


def recognise(head: bytes) -> Format | None:
    """Tell the format from the first bytes of the content; None where no reader knows it."""
    if not head:
        return Format.EMPTY
    if is_header(head):
        return Format.TFRECORD
    if head.startswith(b"PAR1"):
        return Format.PARQUET
    if head[:1] == b"\x80" and 2 <= head[1] <= 5:  # pickle protocols 2 to 5 begin with their number
        return Format.PICKLE
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        return Format.JSON
    if head[:1] == b"\x78" and is_header(_inflate(head)):
        return Format.ZLIB_TFRECORD
    return None


def _inflate(head: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(head)
    except zlib.error:
        return b""
