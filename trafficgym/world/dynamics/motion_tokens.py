"""Motion tokens: which template of half a second of motion to carry out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from array_api_compat import device
from numpy.typing import NDArray

from trafficgym.errors import ConfigError, names_nearest
from trafficgym.scene.scene import AgentType
from trafficgym.world.dynamics.motion import Array, Body, Motion, moving, namespace
from trafficgym.world.state import DT

NOMINAL_SIZE = np.array([[4.8, 2.0], [1.0, 1.0], [2.0, 1.0]], np.float32)
"""Length and width of the box in the templates of vehicles, pedestrians and cyclists, float32 ``[3, 2]`` m."""
CORNERS = np.array([[0.5, 0.5], [0.5, -0.5], [-0.5, -0.5], [-0.5, 0.5]], np.float32)
"""Left front, right front, right back, left back, in lengths ahead of the centre and widths to its left, ``[4, 2]``."""


def place_motion(contours: Array, x: Array, y: Array, yaw: Array) -> tuple[Array, Array, Array]:
    """Carry out templates of motion: turn their corners by `yaw`, move them by (`x`, `y`), and read off the poses.

    It computes in the type of its arrays. What the world drives, and what a network trained on torch assumes that it
    drives, is this function.

    Args:
        contours: Box corners (left front, right front, right back, left back) in the frame of the starting pose, x
            forward and y to the left, ``[..., K, 4, 2]`` m; K is 5 for the poses after 0.1 ... 0.5 s.
        x: Centre of the starting pose in the scene frame, ``[...]`` m; the leading axes of all arguments broadcast.
        y: Likewise.
        yaw: Of the starting pose, ``[...]`` rad.

    Returns:
        x, y (m, means of the four corners) and yaw (rad in [-pi, pi], from left back to left front), ``[..., K]`` each.
    """
    xp = namespace(contours, x)
    corners_x, corners_y = place_corners(contours, x[..., None, None], y[..., None, None], yaw[..., None, None])
    ahead_x = corners_x[..., 0] - corners_x[..., 3]
    ahead_y = corners_y[..., 0] - corners_y[..., 3]
    return _mean(corners_x), _mean(corners_y), _exactly(xp, xp.atan2, ahead_y, ahead_x)


def place_corners(contours: Array, x: Array, y: Array, yaw: Array) -> tuple[Array, Array]:
    """Corners in the scene frame, x and y: ``contours[..., 2]`` turned by `yaw`, then moved; all broadcast."""
    xp = namespace(contours, x)
    cos, sin = _exactly(xp, xp.cos, yaw), _exactly(xp, xp.sin, yaw)
    ahead, aside = contours[..., 0], contours[..., 1]
    return ahead * cos - aside * sin + x, ahead * sin + aside * cos + y


def _exactly(xp: Any, function: Any, *values: Array) -> Array:
    """A function computed in double and rounded once: in float32, NumPy and torch differ in the last bit."""
    return xp.astype(function(*(xp.astype(value, xp.float64) for value in values)), values[0].dtype)


def _mean(corners: Array) -> Array:
    # Written out, since libraries add in orders of their own.
    return (corners[..., 0] + corners[..., 1] + corners[..., 2] + corners[..., 3]) * 0.25


@names_nearest
@dataclass(frozen=True, kw_only=True, eq=False)
class MotionTokens:
    """Half a second of motion per decision, one of V templates of the agent's class (SMART, CAT-K, TrajTok).

    A template is the contour of a box of nominal size (4.8 x 2.0 m for vehicles, 1.0 x 1.0 m for pedestrians, 2.0 x 1.0
    m for cyclists) at 0, 0.1 ... 0.5 s, in the frame of its first pose; the agent keeps its own size. It is put where
    the agent is, by `place_motion`. Velocity is displacement over 0.1 s.

    Classes may have different numbers of tokens. The action space is as wide as the largest, and a number behind the
    last token of an agent's class is its last token. Agents of no class ("other" and "unset" in WOMD) move by the
    tokens of vehicles.

    Raises:
        ConfigError: an array has the wrong shape or type, or holds what is not finite.
    """

    vehicle: NDArray[np.float32]
    """float32 ``[V, 6, 4, 2]`` m: corners (left front, right front, right back, left back) at 0, 0.1 ... 0.5 s."""
    pedestrian: NDArray[np.float32]
    cyclist: NDArray[np.float32]

    steps_per_action: ClassVar[int] = 5
    action_size: ClassVar[int] = 1
    action_names: ClassVar[tuple[str, ...]] = ("token",)

    def __post_init__(self) -> None:
        for name in ("vehicle", "pedestrian", "cyclist"):
            values = getattr(self, name)
            if not isinstance(values, np.ndarray) or values.dtype != np.float32 or values.shape[1:] != (6, 4, 2):
                what = f"{values.dtype} {values.shape}" if isinstance(values, np.ndarray) else repr(values)
                raise ConfigError(f"{name} must be float32 (tokens, 6, 4, 2), got {what}")
            if not len(values) or not np.isfinite(values).all():
                raise ConfigError(f"{name} has no tokens, or holds numbers that are not finite")

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Tokens of vehicles, pedestrians and cyclists."""
        return len(self.vehicle), len(self.pedestrian), len(self.cyclist)

    @property
    def num_actions(self) -> tuple[int, ...] | None:
        return (max(self.sizes),)

    @property
    def low(self) -> tuple[float, ...]:
        return (0.0,)

    @property
    def high(self) -> tuple[float, ...]:
        return (max(self.sizes) - 1.0,)

    def step(self, motion: Motion, action: Array, body: Body) -> list[Motion]:
        """Carry out one decision; see `Dynamics.step`. The action is the number of a token; sizes play no part."""
        xp, shape = namespace(motion.x, action), motion.x.shape
        token = xp.astype(xp.minimum(xp.maximum(action[..., 0], 0), max(self.sizes) - 1), xp.int64)
        row = class_of(xp, body.type) * max(self.sizes) + token
        contours = xp.take(self._like(motion.x, self._paths), xp.reshape(row, (-1,)), axis=1)
        contours = xp.reshape(contours, (self.steps_per_action, *shape, 1, 4, 2))  # so that each step lies apart
        x, y, yaw = (pose[..., 0] for pose in place_motion(contours, motion.x, motion.y, motion.yaw))
        yaw = xp.where(yaw < math.pi, yaw, -yaw)  # every other bit stays as it is
        vx = (x - xp.concat([motion.x[None, ...], x[:-1, ...]])) / DT
        vy = (y - xp.concat([motion.y[None, ...], y[:-1, ...]])) / DT
        path = moving(xp, x, y, yaw, vx, vy)
        return [Motion(*(values[k, ...] for values in path)) for k in range(self.steps_per_action)]

    def inverse(self, motion: Motion, after: Motion, body: Body) -> Array:
        """Return the token, int32, whose end is nearest to the pose of `after`; see `Dynamics.inverse`.

        Nearest by the distances of the four corners to those of the nominal box, added up.
        """
        xp = namespace(motion.x, after.x)
        shape, flat = after.x.shape, (-1, 1)
        start, end = ([xp.reshape(v, flat) for v in (pose.x, pose.y, pose.yaw)] for pose in (motion, after))
        kind = xp.reshape(class_of(xp, body.type), (-1,))
        ends, boxes = self._like(after.x, self._ends), self._like(after.x, self._boxes)
        distance = 0.0
        for corner in range(4):  # one by one, since agents times tokens are many
            x, y = place_corners(xp.take(ends[:, :, corner, :], kind, axis=0), *start)
            wanted_x, wanted_y = place_corners(xp.take(boxes[:, None, corner, :], kind, axis=0), *end)
            distance = distance + xp.sqrt((x - wanted_x) ** 2 + (y - wanted_y) ** 2)
        return xp.reshape(xp.astype(xp.argmin(distance, axis=1), xp.int32), (*shape, 1))

    @staticmethod
    def _like(values: Array, templates: NDArray[np.float32]) -> Array:
        """`templates` in the library and type, and on the device, of `values`."""
        return namespace(values).asarray(templates, dtype=values.dtype, device=device(values))

    @cached_property
    def _templates(self) -> NDArray[np.float32]:
        """Templates of the three classes, ``[3, V, 6, 4, 2]``, short ones filled up with their last token."""
        num = max(self.sizes)
        classes = (self.vehicle, self.pedestrian, self.cyclist)
        return np.stack([values[np.minimum(np.arange(num), len(values) - 1)] for values in classes])

    @cached_property
    def _paths(self) -> NDArray[np.float32]:
        """Contours after 0.1 ... 0.5 s, ``[5, 3 V, 4, 2]``."""
        return np.ascontiguousarray(self._templates.reshape(-1, 6, 4, 2).swapaxes(0, 1)[1:])

    @cached_property
    def _ends(self) -> NDArray[np.float32]:
        """Contours after 0.5 s, ``[3, V, 4, 2]``; of equal ones `inverse` takes the first, which is no filling."""
        return np.ascontiguousarray(self._templates[:, :, -1])

    @property
    def _boxes(self) -> NDArray[np.float32]:
        """Corners of the nominal boxes, ``[3, 4, 2]``."""
        return CORNERS * NOMINAL_SIZE[:, None]


def class_of(xp: Any, type: Array) -> Array:
    """Class of each `AgentType`, int64: 0 vehicles and what has no tokens, 1 pedestrians, 2 cyclists."""
    return xp.astype(type == AgentType.PEDESTRIAN, xp.int64) + 2 * xp.astype(type == AgentType.CYCLIST, xp.int64)
