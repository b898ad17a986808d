"""The checks that every Scene passes, each with an error that names the scene and the remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trafficgym.errors import SceneError

if TYPE_CHECKING:
    from trafficgym.scene.scene import RoadMap, Scene, Tracks


def validate(scene: Scene) -> None:
    """Raise SceneError where `scene` breaks its own contract (see the field comments of `Scene`)."""
    try:
        _check_scene(scene)
        _check_tracks(scene.tracks)
        _check_road(scene.road)
        _check_signals(scene)
    except SceneError as error:
        raise SceneError(f"scene {scene.id!r}: {error}") from None


def _check_scene(scene: Scene) -> None:
    steps = scene.tracks.valid.shape[1] if scene.tracks.valid.ndim == 2 else -1
    _shape("origin", scene.origin, (3,), np.float64)
    _shape("timestamps", scene.timestamps, (steps,), np.float64)
    if not np.isfinite(scene.origin).all():
        raise SceneError("the origin is not finite")
    for track in scene.scripts:
        if not 0 <= track < scene.num_agents or not scene.tracks.valid[track, scene.current_step]:
            raise SceneError(f"there is a script for track number {track}, but no such track at the current step")
    if not 0 <= scene.current_step < steps:
        raise SceneError(f"current_step is {scene.current_step}, but the tracks have {steps} steps")


def _check_tracks(tracks: Tracks) -> None:
    if tracks.valid.ndim != 2:
        raise SceneError(f"tracks.valid must be (A, T), got {tracks.valid.shape}")
    agents, steps = tracks.valid.shape
    _shape("tracks.valid", tracks.valid, (agents, steps), np.bool_)
    for name in ("x", "y", "z", "yaw", "vx", "vy", "length", "width", "height"):
        values = getattr(tracks, name)
        _shape(f"tracks.{name}", values, (agents, steps), np.float32)
        bad = tracks.valid & ~np.isfinite(values)
        if bad.any():
            agent, step = np.argwhere(bad)[0]
            raise SceneError(
                f"track {tracks.id[agent]} has a {name} that is not finite at step {step}; "
                "mark that state as not valid, or repair the source"
            )
    for name, dtype in (
        ("id", np.int64),
        ("type", np.int8),
        ("is_sdc", np.bool_),
        ("to_predict", np.bool_),
        ("of_interest", np.bool_),
        ("difficulty", np.int8),
    ):
        _shape(f"tracks.{name}", getattr(tracks, name), (agents,), dtype)
    if tracks.turns is not None:
        _shape("tracks.turns", tracks.turns, (agents, steps), np.int8)
    if not tracks.valid.any():
        raise SceneError("no agent is valid at any step; there is nothing to simulate")
    _unique("track", tracks.id)
    if tracks.is_sdc.sum() > 1:
        raise SceneError(f"{tracks.is_sdc.sum()} tracks are marked as the SDC; there can be one")
    for name in ("length", "width"):
        bad = tracks.valid & (getattr(tracks, name) <= 0)
        if bad.any():
            agent, step = np.argwhere(bad)[0]
            raise SceneError(f"track {tracks.id[agent]} has no positive {name} at step {step}")


def _check_road(road: RoadMap) -> None:
    from trafficgym.scene.scene import LINK_NAMES

    num = len(road.id)
    _shape("road.xyz", road.xyz, (len(road.xyz), 3), np.float32)
    _shape("road.offsets", road.offsets, (num + 1,), np.int32)
    _shape("road.id", road.id, (num,), np.int64)
    _shape("road.type", road.type, (num,), np.int8)
    _shape("road.speed_limit", road.speed_limit, (num,), np.float32)
    _shape("road.interpolating", road.interpolating, (num,), np.bool_)
    if not np.isfinite(road.xyz).all():
        feature = road.point_feature()[np.argwhere(~np.isfinite(road.xyz))[0, 0]]
        raise SceneError(f"map feature {road.id[feature]} has a point that is not finite")
    if not np.isfinite(road.speed_limit).all():
        raise SceneError("a speed limit is not finite; 0 stands for unknown")
    if num and (road.offsets[0] != 0 or road.offsets[-1] != len(road.xyz) or (np.diff(road.offsets) < 0).any()):
        raise SceneError("road.offsets must rise from 0 to the number of points")
    _unique("map feature", road.id)
    for name in LINK_NAMES:
        links = getattr(road, name)
        _shape(f"road.{name}.offsets", links.offsets, (num + 1,), np.int32)
        if len(links.index) and not (links.index.min() >= 0 and links.index.max() < num):
            raise SceneError(f"road.{name} points to a feature that is not there")


def _check_signals(scene: Scene) -> None:
    signals = scene.signals
    num, steps = len(signals.lane), scene.tracks.num_steps
    _shape("signals.lane", signals.lane, (num,), np.int32)
    _shape("signals.lane_id", signals.lane_id, (num,), np.int64)
    _shape("signals.state", signals.state, (num, steps), np.int8)
    _shape("signals.stop", signals.stop, (num, steps, 3), np.float32)
    _shape("signals.valid", signals.valid, (num, steps), np.bool_)
    if not np.isfinite(signals.stop[signals.valid]).all():
        raise SceneError("a signal's stop point is not finite")
    if num and (signals.lane.min() < -1 or signals.lane.max() >= scene.road.num_features):
        raise SceneError("a signal names a lane that is not there")


def _shape(name: str, array: np.ndarray, shape: tuple[int, ...], dtype: type) -> None:
    if not isinstance(array, np.ndarray) or array.shape != shape or array.dtype != dtype:
        got = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
        raise SceneError(f"{name} must be {np.dtype(dtype)} {shape}, got {got}")


def _unique(what: str, ids: np.ndarray) -> None:
    values, counts = np.unique(ids, return_counts=True)
    if (counts > 1).any():
        raise SceneError(f"{what} id {values[counts > 1][0]} occurs {counts.max()} times; ids must be unique")
