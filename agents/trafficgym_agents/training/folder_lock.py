"""No two processes write into the same folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from trafficgym_agents.training.errors import TrainingError

NAME = "lock"


class FolderLock:
    """Held until it is released, or the process ends, however it does.

    Raises:
        TrainingError: another process holds it.
    """

    def __init__(self, folder: Path) -> None:
        self._file: BinaryIO = open(folder / NAME, "ab")  # noqa: SIM115 - release closes it
        if os.name == "posix":
            import fcntl

            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._file.close()
                raise TrainingError(
                    f"{folder}: another process trains in this folder; wait for it, stop it, or choose another folder"
                ) from None
            except OSError:
                pass  # a file system without locks

    def release(self) -> None:
        self._file.close()
