"""What a person sees: pictures and films of worlds and rollouts, and a window to watch them in.

`Painter` draws a `Frame` of a `Scene` through a `Camera`; it needs no display. `record` writes films, `Window`
shows pictures one after the other, `trafficgym.viewer.player.play` is the player. pygame is imported here without its
greeting.
"""

import os

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # pygame prints a line on import otherwise

from trafficgym.viewer.camera import Camera, fit
from trafficgym.viewer.frame import Frame, frame_of_log, frame_of_rollout, frame_of_world
from trafficgym.viewer.painter import Painter, Style
from trafficgym.viewer.palette import DARK, LIGHT, Palette
from trafficgym.viewer.record import record
from trafficgym.viewer.window import Window

__all__ = [
    "DARK",
    "LIGHT",
    "Camera",
    "Frame",
    "Painter",
    "Palette",
    "Style",
    "Window",
    "fit",
    "frame_of_log",
    "frame_of_rollout",
    "frame_of_world",
    "record",
]
