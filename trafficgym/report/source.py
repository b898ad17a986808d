"""Where the scenes of an evaluation come from; a path, or the embedded default."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trafficgym.errors import ConfigError
from trafficgym.scene.scene import Scene
from trafficgym.scene.sources import FileScenes, default_scenes, open_scenes

NUM_GENERATED = 8


@dataclass(frozen=True, kw_only=True)
class SceneSource:
    """A path to scenes, or the embedded default: generated scenes."""

    path: Path | None = None
    max_scenes: int | None = None
    """At most so many, the first ones; of the default exactly so many are generated (8 where None)."""
    seed: int = 0
    """Of the generated scenes."""
    generated: str = "default"
    """Which scenes are generated; see `default_scenes`."""

    def __post_init__(self) -> None:
        if self.max_scenes is not None and self.max_scenes < 1:
            raise ConfigError(f"max_scenes is {self.max_scenes}; it must be at least 1")

    @property
    def name(self) -> str:
        """For titles."""
        return str(self.path) if self.path else f"generated scenes (seed {self.seed})"

    def open(self) -> tuple[Sequence[Scene], int]:
        """The scenes, and how many of them to use.

        Raises:
            TrafficgymError: there is nothing at the path, or nothing that is a scene.
            ConfigError: no path was given and the embedded default is not installed.
        """
        if self.path is None:
            generated = default_scenes(self.max_scenes or NUM_GENERATED, self.seed, kind=self.generated)
            return generated, len(generated)
        scenes = open_scenes(self.path)
        return scenes, len(scenes) if self.max_scenes is None else _at_most(self.max_scenes, scenes)


def unreadable(scenes: Sequence[Scene]) -> list[tuple[str, str]]:
    """Where in source files something could not be read, and why."""
    return [(skipped.where, skipped.reason) for skipped in scenes.skipped] if isinstance(scenes, FileScenes) else []


def _at_most(num: int, scenes: Sequence[Scene]) -> int:
    """The smaller of `num` and the number of scenes, without reading more files than that takes."""
    try:
        scenes[num - 1]
    except IndexError:
        return len(scenes)
    return num
