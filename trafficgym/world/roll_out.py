"""Run a policy in closed loop and record what happened."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from trafficgym.errors import ConfigError, nearest_key
from trafficgym.scene.scene import Scene
from trafficgym.world.controllers import Policy, select
from trafficgym.world.dynamics import Dynamics
from trafficgym.world.events import Event
from trafficgym.world.rollout import Rollout
from trafficgym.world.state import VX, VY, YAW, X, Y, Z
from trafficgym.world.world import World, WorldConfig

POLICIES = ("log", "idm", "constant_velocity", "random")
"""Policies that need nothing but their name."""


def roll_out(
    scene: Scene,
    policy: str | Policy,
    *,
    seed: int = 0,
    control: str | int = "all",
    dynamics: Dynamics | None = None,
    config: WorldConfig | None = None,
) -> Rollout:
    """Drive one scene from its start to its horizon.

    Args:
        scene: The scene.
        policy: One of `POLICIES`, or a `Policy` object.
        seed: Seed of the world's generator.
        control: Selector of the tracks that the policy drives (see `controllers.assign_drivers`); the others
            follow their logs.
        dynamics: How a `Policy` or ``"random"`` moves; default `Bicycle`.
        config: How the world behaves; by default infractions have no effect.

    Returns:
        The recorded run, events of all tracks included.

    Raises:
        ConfigError: no policy or selector of that name.
    """
    if isinstance(policy, str) and policy not in POLICIES:
        raise ConfigError(f"no policy is called {policy!r}; {nearest_key(policy, POLICIES)}")
    config = replace(config or WorldConfig(), watch_log=True)
    world = World([scene], control={control: policy}, dynamics=dynamics, config=config, seeds=[seed])
    start, stride = int(world.step_index[0]), world.dynamics.steps_per_action
    decisions = int(world.end_step[0] - start) // stride
    recorder = _Recorder(world, decisions * stride + 1)
    recorder.record(world, 0)
    for _ in range(decisions):
        world.step(after_each=lambda _: recorder.record(world, int(world.step_index[0]) - start))
    chosen = select(scene, control, start) & scene.tracks.valid[:, start]
    return recorder.rollout(world, policy if isinstance(policy, str) else policy.name, seed, start, chosen)


class _Recorder:
    """Arrays ``[A, T]`` in the scene's order, filled step by step from world 0."""

    def __init__(self, world: World, num_steps: int) -> None:
        shape = (world.scenes[0].num_agents, num_steps)
        self.track = world.track[0, world.track[0] >= 0]
        self.motion = np.zeros((6, *shape), np.float32)
        self.present, self.at_fault = np.zeros(shape, bool), np.zeros(shape, bool)
        self.state, self.onset = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
        self.collision_with = np.full(shape, -1, np.int32)
        self.gathered = np.zeros(len(self.track), np.uint8)

    def record(self, world: World, k: int) -> None:
        num, track, events = len(self.track), self.track, world.events
        # `events` gathers all of a decision; what holds now is what is still held, or has just been added.
        first = (k - 1) % world.dynamics.steps_per_action == 0 or k == 0
        gathered = events.state[0, :num].copy()
        state = gathered if first else world.watch.held[0, :num] | (gathered & ~self.gathered)
        self.gathered = gathered
        self.motion[:, track, k] = world.state.table[0, :num, (X, Y, Z, YAW, VX, VY)]
        self.present[track, k] = world.state.present[0, :num]
        self.state[track, k] = state
        self.onset[track, k] = events.onset[0, :num] if first else state & ~self.state[track, k - 1]
        collides = (state & Event.COLLISION) != 0
        self.at_fault[track, k] = events.at_fault[0, :num] & collides
        other = events.collision_with[0, :num]
        self.collision_with[track, k] = np.where(collides, world.track[0, other], -1)

    def rollout(self, world: World, policy: str, seed: int, start: int, chosen: np.ndarray) -> Rollout:
        num, scene = len(self.track), world.scenes[0]
        sizes = np.zeros((3, scene.num_agents), np.float32)
        sizes[:, self.track] = world.state.length[0, :num], world.state.width[0, :num], world.state.height[0, :num]
        controller = np.full(scene.num_agents, -1, np.int8)
        controller[self.track] = world.controller[0, :num]
        x, y, z, yaw, vx, vy = self.motion
        return Rollout(
            scene=scene,
            policy=policy,
            seed=seed,
            start_step=start,
            controller=controller,
            is_simulated=chosen,
            x=x,
            y=y,
            z=z,
            yaw=yaw,
            vx=vx,
            vy=vy,
            length=sizes[0],
            width=sizes[1],
            height=sizes[2],
            present=self.present,
            state=self.state,
            onset=self.onset,
            collision_with=self.collision_with,
            at_fault=self.at_fault,
        )
