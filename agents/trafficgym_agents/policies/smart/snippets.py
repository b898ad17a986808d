"""Half seconds of motion as they were driven: what vocabularies of motions are made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trafficgym.errors import ConfigError, check_whole, names_nearest
from trafficgym.scene.scene import AgentType, Scene
from trafficgym.world.dynamics.motion_tokens import CORNERS, place_corners
from trafficgym_agents.policies.smart.config import HISTORY_STEPS, STEPS_PER_TOKEN

Float = NDArray[np.float64]

POSES = STEPS_PER_TOKEN + 1
SAME_MOTION = 0.01
"""m and rad; snippets that are equal after rounding to it count as one where only distinct ones are wanted."""
_TYPES = np.array([AgentType.VEHICLE, AgentType.PEDESTRIAN, AgentType.CYCLIST])


@names_nearest
@dataclass(frozen=True, kw_only=True)
class SnippetConfig:
    """Which half seconds are taken.

    Raises:
        ConfigError: a value makes no sense.
    """

    stride: int = STEPS_PER_TOKEN
    """Steps from one snippet of a track to the next; 1 takes overlapping ones, five times as many."""
    least_valid_steps: int = 30
    """Tracks that are shorter are left out."""
    largest_turn: float = np.pi / 6
    """rad per step; snippets that turn faster are taken for a flipped heading and left out."""
    most: int = 204_800
    """Snippets per class; where there are more, a random sample is taken."""

    def __post_init__(self) -> None:
        check_whole(self, stride=1, least_valid_steps=1, most=1)
        if not 0 < self.largest_turn <= np.pi:
            raise ConfigError(f"largest_turn is {self.largest_turn!r}; it is an angle in rad, at most pi")


def scene_snippets(scene: Scene, config: SnippetConfig | None = None) -> tuple[Float, Float, Float]:
    """Half seconds of a scene's vehicles, pedestrians and cyclists.

    Returns:
        Of each class float64 ``[N, 6, 3]``: x, y [m] and yaw [rad, not wrapped] of the box centre every
        0.1 s, in the frame of the first pose, which is therefore 0. They begin where tokens of the scene would.
    """
    config = config or SnippetConfig()
    tracks = scene.tracks
    first = (scene.current_step - HISTORY_STEPS) % STEPS_PER_TOKEN % config.stride
    steps = np.arange(first, tracks.num_steps - STEPS_PER_TOKEN, config.stride)[:, None] + np.arange(POSES)
    if not len(steps):
        return _empty(), _empty(), _empty()
    is_taken = tracks.valid[:, steps].all(-1)  # (A, S)
    is_taken &= (tracks.valid.sum(1) >= config.least_valid_steps)[:, None]
    agent, number = np.nonzero(is_taken)
    world = np.stack([x[agent[:, None], steps[number]] for x in (tracks.x, tracks.y, tracks.yaw)], -1).astype(float)
    local = _in_first_frame(world)
    is_smooth = (np.abs(np.diff(local[:, :, 2], axis=1)) <= config.largest_turn).all(1)
    local, kind = local[is_smooth], tracks.type[agent[is_smooth]]
    vehicle, pedestrian, cyclist = (local[kind == code] for code in _TYPES)
    return vehicle, pedestrian, cyclist


def mirrored(snippets: Float) -> Float:
    """The same snippets ``[N, 6, 3]`` as they would be with left and right exchanged."""
    return snippets * np.array([1.0, -1.0, -1.0])


def contours(poses: Float, size: NDArray[np.floating]) -> Float:
    """Corners ``[..., 4, 2]`` m (left front, right front, right back, left back) of boxes at `poses`.

    Args:
        poses: ``[..., 3]`` x, y [m], yaw [rad].
        size: Length and width, m.
    """
    x, y, yaw = np.moveaxis(poses, -1, 0)[..., None]
    return np.stack(place_corners(CORNERS * np.asarray(size, float), x, y, yaw), -1)


def _in_first_frame(world: Float) -> Float:
    """Poses ``[N, 6, 3]`` in the frame of the first of each; yaw grows without wrapping."""
    offset = world[..., :2] - world[:, :1, :2]
    cos, sin = np.cos(world[:, :1, 2]), np.sin(world[:, :1, 2])
    turns = np.diff(world[..., 2], axis=1)
    turns = (turns + np.pi) % (2 * np.pi) - np.pi
    yaw = np.concatenate([np.zeros((len(world), 1)), np.cumsum(turns, 1)], 1)
    x = cos * offset[..., 0] + sin * offset[..., 1]
    y = cos * offset[..., 1] - sin * offset[..., 0]
    return np.stack([x, y, yaw], -1)


def _empty() -> Float:
    return np.zeros((0, POSES, 3))
