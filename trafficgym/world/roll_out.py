"""Run a policy in closed loop and record what happened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from trafficgym.errors import ConfigError, nearest_key
from trafficgym.scene.scene import Scene
from trafficgym.world.controllers import Policy, select
from trafficgym.world.dynamics import Dynamics
from trafficgym.world.events import Event
from trafficgym.world.named_policies import is_installed, named_policy, policy_names
from trafficgym.world.rollout import Rollout
from trafficgym.world.state import PRESENT, VX, VY, YAW, X, Y, Z
from trafficgym.world.world import World, WorldConfig

POLICIES = ("log", "idm", "constant_velocity", "random")
"""Policies that need nothing but their name."""


def check_policy(policy: str) -> None:
    """Raise ConfigError unless `policy` is one of `POLICIES`, or the name of one of an installed package."""
    if policy not in POLICIES and not is_installed(policy):
        known = (*POLICIES, *policy_names())
        raise ConfigError(f"no policy is called {policy!r}; {nearest_key(policy.partition(':')[0], known)}")


def is_random(policy: str | Policy) -> bool:
    """Whether other seeds give other rollouts."""
    if isinstance(policy, str):
        return policy == "random" if policy in POLICIES else is_random(named_policy(policy))
    return bool(getattr(policy, "is_random", False))


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
        policy: One of `POLICIES`, the name of one of an installed package (`trafficgym.world.named_policies`), or a
            `Policy` object.
        seed: Seed of the world's generator.
        control: Selector of the tracks that the policy drives (see `controllers.assign_drivers`); the others
            follow their logs.
        dynamics: How ``"random"`` moves, or a `Policy` without dynamics of its own; default `Bicycle`.
        config: How the world behaves; by default infractions have no effect.

    Returns:
        The recorded run, events of all tracks included.

    Raises:
        ConfigError: no policy or selector of that name.
    """
    return roll_out_batch(scene, policy, [seed], control=control, dynamics=dynamics, config=config)[0]


def roll_out_batch(
    scene: Scene,
    policy: str | Policy,
    seeds: Sequence[int],
    *,
    control: str | int = "all",
    dynamics: Dynamics | None = None,
    config: WorldConfig | None = None,
) -> list[Rollout]:
    """Drive one scene as `roll_out` does, once with each seed, in copies that are stepped together.

    A policy is asked for all of them at once, which for networks is much faster than one by one.
    """
    if isinstance(policy, str):
        check_policy(policy)
    config = replace(config or WorldConfig(), watch_log=True)
    world = World([scene] * len(seeds), control={control: policy}, dynamics=dynamics, config=config, seeds=seeds)
    start, stride = int(world.step_index[0]), world.dynamics.steps_per_action
    decisions = int(world.end_step[0] - start) // stride
    recorders = [_Recorder(world, b, decisions * stride + 1) for b in range(len(seeds))]

    def record(_: int = 0) -> None:
        for recorder in recorders:
            recorder.record(world, int(world.step_index[0]) - start)

    record()
    for _ in range(decisions):
        world.step(after_each=record)
    chosen = select(scene, control, start) & scene.tracks.valid[:, start]
    name = policy if isinstance(policy, str) else policy.name
    return [one.rollout(world, name, seed, start, chosen) for one, seed in zip(recorders, seeds, strict=True)]


class _Recorder:
    """Arrays ``[A, T]`` in the scene's order, filled step by step from world `b`."""

    def __init__(self, world: World, b: int, num_steps: int) -> None:
        shape = (world.scenes[b].num_agents, num_steps)
        self.b, self.track = b, world.track[b, world.track[b] >= 0]
        self.motion = np.zeros((6, *shape), np.float32)
        self.present, self.at_fault = np.zeros(shape, bool), np.zeros(shape, bool)
        self.state, self.onset = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
        self.collision_with = np.full(shape, -1, np.int32)
        self.gathered = np.zeros(len(self.track), np.uint8)

    def record(self, world: World, k: int) -> None:
        b, num, track, events = self.b, len(self.track), self.track, world.events
        # `events` gathers all of a decision; what holds now is what is still held, or has just been added.
        first = (k - 1) % world.dynamics.steps_per_action == 0 or k == 0
        gathered = events.state[b, :num].copy()
        state = gathered if first else world.watch.held[b, :num] | (gathered & ~self.gathered)
        self.gathered = gathered
        self.motion[:, track, k] = world.state.table[b, :num, (X, Y, Z, YAW, VX, VY)]
        self.present[track, k] = world.state.table[b, :num, PRESENT] != 0
        self.state[track, k] = state
        self.onset[track, k] = events.onset[b, :num] if first else state & ~self.state[track, k - 1]
        collides = (state & Event.COLLISION) != 0
        self.at_fault[track, k] = events.at_fault[b, :num] & collides
        other = events.collision_with[b, :num]
        self.collision_with[track, k] = np.where(collides, world.track[b, other], -1)

    def rollout(self, world: World, policy: str, seed: int, start: int, chosen: np.ndarray) -> Rollout:
        b, num, scene = self.b, len(self.track), world.scenes[self.b]
        sizes = np.zeros((3, scene.num_agents), np.float32)
        sizes[:, self.track] = world.state.length[b, :num], world.state.width[b, :num], world.state.height[b, :num]
        controller = np.full(scene.num_agents, -1, np.int8)
        controller[self.track] = world.controller[b, :num]
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
