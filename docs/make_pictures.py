"""Draw the pictures of this documentation: `python docs/make_pictures.py`.

Everything in them is generated; what is marked as an event was found by the same code that runs in every world.
"""

from __future__ import annotations

import pathlib
from dataclasses import dataclass

import imageio.v3 as iio
import numpy as np
import pygame
from numpy.typing import NDArray

from trafficgym.scene.scene import AgentType, RoadType, Scene, Signals, SignalState, Tracks
from trafficgym.viewer import LIGHT, Camera, Painter, Style, frame_of_log, frame_of_world
from trafficgym.world.events import EventLimits
from trafficgym.world.world import World
from trafficgym_scenarios import NominalConfig, nominal_scene
from trafficgym_scenarios.roads import Interval, Path
from trafficgym_scenarios.roads.builder import LaneStyle
from trafficgym_scenarios.roads.highways import Carriageway, lay_road

IMAGES = pathlib.Path(__file__).parent / "images"
PANEL = (420, 150)  # px
STEPS = 21
HALF = 30.0  # m, from one end of a micro-scene's road to its middle
LANE = 3.6  # m
SEED = 29  # of a scene in which the road bends away under the ego


@dataclass(frozen=True, kw_only=True)
class Box:
    """A road user that goes straight on."""

    x: float  # m, at the current step
    y: float  # m
    yaw: float = 0.0  # rad
    speed: float = 0.0  # m/s
    type: AgentType = AgentType.VEHICLE
    size: tuple[float, float, float] = (4.6, 1.9, 1.6)  # m, length, width, height


def micro_scene(*boxes: Box, red: bool | None = None) -> Scene:
    """A straight road of two eastbound lanes about the origin, with `boxes` on it.

    Args:
        red: Whether the signal at x = 6 m over the lower lane is red; None for no signal.
    """
    course = Path([(-HALF, -LANE / 2), (0.0, -LANE / 2), (HALF, -LANE / 2)])
    style = LaneStyle(width=LANE, limit=13.4, shoulder=1.0, type=RoadType.LANE_FREEWAY)
    road = lay_road("straight", course, Carriageway(course=course, num_lanes=2, style=style).lanes())
    return Scene(
        id="micro",
        source="generated",
        origin=np.zeros(3),
        timestamps=np.arange(STEPS) * 0.1,
        current_step=10,
        tracks=_tracks(boxes),
        road=road.map,
        signals=Signals.empty(STEPS) if red is None else _signal(red),
    )


def _tracks(boxes: tuple[Box, ...]) -> Tracks:
    shape = (len(boxes), STEPS)
    yaw = np.array([[b.yaw] * STEPS for b in boxes])
    speed = np.array([[b.speed] for b in boxes])
    time = (np.arange(STEPS) - 10) * 0.1
    size = {name: [[b.size[i]] * STEPS for b in boxes] for i, name in enumerate(("length", "width", "height"))}
    values = {
        "x": np.array([[b.x] for b in boxes]) + speed * np.cos(yaw) * time,
        "y": np.array([[b.y] for b in boxes]) + speed * np.sin(yaw) * time,
        "z": np.array(size["height"]) / 2,
        "yaw": (yaw + np.pi) % (2 * np.pi) - np.pi,
        "vx": speed * np.cos(yaw),
        "vy": speed * np.sin(yaw),
        **size,
    }
    none = np.zeros(len(boxes), bool)
    return Tracks(
        id=np.arange(1, len(boxes) + 1),
        type=np.array([b.type for b in boxes], np.int8),
        valid=np.ones(shape, bool),
        is_sdc=none,
        to_predict=none,
        of_interest=none,
        difficulty=np.zeros(len(boxes), np.int8),
        **{name: np.ascontiguousarray(value, np.float32) for name, value in values.items()},
    )


def _signal(red: bool) -> Signals:
    stop = np.tile(np.array([6.0, -LANE / 2, 0.0], np.float32), (1, STEPS, 1))
    return Signals(
        lane=np.zeros(1, np.int32),  # the lower one
        lane_id=np.ones(1, np.int64),
        state=np.full((1, STEPS), SignalState.STOP if red else SignalState.GO, np.int8),
        stop=stop,
        valid=np.ones((1, STEPS), bool),
    )


def panel(scene: Scene, *, steps: int = 0, goal_radius: float | None = None) -> NDArray[np.uint8]:
    """The scene after `steps` steps at constant velocity, with what the world found in the last of them."""
    world = World([scene], control="constant_velocity")
    for _ in range(steps):
        world.step()
    painter = Painter(PANEL, Style(palette=LIGHT, legend=False, hud=False, ghosts=False))
    camera = Camera((0.0, 0.0), 11.0)
    painter.draw(scene, frame_of_world(world), camera)
    if goal_radius is not None:
        middle = camera.to_screen(world.goal[0, 0], PANEL)
        pygame.draw.circle(painter.surface, LIGHT.accent, middle.tolist(), goal_radius * camera.scale, width=2)
    return pygame.surfarray.array3d(painter.surface).swapaxes(0, 1)


def pair(name: str, counts: NDArray[np.uint8], does_not: NDArray[np.uint8]) -> None:
    """Write two panels side by side, the one that counts on the left."""
    gap = np.full((PANEL[1], 8, 3), 255, np.uint8)
    write(name, np.concatenate([counts, gap, does_not], axis=1))


def write(name: str, picture: NDArray[np.uint8]) -> None:
    """Write a PNG under docs/images."""
    IMAGES.mkdir(exist_ok=True)
    iio.imwrite(IMAGES / f"{name}.png", picture, optimize=True)


def draw_events() -> None:
    """One pair of panels for each event with a place in the picture."""
    low, high = -LANE / 2, LANE / 2
    parked = Box(x=4.0, y=low)
    pair(
        "collision",
        panel(micro_scene(Box(x=-0.1, y=low, speed=3.0), parked)),
        panel(micro_scene(Box(x=-1.0, y=low, speed=3.0), parked)),
    )
    edge = -LANE - 1.0
    pair(
        "off_road",
        panel(micro_scene(Box(x=0.0, y=edge + 1.1, yaw=-0.25, speed=8.0))),
        panel(micro_scene(Box(x=0.0, y=edge + 1.1, speed=8.0))),
    )
    pair(
        "wrong_way",
        panel(micro_scene(Box(x=0.0, y=high, yaw=np.pi, speed=8.0)), steps=1),
        panel(micro_scene(Box(x=0.0, y=high, yaw=-1.2, speed=3.0)), steps=1),
    )
    crossing = Box(x=3.0, y=low, speed=8.0)
    pair(
        "red_light",
        panel(micro_scene(crossing, red=True), steps=1),
        panel(micro_scene(crossing, red=False), steps=1),
    )
    radius = EventLimits().goal_radius
    pair(
        "goal",
        panel(micro_scene(Box(x=-8.0, y=low, speed=8.0)), steps=8, goal_radius=radius),
        panel(micro_scene(Box(x=-8.0, y=low, speed=8.0)), steps=4, goal_radius=radius),
    )


def draw_highway() -> None:
    """A nominal scene: its log, and the same seconds with everybody but the ego driven by IDM."""
    crowd = NominalConfig(roads="highway", num_agents=Interval(24, 24), spacing=Interval(30.0, 30.0, "m"))
    scene = nominal_scene(SEED, crowd)
    size = (900, 300)
    sdc = scene.sdc
    assert sdc is not None
    step = 70
    painter = Painter(size, Style(palette=LIGHT))
    tracks = scene.tracks
    view = Camera((tracks.x[sdc, step], tracks.y[sdc, step]), 6.0, rotation=float(tracks.yaw[sdc, step]))
    write("highway", painter.paint(scene, frame_of_log(scene, step), view))
    world = World([scene], control={"all": "idm", "sdc": "constant_velocity"})
    for _ in range(step - scene.current_step):
        world.step()
    write("drivers", painter.paint(scene, frame_of_world(world), view))


if __name__ == "__main__":
    draw_events()
    draw_highway()
