"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from trafficgym.errors import StoreError

PARTIAL = ".partial"  # the ending of a file that is still being written


class AtomicFile:
    """A binary file that appears at `path` only when it is committed: written beside, flushed to disk, renamed.

    Raises:
        StoreError: the disk is full or refuses; the message names the file, and nothing is left of it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._beside = path.with_name(path.name + PARTIAL)
        with self._explained():
            self._file: BinaryIO = open(self._beside, "wb")  # noqa: SIM115 - commit and discard close it

    def write(self, data: bytes) -> int:
        with self._explained():
            return self._file.write(data)

    def commit(self) -> None:
        """Put the file in its place; it survives a power cut from here on."""
        with self._explained():
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            os.replace(self._beside, self.path)
            sync_folder(self.path.parent)

    def discard(self) -> None:
        """Leave nothing behind, unless the file was committed; may be called twice."""
        with suppress(OSError):  # closing flushes, which fails again on a full disk
            self._file.close()
        self._beside.unlink(missing_ok=True)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._beside.unlink(missing_ok=True)
            raise StoreError(
                f"{self.path}: cannot be written: {error.strerror or error}; make room or choose another folder, then "
                "run the same again: what was finished is kept"
            ) from error


def write_atomically(path: Path, text: str) -> None:
    """Write a small text file whole or not at all.

    Raises:
        StoreError: the disk is full or refuses.
    """
    file = AtomicFile(path)
    try:
        file.write(text.encode())
        file.commit()
    finally:
        file.discard()


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` survive a power cut; where folders cannot be opened (Windows) the system sees to it."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
