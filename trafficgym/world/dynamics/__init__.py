"""How agents move: each model is a pure `step` with its `inverse`, on NumPy and on torch."""

from trafficgym.world.dynamics.bicycle import Bicycle
from trafficgym.world.dynamics.delta import DeltaPose
from trafficgym.world.dynamics.motion import Array, Body, Dynamics, Motion
from trafficgym.world.dynamics.motion_tokens import MotionTokens, place_motion
from trafficgym.world.dynamics.target import TargetPose
from trafficgym.world.dynamics.verlet import Verlet

__all__ = [
    "Array",
    "Bicycle",
    "Body",
    "DeltaPose",
    "Dynamics",
    "Motion",
    "MotionTokens",
    "TargetPose",
    "Verlet",
    "place_motion",
]
