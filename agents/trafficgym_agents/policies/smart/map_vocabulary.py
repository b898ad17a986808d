"""A vocabulary of five metres of lane, line, edge or crosswalk."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trafficgym.errors import ConfigError, check_whole, names_nearest
from trafficgym.scene.scene import Scene
from trafficgym_agents.policies.smart.k_disks import cover
from trafficgym_agents.policies.smart.map_tokens import LONGEST_GAP, SKELETON, SPACING
from trafficgym_agents.policies.smart.polylines import Polylines

Float = NDArray[np.float64]

SAME_PIECE = 0.01
"""m; pieces that are equal after rounding to it count as one."""
POINTS = 11


@names_nearest
@dataclass(frozen=True, kw_only=True)
class MapVocabularyConfig:
    """How many templates of map pieces there are, and from how many pieces they are made.

    Raises:
        ConfigError: a value makes no sense.
    """

    max_pieces: int = 1024
    """Templates; curvature is nearly all that differs, so that 64 to 256 do for small models."""
    tolerance: float | None = None
    """m, mean distance of the three points by which pieces are matched, within a disk. None takes the smallest with
    which `max_pieces` disks cover the pieces."""
    most: int = 100_000
    """Distinct pieces; where there are more, a random sample is taken."""

    def __post_init__(self) -> None:
        check_whole(self, max_pieces=1, most=1)
        if self.tolerance is not None and not self.tolerance > 0:
            raise ConfigError(f"tolerance is {self.tolerance!r}; it is a distance in metres, larger than 0, or None")


def map_templates(pieces: Float, config: MapVocabularyConfig, *, rng: np.random.Generator) -> NDArray[np.float32]:
    """Templates of map pieces: the straight one, and means of disks of other pieces (`k_disks.cover`).

    Args:
        pieces: Of many scenes, ``[N, 11, 2]`` m; where there are none, the straight one is all there is.
        config: Sizes.
        rng: Draws the centres of the disks.

    Returns:
        float32 ``[M, 11, 2]`` m, each in the frame of its first half metre.
    """
    straight = np.zeros((1, POINTS, 2))
    straight[0, :, 0] = SPACING * np.arange(POINTS)
    pieces = np.concatenate([straight, pieces.reshape(-1, POINTS, 2)])
    disks = cover(pieces[:, SKELETON], config.max_pieces, config.tolerance, rng=rng)
    templates = np.stack([pieces[disk].mean(0) for disk in disks])
    templates[0] = straight
    return templates.astype(np.float32)


def scene_pieces(scene: Scene) -> Float:
    """The pieces that polylines of a scene are cut into, ``[N, 11, 2]`` m, each in the frame of its first half metre.

    They are those that become map tokens; ends of polylines that are shorter than five metres have their eleven points
    closer together.
    """
    lines = Polylines.of(scene)
    pieces = [
        piece
        for begin, end in zip(lines.offsets[:-1], lines.offsets[1:], strict=True)
        if end - begin > 2
        for part in _without_gaps(lines.xy[begin:end])
        for piece in _pieces(part)
    ]
    return _in_own_frame(np.stack(pieces)) if pieces else np.zeros((0, POINTS, 2))


def _without_gaps(xy: Float) -> list[Float]:
    gaps = np.flatnonzero(np.hypot(*np.diff(xy, axis=0).T) > LONGEST_GAP) + 1
    return [part for part in np.split(xy, gaps) if len(part) > 1]


def _pieces(xy: Float) -> list[Float]:
    """Pieces of one polyline ``[n, 2]`` m, each ``[11, 2]``."""
    along = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(xy, axis=0).T))])
    whole = SPACING * (POINTS - 1)
    starts = np.arange(0, along[-1], whole)
    ends = np.minimum(starts + whole, along[-1])
    is_kept = ends - starts > np.where(starts > 0, 2, 1) * SPACING  # tails have three intervals, a lone one has two
    at = np.linspace(starts[is_kept], ends[is_kept], POINTS, axis=1)
    return list(np.stack([np.interp(at, along, xy[:, axis]) for axis in range(2)], -1))


def _in_own_frame(pieces: Float) -> Float:
    offset = pieces - pieces[:, :1]
    yaw = np.arctan2(offset[:, 1, 1], offset[:, 1, 0])[:, None]
    cos, sin = np.cos(yaw), np.sin(yaw)
    x, y = offset[..., 0], offset[..., 1]
    return np.stack([cos * x + sin * y, cos * y - sin * x], -1)
