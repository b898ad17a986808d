"""Frames per second of processor time of the painter, camera fixed and camera following.

python benchmarks/painter.py [SCENES] [--scene ID] [--agents 64] [--size 800 800] [--scale 8]

The scene's valid tracks at "now" are repeated, a little aside, until there are as many agents in view as asked for;
all have trails, ghosts and ids, every eighth an infraction. `following` moves the camera by 1.5 m a frame (15 m/s at
10 Hz) so that new tiles of road are drawn all the time; `first picture` has an empty road cache.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import tyro

from trafficgym.scene.scene import Scene
from trafficgym.viewer.camera import Camera
from trafficgym.viewer.frame import Frame, Ghosts, Trails, frame_of_log
from trafficgym.viewer.painter import Painter, Style
from trafficgym.viewer.playlist import find_scene, open_source


@dataclass(frozen=True)
class Args:
    """What to paint."""

    scenes: tyro.conf.Positional[str | None] = None
    """Store, file or folder; default a generated highway."""
    scene: str = "0"
    """Id or number."""
    agents: int = 64
    size: tuple[int, int] = (800, 800)
    scale: float = 8.0
    """px/m"""
    frames: int = 400


def main(args: Args) -> None:
    """Print one line a case."""
    scene = _scene(args)
    frame, center = _crowd(scene, args)
    painter, camera = Painter(args.size, Style(ids=True)), Camera(center, args.scale)
    painter.draw(scene, frame, camera)  # kernels are compiled or loaded here
    print(f"{scene!r}\n{args.agents} agents, {args.size[0]} x {args.size[1]} px, {args.scale:g} px/m")

    def follow(k: int) -> Camera:
        return camera.at(center[0] + 1.5 * (k % 100) - 75, center[1])

    def fresh(k: int) -> Camera:
        return replace(camera, rotation=1e-3 * k)  # another rotation is another road picture

    cases: list[tuple[str, Callable[[int], Camera], int]] = [
        ("fixed camera", lambda k: camera, args.frames),
        ("following camera", follow, args.frames),
        ("every road tile new", fresh, 20),
    ]
    for name, view, number in cases:
        blocks = []
        for first in range(0, number, 20):
            start = time.process_time()  # of this process alone: other work on the machine does not count
            for k in range(first, first + 20):
                painter.draw(scene, frame, view(k))
            blocks.append((time.process_time() - start) / 20)
        seconds = float(np.median(blocks))
        print(f"{name:<22}{1 / seconds:8.0f} frames/s  {1e3 * seconds:7.2f} ms")
    start = time.process_time()
    Painter(args.size).draw(scene, frame, camera)
    print(f"{'first picture':<22}{1 / (time.process_time() - start):8.1f} frames/s")


def _scene(args: Args) -> Scene:
    if args.scenes is None:
        from trafficgym_scenarios import NominalConfig, nominal_scene

        return nominal_scene(0, NominalConfig(roads="highway"))
    scenes = open_source(args.scenes)
    return scenes[find_scene(scenes, args.scene)]


def _crowd(scene: Scene, args: Args) -> tuple[Frame, tuple[float, float]]:
    """A frame with as many agents as asked for, all in view, and the middle of the view."""
    frame = frame_of_log(scene, scene.current_step)
    present = np.flatnonzero(frame.present)
    middle = scene.sdc if scene.sdc is not None and frame.present[scene.sdc] else int(present[0])
    center = (float(frame.x[middle]), float(frame.y[middle]))
    half = 0.45 * min(args.size) / args.scale
    near = present[np.hypot(frame.x[present] - center[0], frame.y[present] - center[1]) < half]
    pick = np.resize(near, args.agents)
    aside = (0.7 * (np.arange(args.agents) // len(near))).astype(np.float32)
    n, trails = args.agents, frame.trails
    assert trails is not None
    x, y, yaw = frame.x[pick] + aside, frame.y[pick] + aside, frame.yaw[pick]
    past = np.linspace(-20, 0, 20, dtype=np.float32)[None, :]  # 10 m/s for two seconds
    xy = np.stack([x[:, None] + np.cos(yaw)[:, None] * past, y[:, None] + np.sin(yaw)[:, None] * past], axis=-1)
    crowd = replace(
        frame, x=x, y=y, yaw=yaw, length=frame.length[pick], width=frame.width[pick], type=frame.type[pick],
        present=np.ones(n, bool), controller=(np.arange(n) % 5).astype(np.int8),
        state=np.where(np.arange(n) % 8 == 0, 1, 0).astype(np.uint8), id=np.arange(n), focus=0,
        trails=Trails(xy=xy, valid=np.ones((n, 20), bool)),
        ghosts=Ghosts(x=x + 1, y=y, yaw=yaw, valid=np.ones(n, bool)),
    )  # fmt: skip
    return crowd, center


if __name__ == "__main__":
    main(tyro.cli(Args))
