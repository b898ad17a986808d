"""What the metric takes from a scene, as float32 in the source's coordinates, like the official code."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trafficgym.errors import SceneError
from trafficgym.metrics.wosac.config import WosacConfig
from trafficgym.scene.scene import RoadType, Scene

Float = NDArray[np.float32]
Bool = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Log:
    """The log of the simulated objects: N that are there at the scene's current step, the E evaluated ones first.

    Objects that appear later do not exist for the metric (WOSAC.md sections 1 and 2).
    """

    scene: Scene
    track: NDArray[np.int32]  # (N,) track index
    num_evaluated: int
    x: Float  # (N, T) m, source's coordinates; steps that are not valid hold what the source holds there
    y: Float
    z: Float
    yaw: Float  # rad, not wrapped
    valid: Bool  # (N, T)
    length: Float  # (N,) m, at the current step, which holds for all steps
    width: Float
    height: Float

    @classmethod
    def of(cls, scene: Scene, config: WosacConfig) -> Log:
        """Read a scene.

        Raises:
            SceneError: it has too few steps, or nothing to evaluate.
        """
        now, tracks = scene.current_step, scene.tracks
        if scene.num_steps < config.end_step:
            raise SceneError(
                f"scene {scene.id!r} has {scene.num_steps} steps, and the WOSAC config {config.name!r} needs "
                f"{config.end_step}; history alone (WOMD's test split) cannot be scored here"
            )
        if config.first_step not in (0, now + 1):
            raise SceneError(
                f"scene {scene.id!r} has its current step at {now}; the WOSAC config {config.name!r} simulates from "
                f"step {config.first_step} on, so that it must be {config.first_step - 1}"
            )
        simulated = np.flatnonzero(tracks.valid[:, now])
        evaluated = simulated if config.evaluate_all else _evaluated(scene)
        absent = np.setdiff1d(evaluated, simulated)
        if len(absent):
            raise SceneError(
                f"scene {scene.id!r}: track {tracks.id[absent[0]]} is to be predicted but is not valid at step {now}; "
                "unmark it, or repair the source"
            )
        if not len(evaluated):
            lacks = f"no object at step {now}" if config.evaluate_all else "no SDC and no tracks to predict"
            raise SceneError(
                f"scene {scene.id!r} has {lacks}, so that WOSAC has nothing to evaluate; mark some tracks "
                f"that are valid at step {now} as to_predict"
            )
        evaluated = evaluated[np.argsort(tracks.id[evaluated], kind="stable")]
        track = np.concatenate([evaluated, np.setdiff1d(simulated, evaluated)]).astype(np.int32)
        steps = slice(0, config.end_step)
        valid = tracks.valid[track, steps]
        # Sources leave states that are not valid at 0, which a scene keeps as 0 in its own frame. Those of others may
        # hold NaN there, which has no place in the order in which neighbours are searched.
        held = (getattr(tracks, name)[track, steps] for name in ("x", "y", "z", "yaw"))
        x, y, z, yaw = (np.where(np.isfinite(values), values, np.float32(0)) for values in held)
        empty = ~valid & (x == 0) & (y == 0)
        position = [
            np.where(nothing, np.float32(0), in_source(values, origin))
            for values, nothing, origin in zip((x, y, z), (empty, empty, empty & (z == 0)), scene.origin, strict=True)
        ]
        if tracks.turns is not None:
            yaw = (yaw + 2 * np.pi * tracks.turns[track, steps].astype(np.float64)).astype(np.float32)
        return cls(
            scene=scene,
            track=track,
            num_evaluated=len(evaluated),
            x=position[0],
            y=position[1],
            z=position[2],
            yaw=yaw,
            valid=valid,
            length=tracks.length[track, now],
            width=tracks.width[track, now],
            height=tracks.height[track, now],
        )

    @property
    def ids(self) -> NDArray[np.int64]:
        """Track ids of the N simulated objects, the evaluated ones first and ascending."""
        return self.scene.tracks.id[self.track]

    @property
    def types(self) -> NDArray[np.int8]:
        """`AgentType` of the N simulated objects."""
        return self.scene.tracks.type[self.track]

    def road_edges(self) -> list[Float]:
        """Points of each road edge in the source's coordinates, float32 ``[n, 3]`` m, in the order of the source."""
        road = self.scene.road
        return [in_source(road.points(f), self.scene.origin) for f in np.flatnonzero(road.is_edge).tolist()]

    def surface_streets(self) -> tuple[list[Float], NDArray[np.int64]]:
        """Points of each surface-street lane, like `road_edges`, and their ids."""
        road = self.scene.road
        lanes = np.flatnonzero(road.type == RoadType.LANE_SURFACE_STREET)
        return [in_source(road.points(f), self.scene.origin) for f in lanes.tolist()], road.id[lanes]

    def signals(self) -> tuple[NDArray[np.int64], NDArray[np.int8], Float]:
        """Lane id ``[S]``, state ``[S, T]`` and stop point ``[S, T, 2]`` of each signal; 0 where there is no entry."""
        signals, num_steps = self.scene.signals, self.x.shape[1]
        valid = signals.valid[:, :num_steps]
        stop = in_source(signals.stop[:, :num_steps, :2], self.scene.origin[:2])
        state = np.where(valid, signals.state[:, :num_steps], np.int8(0))
        return signals.lane_id, state, np.where(valid[..., None], stop, np.float32(0))


def in_source(values: NDArray[np.floating], origin: float | NDArray[np.float64]) -> Float:
    """From the scene frame to the source's coordinates, rounded once."""
    out = np.empty(values.shape, np.float32)
    return np.add(values, origin, out=out, dtype=np.float64, casting="same_kind")


def _evaluated(scene: Scene) -> NDArray[np.intp]:
    """The SDC and the tracks to predict."""
    return np.flatnonzero(scene.tracks.is_sdc | scene.tracks.to_predict)
