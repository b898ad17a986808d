"""Rollouts of an evaluation in one file, in the order of the scenes, whichever process drove them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from trafficgym.errors import ConfigError
from trafficgym.world.rollout_file import RolloutFile, RolloutWriter

UNFINISHED = ".unfinished-"
"""Begins the names of hidden folders that are gone when a command is done; of a killed one they may be deleted."""


class Recording:
    """A file of rollouts that grows out of parts, one a scene, which lie in a hidden folder beside it.

    Can be pickled: processes write the parts. Left with an error, the `with` block leaves nothing.

    Raises:
        ConfigError: the folder of `path` cannot be made or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._parts = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=path.parent))
        except OSError as error:
            raise ConfigError(f"{path}: cannot be written: {error.strerror}; choose another folder") from error

    def part(self, index: int) -> RolloutWriter:
        """A writer for the rollouts of scene number `index`."""
        return RolloutWriter(self._part(index))

    def join(self, indices: Iterable[int]) -> None:
        """Put the parts of these scenes together in this order."""
        with RolloutWriter(self.path) as writer:
            written: set[str] = set()
            for index in indices:
                part = RolloutFile(self._part(index))
                # A scene that a source holds twice was driven twice alike.
                new = [id for id in part.scene_ids if id not in written]
                for id in new:
                    for policy in part.policies:
                        writer.add(part.read(id, policy))
                written.update(new)
                self._part(index).unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._parts, ignore_errors=True)

    def _part(self, index: int) -> Path:
        return self._parts / f"{index:08d}.arrow"


@contextmanager
def recording(path: Path | None) -> Iterator[Recording | None]:
    """A recording, or None where there is no path."""
    if path is None:
        yield None
    else:
        with Recording(path) as found:
            yield found
