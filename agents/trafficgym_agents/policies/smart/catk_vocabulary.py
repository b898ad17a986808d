"""Reading the vocabulary files of CAT-K, which users have from its authors; none comes with this package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trafficgym.errors import ConfigError, SceneError
from trafficgym.scene.readers.unpickle import load_pickle
from trafficgym_agents.policies.smart.map_tokens import SKELETON
from trafficgym_agents.policies.smart.vocabulary import CLASSES, Vocabulary

_CLASS_KEYS = ("veh", "ped", "cyc")
_LARGEST_FILE = 256 << 20  # bytes; real ones have four megabytes or less


def load_catk_vocabulary(agents: Path | str, map_pieces: Path | str) -> Vocabulary:
    """Make a Vocabulary of the two pickles that CAT-K's configurations name (golden/smart/README.md section 2).

    Nothing in them is imported or run: they may hold containers, numbers, text and NumPy arrays.

    Args:
        agents: ``{"token_all": {"veh" | "ped" | "cyc": [V, 6, 4, 2]}}``. Its checkpoints need the very file that they
            were trained with.
        map_pieces: ``{"traj_src": [M, 11, 2], "sample_pt": [M, 3, 2]}``.

    Raises:
        ConfigError: a file is not there, is damaged, asks for a name that it has no use for, or is built otherwise.
    """
    motions, pieces = _read(Path(agents)), _read(Path(map_pieces))
    arrays = {name: _array(agents, motions, "token_all", key) for name, key in zip(CLASSES, _CLASS_KEYS, strict=True)}
    templates = _array(map_pieces, pieces, "traj_src")
    points = _array(map_pieces, pieces, "sample_pt")
    if templates.shape[1:] != (11, 2):
        raise ConfigError(f"{map_pieces}: 'traj_src' must be (pieces, 11, 2), got {templates.shape}")
    if points.shape != (len(templates), 3, 2) or not np.allclose(points, templates[:, SKELETON], atol=1e-4):
        raise ConfigError(f"{map_pieces}: 'sample_pt' must be points {SKELETON} of 'traj_src'; take CAT-K's own file")
    try:
        note = {"method": "CAT-K's files", "agents": Path(agents).name, "map_pieces": Path(map_pieces).name}
        return Vocabulary(**arrays, map_pieces=templates, note=note)
    except ConfigError as error:
        raise ConfigError(f"{agents}, {map_pieces}: {error}") from None


def _read(path: Path) -> Any:
    if not path.is_file():
        raise ConfigError(f"{path}: there is no vocabulary of CAT-K; it comes with the checkpoint, from its authors")
    if path.stat().st_size > _LARGEST_FILE:
        raise ConfigError(f"{path}: has {path.stat().st_size} bytes, which is too large for a vocabulary")
    try:
        with path.open("rb") as stream:
            return load_pickle(stream)
    except SceneError as error:
        raise ConfigError(f"{path}: {error}") from None


def _array(path: Path | str, value: Any, *keys: str) -> NDArray[np.float32]:
    where = "".join(f"[{key!r}]" for key in keys)
    for key in keys:
        if not isinstance(value, dict) or key not in value:
            raise ConfigError(f"{path}: has no {where}; it is no vocabulary of CAT-K, or one of the other kind")
        value = value[key]
    try:
        array = np.asarray(value)
        if array.dtype.kind == "f" and array.ndim > 1:
            return np.ascontiguousarray(array, np.float32)
    except (TypeError, ValueError):
        pass
    raise ConfigError(f"{path}: {where} is no array of numbers")
