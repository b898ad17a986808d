"""Frames made by hand on the scene of `tests/scene/make_scene.py`."""

from __future__ import annotations

import numpy as np

from trafficgym.scene.scene import AgentType
from trafficgym.viewer.frame import Frame
from trafficgym.world.state import Driver


def make_frame(*poses: tuple[float, float, float], **changes: object) -> Frame:
    """One IDM-driven car of 4 m x 2 m per (x, y, yaw), nothing else in the frame."""
    num = len(poses)
    x, y, yaw = np.array(poses, np.float32).reshape(-1, 3).T
    values: dict = {
        "x": x,
        "y": y,
        "yaw": yaw,
        "length": np.full(num, 4.0, np.float32),
        "width": np.full(num, 2.0, np.float32),
        "type": np.full(num, AgentType.VEHICLE, np.int8),
        "present": np.ones(num, bool),
        "controller": np.full(num, Driver.IDM, np.int8),
        "state": np.zeros(num, np.uint8),
        "id": np.arange(num),
        "time_s": 0.0,
    }
    return Frame(**(values | changes))
