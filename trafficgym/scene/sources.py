"""Whatever holds scenes, as a sequence of scenes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import overload

from trafficgym.errors import ConfigError, SceneError
from trafficgym.scene.journal import UNFINISHED
from trafficgym.scene.manifest import MANIFEST
from trafficgym.scene.readers import Skipped, find_sources, read
from trafficgym.scene.scene import Scene
from trafficgym.scene.store import SceneStore

_MOST_BYTES = 2 << 30  # of source files that are kept in memory as scenes


def open_scenes(source: Path | str | Scene | Sequence[Scene]) -> Sequence[Scene]:
    """Return the scenes of `source`, read when they are asked for.

    Args:
        source: A scene store, a file or a folder of files in any format that `trafficgym convert` reads, one Scene, or
            a sequence of Scenes.

    Raises:
        SceneError: there is nothing there, it holds no scene, or it is too large to be read without converting it.
        StoreError: it is a store that cannot be used.
    """
    if isinstance(source, Scene):
        return [source]
    if isinstance(source, str | Path):
        return _open_path(Path(source))
    if isinstance(source, Sequence):
        # Other sequences make, or read, their scenes when they are asked for one.
        wrong = [x for x in source if not isinstance(x, Scene)] if isinstance(source, list | tuple) else []
        if wrong:
            raise SceneError(f"a sequence of scenes holds a {type(wrong[0]).__name__}; give Scenes, or one path")
        return source  # type: ignore[return-value]  # a str was returned above
    raise SceneError(f"scenes cannot come from a {type(source).__name__}; give a path, a Scene or a sequence of Scenes")


def default_scenes(num: int = 8, seed: int = 0, *, kind: str = "default") -> Sequence[Scene]:
    """The embedded default: scenes that an installed package generates (`trafficgym_scenarios` does).

    Args:
        num: How many.
        seed: Of the first.
        kind: Entry point of the group ``trafficgym.scenes``: ``"default"``, or ``"nominal"`` for scenes whose logs are
            ordinary driving.

    Raises:
        ConfigError: no installed package offers one.
    """
    found = entry_points(group="trafficgym.scenes", name=kind)
    if not found:
        raise ConfigError(
            f"there is no embedded default: no installed package has the entry point {kind!r} of the group "
            "'trafficgym.scenes'; reinstall with `pip install -e .`, or name your own scenes"
        )
    scenes: Sequence[Scene] = next(iter(found)).load()(num, seed)
    return scenes


def is_store(path: Path) -> bool:
    """Whether a scene store lies at `path`, finished or not, usable or not."""
    return (path / MANIFEST).exists() or (path / UNFINISHED).exists()


class FileScenes(Sequence[Scene]):
    """The scenes of source files, read in their order as far as they are asked for, and kept.

    Reading `scenes[0]` reads one file at most; `len` reads them all. What cannot be read is left out and listed in
    `skipped`. They can be copied and pickled, and the copy reads the files again.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = files
        self.skipped: list[Skipped] = []
        self._scenes: list[Scene] = []
        self._rest = (item for file in files for item in read(file))

    def __reduce__(self) -> tuple[type[FileScenes], tuple[Sequence[Path]]]:
        return FileScenes, (self._files,)

    def __len__(self) -> int:
        while self._read_next():
            pass
        return len(self._scenes)

    @overload
    def __getitem__(self, key: int) -> Scene: ...

    @overload
    def __getitem__(self, key: slice) -> list[Scene]: ...

    def __getitem__(self, key: int | slice) -> Scene | list[Scene]:
        if isinstance(key, slice) or key < 0:
            len(self)
            return self._scenes[key]
        while key >= len(self._scenes) and self._read_next():
            pass
        return self._scenes[key]

    def __iter__(self) -> Iterator[Scene]:
        number = 0
        while number < len(self._scenes) or self._read_next():
            yield self._scenes[number]
            number += 1

    def _read_next(self) -> bool:
        """Read up to the next scene; False at the end."""
        for item in self._rest:
            if isinstance(item, Scene):
                self._scenes.append(item)
                return True
            self.skipped.append(item)
        return False


def _open_path(path: Path) -> Sequence[Scene]:
    if is_store(path):
        return SceneStore(path)
    files = find_sources([path])
    if sum(file.stat().st_size for file in files) > _MOST_BYTES:
        raise SceneError(
            f"{path}: is too large to be read as it is; make a store first: trafficgym convert {path} STORE"
        )
    scenes = FileScenes(files)
    if next(iter(scenes), None) is None:
        reasons = "; ".join(map(str, scenes.skipped[:3]))
        raise SceneError(f"{path}: holds no scene that can be used: {reasons or 'its files hold no records'}")
    return scenes
