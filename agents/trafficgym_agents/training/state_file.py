"""The state of a training on disk: the newest, and the one before it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from trafficgym.scene.atomic import AtomicFile
from trafficgym_agents.training.errors import TrainingError
from trafficgym_agents.training.packing import unpack

NAME = "state.safetensors"
PREVIOUS = "state.previous.safetensors"


class StateFile:
    """`NAME` in a folder; while a new one is written the last good one stays, as `PREVIOUS`."""

    def __init__(self, folder: Path) -> None:
        self.path, self.previous = folder / NAME, folder / PREVIOUS
        self._is_good = False  # what lies at `path`; only a good one may take the place of the previous

    def write(self, data: bytes) -> None:
        """Put bytes of `pack` in place, whole or not at all.

        Raises:
            StoreError: the disk is full or refuses; the last state is kept.
        """
        file = AtomicFile(self.path)
        try:
            file.write(data)
            if self._is_good:
                self.path.replace(self.previous)
            file.commit()
        finally:
            file.discard()
        self._is_good = True

    def read(self, say: Callable[[str], None]) -> bytes | None:
        """The bytes of the newest state that is whole; None where there is none at all.

        Raises:
            TrainingError: there are states, and none is whole.
        """
        damage = []
        for path in (self.path, self.previous):
            if not path.exists():
                continue
            try:
                data = path.read_bytes()
                unpack(data)
            except (ValueError, OSError) as error:
                damage.append(f"{path}: is damaged ({error})")
                continue
            if damage:
                say(f"{damage[0]}; going on from {path.name}, the state before it")
            self._is_good = path == self.path
            return data
        if damage:
            raise TrainingError(
                f"{'; '.join(damage)}; no other state is left: put a copy back if you have one, or train anew in "
                "another folder"
            )
        return None
