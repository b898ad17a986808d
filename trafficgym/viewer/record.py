"""Frames to a file: GIF, MP4 or PNG by the suffix of the name.

PNG is written by pygame and needs nothing more. GIF goes through Pillow and MP4 through imageio with its own ffmpeg;
both come with the extra ``trafficgym[baselines]``.
"""

from __future__ import annotations

import importlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pygame
from numpy.typing import NDArray

from trafficgym.errors import ConfigError, nearest_key
from trafficgym.viewer.surface import surface_of

Picture = NDArray[np.uint8]  # (H, W, 3)


def record(frames: Iterable[Picture], path: str | Path, fps: float = 10.0) -> list[Path]:
    """Write pictures, uint8 ``[H, W, 3]`` of one size, as they come; return the files written.

    A `.png` with several pictures becomes a numbered sequence, ``name_00000.png`` and on. A file appears under its
    name only when it is whole.

    Args:
        fps: Pictures per second; a GIF counts in hundredths of a second, so there 100 / fps is rounded.

    Raises:
        ConfigError: the suffix is none of those, what it needs is not installed, `fps` is not positive, there is no
            picture, or pictures differ in size.
    """
    path = Path(path)
    writers: dict[str, Callable[[Iterator[Picture], Path, float], list[Path]]] = {
        ".gif": _write_gif,
        ".mp4": _write_mp4,
        ".png": _write_png,
    }
    suffix = path.suffix.lower()
    if suffix not in writers:
        raise ConfigError(
            f"{path}: cannot record to {suffix or 'a name without suffix'!r}; {nearest_key(suffix, writers)}"
        )
    if not fps > 0:
        raise ConfigError(f"fps is {fps}; it must be positive")
    path.parent.mkdir(parents=True, exist_ok=True)
    return writers[suffix](_checked(frames, path), path, fps)


def _checked(frames: Iterable[Picture], path: Path) -> Iterator[Picture]:
    """The same frames, at least one, all of the first one's size."""
    shape = None
    for number, frame in enumerate(frames):
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            raise ConfigError(f"{path}: picture {number} is {frame.dtype} {frame.shape}; it must be uint8 (H, W, 3)")
        shape = shape or frame.shape
        if frame.shape != shape:
            raise ConfigError(f"{path}: picture {number} is {frame.shape}, those before it {shape}; keep one size")
        yield frame
    if shape is None:
        raise ConfigError(f"{path}: there is no picture to record")


@contextmanager
def _whole_or_nothing(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to; what is there takes the name `path` unless an error ended the block."""
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix.lower(), dir=path.parent)
    os.close(handle)
    try:
        yield Path(name)
        os.chmod(name, 0o666 & ~_umask())  # mkstemp's own is for secrets
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _write_png(frames: Iterator[Picture], path: Path, fps: float) -> list[Path]:
    first = next(frames)
    second = next(frames, None)
    if second is None:
        return [_save_png(first, path)]
    every = enumerate(chain((first, second), frames))
    return [_save_png(frame, path.with_name(f"{path.stem}_{number:05d}{path.suffix}")) for number, frame in every]


def _save_png(frame: Picture, path: Path) -> Path:
    surface = surface_of(frame)
    with _whole_or_nothing(path) as part:
        pygame.image.save(surface, str(part))
    return path


def _write_gif(frames: Iterator[Picture], path: Path, fps: float) -> list[Path]:
    pillow = _need("PIL.Image", path)
    images = _indexed(frames, pillow)
    first = next(images)
    duration = max(2, round(100 / fps)) * 10  # ms; viewers slow down what is faster than 50 per second
    with _whole_or_nothing(path) as part:
        first.save(part, format="GIF", save_all=True, append_images=images, duration=duration, loop=0, optimize=True)
    return [path]


def _indexed(frames: Iterator[Picture], pillow: Any) -> Iterator[Any]:
    """Frames with 255 colours, which leaves one that says "as before"; they stay until a frame needs others."""
    colors = None
    for frame in frames:
        image = pillow.fromarray(frame)
        indexed = image.quantize(palette=colors, dither=pillow.Dither.NONE) if colors else None
        if indexed is None or _is_off(np.asarray(indexed.convert("RGB")), frame):
            colors = indexed = image.quantize(colors=255, method=pillow.Quantize.MEDIANCUT, dither=pillow.Dither.NONE)
        yield indexed


def _is_off(shown: Picture, wanted: Picture) -> bool:
    """Whether more than a dot's worth of pixels has a visibly wrong colour."""
    error = np.abs(shown[..., 1].astype(np.int16) - wanted[..., 1]) + np.abs(
        shown[..., 0].astype(np.int16) - wanted[..., 0]
    )
    return int((error > 60).sum()) > 12


def _write_mp4(frames: Iterator[Picture], path: Path, fps: float) -> list[Path]:
    imageio = _need("imageio.v2", path)
    _need("imageio_ffmpeg", path)
    options = {"fps": fps, "codec": "libx264", "quality": 8, "macro_block_size": 1}
    with _whole_or_nothing(path) as part, imageio.get_writer(part, **options) as writer:
        for frame in frames:
            # The codec halves the colour's resolution and so wants even sides.
            odd = ((0, frame.shape[0] % 2), (0, frame.shape[1] % 2), (0, 0))
            writer.append_data(np.pad(frame, odd, mode="edge"))
    return [path]


def _need(module: str, path: Path) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        what = f"{path}: writing {path.suffix} needs {module.partition('.')[0]}"
        remedy = 'pip install -e ".[baselines]", or record to .png'
        raise ConfigError(f"{what}; {remedy}") from None
