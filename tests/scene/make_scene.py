"""A hand-made scene whose geometry can be worked out on paper."""

from __future__ import annotations

import numpy as np

from trafficgym.scene.scene import AgentType, Links, RoadMap, RoadType, Scene, Signals, SignalState, Tracks

LANE_WIDTH = 3.5  # m
HALF = 100.0  # m, where the lanes of the first half lead into those of the second


def make_scene(
    id: str = "made",
    *,
    num_agents: int = 3,
    num_steps: int = 91,
    current_step: int = 10,
    speed: float = 10.0,
    origin: tuple[float, float, float] = (1000.0, -2000.0, 30.0),
) -> Scene:
    """A straight road of two lanes to the east, 200 m long, with vehicles at constant speed.

    The right lane lies on y = 0, the left one on y = 3.5; each is two lanes in a row that meet at x = 100. Features
    0 and 1 are the right lane's halves, 2 and 3 the left lane's, 4 the broken line between them, 5 the south edge
    (running east, so that the road is on its left), 6 the north edge (running west). A signal on feature 1 with its
    stop point at (100, 0) is red for the first half of the steps, then green. Vehicle i starts at x = 10 + 20 i, in
    the right lane where i is even; vehicle 0 is the SDC, vehicle 1 (if any) is to be predicted.
    """
    return Scene(
        id=id,
        source="generated",
        origin=np.array(origin),
        timestamps=np.arange(num_steps) * 0.1,
        current_step=min(current_step, num_steps - 1),
        tracks=_tracks(num_agents, num_steps, speed),
        road=_road(),
        signals=_signals(num_steps),
    )


def _tracks(num_agents: int, num_steps: int, speed: float) -> Tracks:
    shape = (num_agents, num_steps)
    number = np.arange(num_agents)

    def full(value: float) -> np.ndarray:
        return np.full(shape, value, np.float32)

    return Tracks(
        id=number + 100,
        type=np.full(num_agents, AgentType.VEHICLE, np.int8),
        x=(10 + 20 * number[:, None] + 0.1 * speed * np.arange(num_steps)).astype(np.float32),
        y=np.broadcast_to(LANE_WIDTH * (number[:, None] % 2), shape).astype(np.float32),
        z=full(0.75),
        yaw=full(0),
        vx=full(speed),
        vy=full(0),
        length=full(4.5),
        width=full(2),
        height=full(1.5),
        valid=np.ones(shape, bool),
        is_sdc=number == 0,
        to_predict=number == 1,
        of_interest=np.zeros(num_agents, bool),
        difficulty=np.zeros(num_agents, np.int8),
    )


def _road() -> RoadMap:
    def line(x_from: float, x_to: float, y: float) -> np.ndarray:
        x = np.linspace(x_from, x_to, round(abs(x_to - x_from)) + 1)
        return np.stack([x, np.full_like(x, y), np.zeros_like(x)], axis=1)

    lanes = [line(start, start + HALF, y) for y in (0.0, LANE_WIDTH) for start in (0.0, HALF)]
    others = [line(0, 2 * HALF, 0.5 * LANE_WIDTH), line(0, 2 * HALF, -0.5 * LANE_WIDTH)]
    features = [*lanes, *others, line(2 * HALF, 0, 1.5 * LANE_WIDTH)]
    types = [RoadType.LANE_SURFACE_STREET] * 4 + [RoadType.LINE_BROKEN_SINGLE_WHITE] + [RoadType.EDGE_BOUNDARY] * 2
    whole = [[0, round(HALF)] * 2] * 2
    return RoadMap(
        xyz=np.concatenate(features).astype(np.float32),
        offsets=np.cumsum([0, *map(len, features)], dtype=np.int32),
        id=np.arange(len(features), dtype=np.int64) + 10,
        type=np.array(types, np.int8),
        speed_limit=np.array([15.0] * 4 + [0.0] * 3, np.float32),
        interpolating=np.zeros(len(features), bool),
        successors=Links.from_lists([[1], [], [3], [], [], [], []]),
        predecessors=Links.from_lists([[], [0], [], [2], [], [], []]),
        left_neighbors=Links.from_lists([[2], [3], [], [], [], [], []], whole),
        right_neighbors=Links.from_lists([[], [], [0], [1], [], [], []], whole),
        stop_lanes=Links.empty(len(features)),
    )


def _signals(num_steps: int) -> Signals:
    red = np.arange(num_steps) < num_steps // 2
    return Signals(
        lane=np.array([1], np.int32),
        lane_id=np.array([11], np.int64),
        state=np.where(red, SignalState.STOP, SignalState.GO).astype(np.int8)[None],
        stop=np.broadcast_to(np.array([HALF, 0, 0], np.float32), (1, num_steps, 3)).copy(),
        valid=np.ones((1, num_steps), bool),
    )
