"""Same seed and actions, same bytes: alone or batched, in any facade, twice."""

from __future__ import annotations

import hashlib
import resource
from dataclasses import replace
from functools import cache
from typing import Any

import gymnasium
import numpy as np
import pytest

import trafficgym
from tests.scene.make_scene import make_scene
from tests.world.make_tokens import tiny_tokens
from tests.world.micro import Box, micro_scene
from trafficgym.envs.observations import ObservationConfig
from trafficgym.envs.single import SceneEnv
from trafficgym.envs.vector import TrafficVectorEnv
from trafficgym.scene.scene import AgentType, Scene
from trafficgym.world.dynamics import Dynamics
from trafficgym.world.world import World, WorldConfig
from trafficgym_scenarios import nominal_scenes

SMALL = ObservationConfig(agents=6, road_points=20, signals=1)


@cache
def nominal() -> list[Scene]:
    """With road users of all types, signals, and lanes that cross and merge."""
    return list(nominal_scenes(4, seed=3))


def mixed_scenes() -> list[Scene]:
    """From 1 to 23 slots, so that most worlds of a batch are padded, with and without a lane graph and signals."""
    rng = np.random.default_rng(0)
    heap = [Box(x=float(x), y=float(y), yaw=float(x) / 9, speed=5.0) for x, y in rng.uniform(-30, 30, (23, 2))]
    heap[5:9] = [replace(box, kind=AgentType.CYCLIST) for box in heap[5:9]]
    heap[9:12] = [replace(box, to_predict=True) for box in heap[9:12]]
    return [
        make_scene("three", num_agents=3),
        micro_scene(Box(speed=8.0), num_steps=60, id="one"),
        micro_scene(*heap, num_steps=60, id="heap"),
        make_scene("eight", num_agents=8),
        micro_scene(Box(speed=2.0), Box(y=5.0, kind=AgentType.PEDESTRIAN), num_steps=60, id="two"),
    ]


@pytest.mark.parametrize("dynamics", ["bicycle", "delta_pose", "verlet", "target_pose", tiny_tokens()])
def test_a_world_of_a_batch_is_the_same_scene_alone(dynamics: str | Dynamics) -> None:
    """Every kind of driver at once; the batch in two orders."""
    from trafficgym.envs.actions import ActionSpace, make_dynamics

    scenes, made = mixed_scenes(), make_dynamics(dynamics)
    space = ActionSpace(made)
    settings: dict[str, Any] = {
        "dynamics": made,
        "control": {"all": "external", "cyclist": "idm", "pedestrian": "constant_velocity", "to_predict": "random"},
        "config": WorldConfig(on_infraction="terminate", horizon=40),
    }
    sampler = space.batched(40, len(scenes), 23)
    sampler.seed(1)
    chosen = space.physical(np.asarray(sampler.sample()))
    if dynamics == "target_pose":
        chosen = chosen * 0.1

    def run(order: list[int]) -> list[list[bytes]]:
        world = World([scenes[i] for i in order], seeds=[10 + i for i in order], **settings)
        sizes = [int((world.track[b] >= 0).sum()) for b in range(len(order))]
        out: list[list[bytes]] = [[] for _ in order]
        for step in range(40 // made.steps_per_action):
            world.step(chosen[step, order, : world.num_agents])
            for b, n in enumerate(sizes):
                e = world.events
                parts = (world.state.table, e.state, e.onset, e.collision_with, e.at_fault, world.alive)
                out[b].append(b"".join(part[b, :n].tobytes() for part in parts))
                assert np.isfinite(world.state.table[b]).all()
        return out

    forward, backward = run([0, 1, 2, 3, 4]), run([4, 3, 2, 1, 0])
    for i in range(len(scenes)):
        alone = run([i])[0]
        assert forward[i] == alone
        assert backward[len(scenes) - 1 - i] == alone


def digest(*parts: Any) -> bytes:
    found = hashlib.sha256()
    for part in parts:
        found.update(np.ascontiguousarray(part).tobytes())
    return found.digest()


def test_single_vector_of_singles_and_vector_are_one() -> None:
    """`SceneEnv` with seed s + b, world b of `make_vec` and world b of the vector, through crashes and restarts."""
    options: dict[str, Any] = {
        "scenes": nominal(),
        "observation": SMALL,
        "world": WorldConfig(on_infraction="terminate", on_goal="terminate", horizon=25),
    }
    control = {"all": "idm", "ego": "external"}
    vector = TrafficVectorEnv(num_worlds=3, control=control, num_agents=1, **options)
    envs = gymnasium.make_vec("trafficgym/Scene-v0", num_envs=3, background="idm", **options)
    singles = [SceneEnv(background="idm", **options) for _ in range(3)]
    rng = np.random.default_rng(2)
    first, _ = vector.reset(seed=40)
    assert (
        digest(first)
        == digest(envs.reset(seed=40)[0])
        == digest([s.reset(seed=40 + b)[0] for b, s in enumerate(singles)])
    )
    over, ends = [False] * 3, 0
    for _ in range(80):
        action = rng.uniform(-1, 1, (3, 2)).astype(np.float32)
        one, two = vector.step(action[:, None]), envs.step(action)
        for k in range(4):
            assert np.array_equal(one[k][:, 0], two[k])
        for b, env in enumerate(singles):
            if over[b]:
                assert np.array_equal(env.reset()[0], two[0][b])
                assert two[1][b] == 0
                over[b] = False
                continue
            result = env.step(action[b])
            assert np.array_equal(result[0], two[0][b])
            assert result[1:4] == (two[1][b], two[2][b], two[3][b])
            over[b] = result[2] or result[3]
            ends += over[b]
    assert ends > 6


def test_parallel_and_vector_are_one() -> None:
    options: dict[str, Any] = {"observation": SMALL, "world": WorldConfig(on_infraction="terminate", horizon=20)}
    parallel = trafficgym.parallel_env(nominal(), **options)
    vector = TrafficVectorEnv(nominal(), autoreset=False, **options)
    rng = np.random.default_rng(5)
    for episode in range(4):
        seed = 11 if episode == 0 else None
        observations, _ = parallel.reset(seed=seed)
        whole, _ = vector.reset(seed=seed)
        while parallel.agents:
            slots = [parallel.slots[name] for name in parallel.agents]
            assert digest(*observations.values()) == digest(whole[0, slots])
            action = rng.uniform(-1, 1, (1, vector.num_agents, 2)).astype(np.float32)
            results = parallel.step({name: action[0, i] for name, i in zip(parallel.agents, slots, strict=True)})
            whole, *others, _ = vector.step(action)
            for mine, theirs in zip(results[1:4], others, strict=True):
                assert list(mine.values()) == theirs[0, slots].tolist()
            assert np.array_equal(parallel.state(), vector.state()[0])
            observations = {name: results[0][name] for name in parallel.agents}
            whole = np.where(vector._alive()[..., None], whole, 0)


def episodes(num: int, seed: int) -> bytes:
    """The hash of `num` random episodes, 64 at a time; nobody who is dead comes back, and nothing is NaN."""
    env = TrafficVectorEnv(
        nominal(),
        num_worlds=64,
        num_agents=8,
        control={"all": "idm", "vehicle": "external"},
        observation=SMALL,
        world=WorldConfig(on_infraction="terminate", on_goal="terminate", horizon=12),
    )
    rng, found, done = np.random.default_rng(seed), hashlib.sha256(), 0
    _, info = env.reset(seed=seed)
    alive = info["alive"]
    while done < num:
        action = rng.uniform(-1, 1, (64, 8, 2)).astype(np.float32)
        observation, reward, terminated, truncated, info = env.step(action)
        assert np.isfinite(observation).all()
        assert np.isfinite(reward).all()
        revived = info["alive"] & ~alive
        assert not revived[~info["reset"]].any()
        assert np.array_equal(alive & ~info["reset"][:, None] & ~info["alive"], terminated | truncated)
        alive = info["alive"]
        done += int(env.is_over.sum())
        for part in (observation, reward, terminated, truncated, alive):
            found.update(part.tobytes())
    return found.digest()


def test_a_thousand_random_episodes_twice() -> None:
    """No NaN, no revival, no leak (a leak of one observation a step would be 60 MB), the same hash."""
    episodes(64, seed=1)  # kernels, caches
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert episodes(1000, seed=1) == episodes(1000, seed=1)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000  # kB


def test_random_episodes_of_the_other_facades_twice() -> None:
    def single() -> bytes:
        env, rng, parts = (
            SceneEnv(nominal(), observation=SMALL, world=WorldConfig(horizon=6)),
            np.random.default_rng(0),
            [],
        )
        for episode in range(25):
            observation, _ = env.reset(seed=9 if episode == 0 else None)
            over = False
            while not over:
                observation, reward, terminated, truncated, _ = env.step(rng.uniform(-1, 1, 2).astype(np.float32))
                parts += [observation, np.float64(reward)]
                over = terminated or truncated
        return digest(*parts)

    def parallel() -> bytes:
        env = trafficgym.parallel_env(nominal(), observation=SMALL, world=WorldConfig(horizon=6), dynamics="verlet")
        parts: list[Any] = []
        for episode in range(25):
            env.reset(seed=9 if episode == 0 else None)
            for space in env.action_spaces.values():
                space.seed(episode)
            while env.agents:
                acting = set(env.agents)
                observations, rewards, *_ = env.step({a: env.action_space(a).sample() for a in env.agents})
                assert set(env.agents) <= acting
                parts += [*observations.values(), *map(np.float64, rewards.values())]
        return digest(*parts)

    assert single() == single()
    assert parallel() == parallel()
