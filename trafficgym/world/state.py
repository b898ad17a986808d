"""The state of everything in B worlds, one slot per track of the scene."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]

DT = 0.1
"""Length of one step [s]."""

# Columns of `State.table`. A slot is 16 floats, one cache line, since kernels take slot after slot.
(
    X,
    Y,
    Z,
    YAW,
    VX,
    VY,
    SPEED,
    ACCELERATION,
    YAW_RATE,
    LENGTH,
    WIDTH,
    HEIGHT,
    COS,
    SIN,
    PRESENT,
    KIND,
) = range(16)


BLANK = np.zeros(16, np.float32)
"""A slot that holds nothing; its length is 1 m, since dynamics divide by it."""
BLANK[[LENGTH, COS]] = 1.0
BLANK.flags.writeable = False


class Driver(IntEnum):
    """Who drives a slot."""

    NONE = -1
    """The slot is padding."""
    EXTERNAL = 0
    """The learner: actions given to `World.step`."""
    LOG = 1
    """The recorded log, state for state."""
    CONSTANT_VELOCITY = 2
    IDM = 3
    """Intelligent driver model along the lane graph, or along the logged path."""
    POLICY = 4
    """A `Policy` object given to the world."""
    HERO = 5
    """The script that the scene has for it."""


def _column(column: int, doc: str) -> Any:
    def read(self: State) -> Float:
        return self.table[..., column]

    return property(read, doc=doc)


class State:
    """What evolves; positions are in each scene's own frame.

    Attributes:
        table: float32 ``[B, N, 16]``, B worlds, N slots; the properties are views of its columns, ``[B, N]``.
    """

    def __init__(self, num_worlds: int, num_slots: int) -> None:
        self.table = np.broadcast_to(BLANK, (num_worlds, num_slots, 16)).copy()

    x = _column(X, "Box centre [m].")
    y = _column(Y, "Box centre [m].")
    z = _column(Z, "Box centre [m].")
    yaw = _column(YAW, "Radians in [-pi, pi).")
    vx = _column(VX, "m/s, scene frame.")
    vy = _column(VY, "m/s, scene frame.")
    speed = _column(SPEED, "m/s along yaw, negative in reverse.")
    acceleration = _column(ACCELERATION, "m/s^2, change of speed in the last step.")
    yaw_rate = _column(YAW_RATE, "rad/s, change of yaw in the last step.")
    length = _column(LENGTH, "m")
    width = _column(WIDTH, "m")
    height = _column(HEIGHT, "m")

    @property
    def present(self) -> NDArray[np.bool_]:
        """Whether the object stands on the road, bool ``[B, N]`` (a copy)."""
        return self.table[..., PRESENT] != 0

    @property
    def type(self) -> NDArray[np.int8]:
        """`AgentType`, int8 ``[B, N]`` (a copy)."""
        return self.table[..., KIND].astype(np.int8)
