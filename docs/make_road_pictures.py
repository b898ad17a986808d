"""Draw the contact sheet of docs/roads.md: `python docs/make_road_pictures.py`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from numpy.typing import NDArray

from trafficgym.scene.scene import AgentType, Scene, Tracks
from trafficgym.viewer import LIGHT, Camera, Painter, Style, frame_of_log
from trafficgym_scenarios.roads import (
    ROADS,
    BranchOptions,
    HighwayOptions,
    IntersectionOptions,
    Interval,
    LaneDropOptions,
    RampOptions,
    Road,
    RoundaboutOptions,
    StreetOptions,
    WeavingOptions,
)
from trafficgym_scenarios.roads.streets import UrbanOptions

IMAGE = Path(__file__).parent / "images" / "roads.png"
WIDTH = 1000  # px
GAP = 6  # px
STRIP, SCALE = 84, 1.75  # px high, px/m

TO_THE_RIGHT = Interval(0.0, 0.0, "rad")
TWO, THREE = Interval(2, 2), Interval(3, 3)
WIDER = Interval(0.25, 0.25)
LONG: list[tuple[str, HighwayOptions, float]] = [  # kind, options, m along the road in the middle of its strip
    ("highway", HighwayOptions(shape="straight", num_lanes=THREE, heading=TO_THE_RIGHT), 750.0),
    ("on_ramp", RampOptions(shape="straight", num_lanes=TWO, at=WIDER, heading=TO_THE_RIGHT), 640.0),
    ("off_ramp", RampOptions(shape="straight", num_lanes=TWO, at=WIDER, heading=TO_THE_RIGHT), 640.0),
    ("merge", BranchOptions(shape="straight", num_lanes=TWO, num_branch=TWO, at=WIDER, heading=TO_THE_RIGHT), 640.0),
    ("fork", BranchOptions(shape="straight", num_lanes=TWO, num_branch=TWO, at=WIDER, heading=TO_THE_RIGHT), 620.0),
    ("lane_drop", LaneDropOptions(shape="straight", num_lanes=TWO, side="right", heading=TO_THE_RIGHT), 700.0),
    ("weaving", WeavingOptions(shape="straight", num_lanes=TWO, at=WIDER, heading=TO_THE_RIGHT), 780.0),
]
NORTH, SOME = Interval(0.0, 0.0, "rad"), Interval(0.15, 0.15, "rad")
SHORT: list[tuple[str, UrbanOptions, float]] = [  # kind, options, m across its panel
    ("street", StreetOptions(num_lanes=TWO, parking="always", crosswalk="always", heading=SOME), 60.0),
    ("three_way", IntersectionOptions(control="two_way_stop", turn_lanes="always", heading=NORTH), 75.0),
    ("four_way", IntersectionOptions(control="signal", turn_lanes="always", num_lanes=TWO, heading=SOME), 85.0),
    ("four_way", IntersectionOptions(control="all_way_stop", turn_lanes="never", heading=NORTH), 60.0),
    (
        "four_way",
        IntersectionOptions(control="yield", turn_lanes="never", num_lanes=Interval(1, 1), heading=SOME),
        60.0,
    ),
    ("roundabout", RoundaboutOptions(num_arms=Interval(4, 4), crosswalks="always", heading=NORTH), 85.0),
]


def scene_of(road: Road, near: NDArray[np.float64] | None = None) -> Scene:
    """The road with a car on each route, shortly before the point `near` ``[2]`` m, or 20 m from where it begins."""
    places = []
    for k, route in enumerate(road.routes.values()):
        s = 20.0 if near is None else float(route.path.project(near)[0]) - 110.0 + 45.0 * k
        places.append([*route.path.xy(s), float(route.path.yaw(s))])
    x, y, yaw = np.array(places, np.float32).T[:, :, None]
    num, none = len(places), np.zeros(len(places), bool)
    size = {
        name: np.full((num, 1), value, np.float32) for name, value in (("length", 4.8), ("width", 2), ("height", 1.6))
    }
    return Scene(
        id=road.kind,
        source="generated",
        origin=np.zeros(3),
        timestamps=np.zeros(1),
        current_step=0,
        tracks=Tracks(
            id=np.arange(num),
            type=np.full(num, AgentType.VEHICLE, np.int8),
            x=x,
            y=y,
            z=np.full_like(x, 0.8),
            yaw=(yaw + np.float32(np.pi)) % np.float32(2 * np.pi) - np.float32(np.pi),
            vx=np.zeros_like(x),
            vy=np.zeros_like(x),
            **size,
            valid=np.ones((num, 1), bool),
            is_sdc=none,
            to_predict=none,
            of_interest=none,
            difficulty=np.zeros(num, np.int8),
        ),
        road=road.map,
        signals=road.signals(1),
    )


def paint(scene: Scene, size: tuple[int, int], camera: Camera, name: str) -> NDArray[np.uint8]:
    """One panel with a name on it."""
    painter = Painter(size, Style(palette=LIGHT, legend=False, hud=False, ghosts=False))
    painter.draw(scene, frame_of_log(scene, 0), camera)
    return label(painter, name)


def long_strip(kind: str, options: HighwayOptions, at: float) -> NDArray[np.uint8]:
    """A highway from the left to the right."""
    road = ROADS[kind](np.random.default_rng(4), options)
    center = (at, -3.0)
    return paint(scene_of(road, np.array(center)), (WIDTH, STRIP), Camera(center, SCALE), kind)


def short_panel(kind: str, options: UrbanOptions, across: float) -> NDArray[np.uint8]:
    """A street or junction from above."""
    road = ROADS[kind](np.random.default_rng(4), options)
    side = (WIDTH - 2 * GAP) // 3
    center = (0.0, 0.0) if kind != "street" else tuple(road.crosswalks["middle"].path.xy(8.0).tolist())
    control = getattr(options, "control", None)
    name = f"{kind}, {control}" if control else kind
    return paint(scene_of(road), (side, side), Camera(center, side / across), name)


def label(painter: Painter, name: str) -> NDArray[np.uint8]:
    """The picture with a name in its upper left corner."""
    import pygame

    pygame.font.init()
    text = pygame.font.Font(None, 20).render(name, True, (30, 30, 30), LIGHT.ground)
    painter.surface.blit(text, (4, 4))
    return np.ascontiguousarray(pygame.surfarray.array3d(painter.surface).swapaxes(0, 1))


def rows_of(pictures: Sequence[NDArray[np.uint8]], axis: int) -> NDArray[np.uint8]:
    """Pictures one after the other along an axis, with gaps."""
    shape = list(pictures[0].shape)
    shape[axis] = GAP
    gap = np.full(shape, 255, np.uint8)
    return np.concatenate([part for picture in pictures for part in (picture, gap)][:-1], axis=axis)


def sheet() -> NDArray[np.uint8]:
    """All kinds of road."""
    strips = [long_strip(*row) for row in LONG]
    panels = [short_panel(*row) for row in SHORT]
    rows = [rows_of(panels[k : k + 3], 1) for k in (0, 3)]
    return rows_of(
        [*strips, *(np.pad(row, ((0, 0), (0, WIDTH - row.shape[1]), (0, 0)), constant_values=255) for row in rows)], 0
    )


if __name__ == "__main__":
    IMAGE.parent.mkdir(exist_ok=True)
    iio.imwrite(IMAGE, sheet(), optimize=True)
