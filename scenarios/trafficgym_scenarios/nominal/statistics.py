"""Statistics of traffic, the same for generated and for recorded scenes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from trafficgym.scene.scene import AgentType, Scene

Array = NDArray[np.float64]
Bool = NDArray[np.bool_]

MOVING = 1.0  # m/s, from which a vehicle moves
FOLLOWING = 5.0  # m/s, from which a time gap means something
FURTHEST = 80.0  # m to a leader
STRIP = 1.3  # m to either side of straight ahead, where a leader's centre is
ALIGNED = np.radians(20.0)
STRIDE = 5  # steps between two looks at lanes
STAYS = 3  # looks for which a vehicle must be in a lane


@dataclass(frozen=True, kw_only=True, eq=False)
class TrafficStatistics:
    """Samples over all vehicles and steps, and what they drove."""

    speed: Array  # m/s, of moving vehicles
    acceleration: Array  # m/s^2 over half a second, of moving vehicles
    gap: Array  # m, bumper to bumper, behind a leader, of moving vehicles
    time_gap: Array  # s, bumper to bumper, above 5 m/s
    walking_speed: Array  # m/s, of moving pedestrians
    distance_km: float  # driven on lanes, by vehicles
    lane_changes: int

    @property
    def lane_changes_per_km(self) -> float:
        """Per kilometre driven."""
        return self.lane_changes / max(self.distance_km, 1e-9)


def traffic_statistics(scenes: Iterable[Scene]) -> TrafficStatistics:
    """Collect the statistics of scenes."""
    parts: dict[str, list[Array]] = {name: [] for name in ("speed", "acceleration", "gap", "time_gap", "walking_speed")}
    distance, changes = 0.0, 0
    for scene in scenes:
        t = scene.tracks
        speed = np.hypot(t.vx, t.vy).astype(np.float64)
        vehicle = (t.type == AgentType.VEHICLE)[:, None] & t.valid
        parts["speed"].append(speed[vehicle & (speed > MOVING)])
        parts["acceleration"].append(_accelerations(speed, vehicle))
        gap, own = _gaps(scene, speed, vehicle)
        parts["gap"].append(gap[own > MOVING])
        parts["time_gap"].append((gap / np.maximum(own, 0.1))[own > FOLLOWING])
        parts["walking_speed"].append(speed[(t.type == AgentType.PEDESTRIAN)[:, None] & t.valid & (speed > 0.3)])
        if len(scene.road.left_neighbors.index):
            km, count = _lane_changes(scene, speed, vehicle)
            distance, changes = distance + km, changes + count
    return TrafficStatistics(
        **{name: np.concatenate(samples) if samples else np.zeros(0) for name, samples in parts.items()},
        distance_km=distance,
        lane_changes=changes,
    )


def _accelerations(speed: Array, vehicle: Bool) -> Array:
    if speed.shape[1] <= STRIDE:
        return np.zeros(0)
    both = vehicle[:, STRIDE:] & vehicle[:, :-STRIDE] & (speed[:, :-STRIDE] > MOVING)
    return ((speed[:, STRIDE:] - speed[:, :-STRIDE]) / (0.1 * STRIDE))[both]


def _gaps(scene: Scene, speed: Array, vehicle: Bool) -> tuple[Array, Array]:
    """Gap to the vehicle straight ahead [m], and the own speed, every half second."""
    t = scene.tracks
    gaps, speeds = [], []
    for k in range(0, scene.num_steps, STRIDE):
        here = np.flatnonzero(vehicle[:, k])
        x, y, yaw = (getattr(t, name)[here, k].astype(np.float64) for name in ("x", "y", "yaw"))
        dx, dy = x[None] - x[:, None], y[None] - y[:, None]
        cos, sin = np.cos(yaw)[:, None], np.sin(yaw)[:, None]
        along, aside = dx * cos + dy * sin, dy * cos - dx * sin
        turned = np.abs((yaw[None] - yaw[:, None] + np.pi) % (2 * np.pi) - np.pi)
        length = t.length[here, k].astype(np.float64)
        free = along - (length[None] + length[:, None]) / 2
        leads = (along > 0) & (np.abs(aside) < STRIP) & (turned < ALIGNED) & (free < FURTHEST) & (free > 0)
        nearest = np.where(leads, free, np.inf).min(axis=1, initial=np.inf)
        found = np.isfinite(nearest)
        gaps.append(nearest[found])
        speeds.append(speed[here[found], k])
    return np.concatenate(gaps), np.concatenate(speeds)


def _lane_changes(scene: Scene, speed: Array, vehicle: Bool) -> tuple[float, int]:
    """Kilometres driven on lanes, and changes to a lane beside the own one that last at least a second."""
    road, t = scene.road, scene.tracks
    lanes = [int(f) for f in np.flatnonzero(road.is_lane) if len(road.points(int(f))) > 1]
    segments, owner, course = [], [], []
    for lane in lanes:
        xy = road.points(lane)[:, :2].astype(np.float64)
        step = np.diff(xy, axis=0)
        keep = np.hypot(*step.T) > 1e-3
        segments.append(np.stack([xy[:-1], xy[1:]], 1)[keep])
        course.append(np.arctan2(step[keep, 1], step[keep, 0]))
        owner += [lane] * int(keep.sum())
    tree = shapely.STRtree(shapely.linestrings(np.concatenate(segments)))
    owners, yaws = np.array(owner), np.concatenate(course)
    steps = np.arange(0, scene.num_steps, STRIDE)
    rows, columns = np.nonzero(vehicle[:, steps] & (speed[:, steps] > MOVING))
    at = steps[columns]
    points = shapely.points(t.x[rows, at].astype(np.float64), t.y[rows, at].astype(np.float64))
    which, segment = tree.query(points, predicate="dwithin", distance=2.5)
    turned = np.abs((yaws[segment] - t.yaw[rows[which], at[which]] + np.pi) % (2 * np.pi) - np.pi)
    away = np.where(turned < np.radians(45), shapely.distance(points[which], tree.geometries[segment]), np.inf)
    lane_at = np.full((scene.num_agents, len(steps)), -1)
    order = np.argsort(away, kind="stable")[::-1]  # the nearest is written last
    order = order[np.isfinite(away[order])]
    lane_at[rows[which[order]], columns[which[order]]] = owners[segment[order]]
    distance = float(speed[:, steps][lane_at >= 0].sum()) * 0.1 * STRIDE / 1000
    return distance, sum(_count_changes(scene, row) for row in lane_at)


def _count_changes(scene: Scene, lanes: NDArray[np.int64]) -> int:
    """How often one vehicle settles in a lane beside the one in which it was settled."""
    road, count = scene.road, 0
    settled, last, seen = -1, -1, 0
    for lane in lanes.tolist():
        seen = seen + 1 if lane == last else 1
        last = lane
        if lane < 0 or seen < STAYS or lane == settled:
            continue
        if settled >= 0:
            onward = {settled, *road.successors.of(settled).tolist()}
            onward |= {int(f) for lead in tuple(onward) for f in road.successors.of(lead)}
            beside = {int(f) for own in onward for f in (*road.left_neighbors.of(own), *road.right_neighbors.of(own))}
            count += lane not in onward and lane in beside
        settled = lane
    return count
