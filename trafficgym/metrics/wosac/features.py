"""What the metric compares: one number, or flag, per rollout, evaluated object and step (WOSAC.md sections 2 to 7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trafficgym.metrics.wosac.config import WosacConfig
from trafficgym.metrics.wosac.interaction import interaction
from trafficgym.metrics.wosac.kinematics import kinematics, speed_in_plane
from trafficgym.metrics.wosac.log import Log
from trafficgym.metrics.wosac.red_lights import RedLights
from trafficgym.metrics.wosac.road_edges import RoadEdges

Float = NDArray[np.float32]
Bool = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Features:
    """Features of R rollouts of E evaluated objects over the T simulated steps; NaN where they are undefined."""

    linear_speed: Float  # (R, E, T) m/s
    linear_acceleration: Float  # m/s^2
    angular_speed: Float  # rad/s
    angular_acceleration: Float  # rad/s^2
    distance_to_nearest_object: Float  # m, negative where boxes overlap, 1e10 where there is no other
    collision_indication: Bool  # at this step
    time_to_collision: Float  # s, at most 5
    distance_to_road_edge: Float | None  # m, positive off the road; None where the map has no road edge
    offroad_indication: Bool | None  # at this step
    traffic_light_violation: Bool  # at this step
    displacement_error: Float  # (R, E) m, 3-D, mean over all logged steps, history included


class _Motion(NamedTuple):
    x: Float
    y: Float
    z: Float
    yaw: Float


class FeatureExtractor:
    """Prepared once per scene: the log, the grid of its road edges, its lanes and signals."""

    def __init__(self, log: Log, config: WosacConfig) -> None:
        self.log, self.config = log, config
        edges = RoadEdges(log.road_edges())
        self.edges = edges if len(edges) else None
        lanes, lane_ids = log.surface_streets()
        signal_lane_ids, state, stop = log.signals()
        self.lights = RedLights(lanes, lane_ids, signal_lane_ids, state, stop)

    def of_log(self) -> Features:
        """Features of the log itself, R = 1; objects count where they were seen."""
        log = self.log
        return self._features(log.x[None], log.y[None], log.z[None], log.yaw[None], log.valid)

    def of_rollouts(self, rollouts: Float) -> Features:
        """Features of rollouts, float32 ``[R, N, T, 4]`` (x, y, z, yaw) in the source's coordinates, N as in `Log`."""
        log, first = self.log, self.config.first_step
        x, y, z, yaw = np.empty((4, len(rollouts), *log.x.shape), np.float32)
        for k, (whole, logged) in enumerate(((x, log.x), (y, log.y), (z, log.z), (yaw, log.yaw))):
            whole[..., :first] = logged[:, :first]
            whole[..., first:] = rollouts[..., k]
        valid = log.valid.copy()
        valid[:, first:] = True
        return self._features(x, y, z, yaw, valid)

    def _features(self, x: Float, y: Float, z: Float, yaw: Float, valid: Bool) -> Features:
        """Of whole trajectories, float32 ``[R, N, history and T]``."""
        log, num, first = self.log, self.log.num_evaluated, self.config.first_step
        own = _Motion(*(np.ascontiguousarray(a[:, :num]) for a in (x, y, z, yaw)))
        kinematic = [values[..., first:] for values in kinematics(own.x, own.y, own.z, own.yaw)]
        there = np.ascontiguousarray(valid[:, first:])
        by_step = [np.ascontiguousarray(a[..., first:].swapaxes(1, 2)) for a in (x, y, yaw, speed_in_plane(x, y))]
        distance, ttc = interaction(
            by_step[0], by_step[1], by_step[2], by_step[3], log.length, log.width, np.ascontiguousarray(there.T), num
        )
        to_edge = None
        if self.edges is not None:
            future = _Motion(*(np.ascontiguousarray(a[..., first:]) for a in own))
            sizes = np.stack([log.length, log.width, log.height], 1)[:num]
            to_edge = self.edges.distance(future.x, future.y, future.z, future.yaw, sizes, there[:num])
        return Features(
            linear_speed=kinematic[0],
            linear_acceleration=kinematic[1],
            angular_speed=kinematic[2],
            angular_acceleration=kinematic[3],
            distance_to_nearest_object=distance,
            collision_indication=distance < 0,
            time_to_collision=ttc,
            distance_to_road_edge=to_edge,
            offroad_indication=None if to_edge is None else to_edge > 0,
            traffic_light_violation=self.lights.violations(own.x, own.y, valid[:num])[..., first:],
            displacement_error=self._displacement(own),
        )

    def _displacement(self, own: _Motion) -> Float:
        """Mean distance to the log over all its valid steps, float32 ``[R, E]`` m.

        0 where all steps are simulated, since then no object stands for a logged one.
        """
        log, num, first = self.log, self.log.num_evaluated, self.config.first_step
        if first == 0:
            return np.zeros((len(own.x), num), np.float32)
        # Over history both are the same.
        apart = [a[..., first:] - b[:num, first:] for a, b in zip(own, (log.x, log.y, log.z), strict=False)]
        error = np.sqrt(apart[0] ** 2 + apart[1] ** 2 + apart[2] ** 2)
        valid = log.valid[:num]
        total: Float = (error * valid[:, first:]).sum(-1) / valid.sum(-1)
        return total.astype(np.float32)
