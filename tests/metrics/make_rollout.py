"""Rollouts drawn by hand: every road user's position over time is given, nothing is simulated."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.scene.make_scene import make_scene
from trafficgym.scene.scene import Scene
from trafficgym.world.events import Event
from trafficgym.world.rollout import Rollout
from trafficgym.world.state import Driver

START = 10  # current_step of `make_scene`


def replay(scene: Scene | None = None, *, policy: str = "log") -> Rollout:
    """The log as a rollout of 81 states; every vehicle counts as simulated."""
    scene = scene or make_scene()
    tracks, future = scene.tracks, slice(scene.current_step, None)
    shape = tracks.valid[:, future].shape
    return Rollout(
        scene=scene,
        policy=policy,
        seed=0,
        start_step=scene.current_step,
        controller=np.full(shape[0], Driver.POLICY, np.int8),
        is_simulated=np.ones(shape[0], bool),
        **{name: getattr(tracks, name)[:, future].copy() for name in ("x", "y", "z", "yaw", "vx", "vy")},
        **{name: getattr(tracks, name)[:, scene.current_step].copy() for name in ("length", "width", "height")},
        present=tracks.valid[:, future].copy(),
        state=np.zeros(shape, np.uint8),
        onset=np.zeros(shape, np.uint8),
        collision_with=np.full(shape, -1, np.int32),
        at_fault=np.zeros(shape, bool),
    )


def drive(*vehicles: dict[str, float], num_steps: int = 81, policy: str = "made") -> Rollout:
    """Vehicles at constant velocity, 4 m long and 2 m wide: each dict gives x, y, z, yaw at the start, and vx, vy."""
    rollout = replay(make_scene(num_agents=len(vehicles), num_steps=START + num_steps), policy=policy)
    time = 0.1 * np.arange(num_steps)

    def per_vehicle(name: str, default: float = 0.0) -> np.ndarray:
        return np.array([vehicle.get(name, default) for vehicle in vehicles], np.float32)

    vx, vy = per_vehicle("vx")[:, None], per_vehicle("vy")[:, None]
    ones = np.ones((1, num_steps))
    motion = {
        "x": per_vehicle("x")[:, None] + vx * time,
        "y": per_vehicle("y")[:, None] + vy * time,
        "z": (per_vehicle("z") + 0.75)[:, None] * ones,
        "yaw": per_vehicle("yaw")[:, None] * ones,
        "vx": vx * ones,
        "vy": vy * ones,
    }
    return replace(
        rollout,
        **{name: values.astype(np.float32) for name, values in motion.items()},
        length=per_vehicle("length", 4.0),
        width=per_vehicle("width", 2.0),
    )


def with_event(rollout: Rollout, event: Event, agent: int, step: int) -> Rollout:
    """The same rollout with `event` holding for one agent at one step."""
    state = rollout.state.copy()
    state[agent, step] |= int(event)
    return replace(rollout, state=state)
