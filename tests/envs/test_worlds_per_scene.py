"""Blocks of worlds that share their scenes: R rollouts of one scene at a time."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.scene.make_scene import make_scene
from tests.world.micro import Box, micro_scene
from trafficgym.envs.reward_wrapper import RewardWrapper
from trafficgym.envs.vector import TrafficVectorEnv
from trafficgym.errors import ConfigError
from trafficgym.rewards import Goal, Term
from trafficgym.scene.store import SceneStore, SceneWriter
from trafficgym.world.world import WorldConfig

SCENES = [micro_scene(Box(speed=10.0 + i), Box(y=20.0), num_steps=21, id=f"s{i}") for i in range(20)]
EMPTY = micro_scene(Box(valid=[False] + [True] * 20), num_steps=21, id="nobody")
SHORT = WorldConfig(horizon=3)


def make(scenes: Any = SCENES, num_worlds: int = 6, **options: Any) -> TrafficVectorEnv:
    return TrafficVectorEnv(scenes, num_worlds=num_worlds, **{"worlds_per_scene": 3, "world": SHORT, **options})


def still(env: TrafficVectorEnv) -> np.ndarray:
    return np.zeros((env.num_worlds, env.num_agents, 2), np.float32)


def episodes(env: TrafficVectorEnv, num: int, seed: int | None = 0) -> list[list[str]]:
    """Scene ids of the first `num` episodes, of which each lasts 3 steps."""
    seen = [env.reset(seed=seed)[1]["scene_id"]]
    while len(seen) < num:
        *_, info = env.step(still(env))
        if info["reset"].any():
            seen.append(info["scene_id"])
    return seen


def test_a_block_shares_its_scenes_and_blocks_differ() -> None:
    seen = episodes(make(), 10)
    assert all(row[:3] == [row[0]] * 3 and row[3:] == [row[3]] * 3 for row in seen)
    assert any(row[0] != row[3] for row in seen)
    assert len({row[0] for row in seen}) > 3
    assert seen == episodes(make(), 10)
    assert seen != episodes(make(), 10, seed=1)


def test_blocks_take_turns_in_order() -> None:
    seen = episodes(make(SCENES[:5], scene_order="sequential"), 3)
    assert [(row[0], row[3]) for row in seen] == [("s0", "s1"), ("s2", "s3"), ("s4", "s0")]


def test_alone_a_world_is_a_block() -> None:
    assert episodes(make(worlds_per_scene=1), 4) == episodes(TrafficVectorEnv(SCENES, num_worlds=6, world=SHORT), 4)


def test_worlds_of_a_block_have_seeds_of_their_own() -> None:
    env = make([make_scene()], num_worlds=2, worlds_per_scene=2, control={"all": "random", 100: "external"})
    env.reset(seed=0)
    seen, *_ = env.step(still(env))
    one, two = np.asarray(seen)
    assert not np.array_equal(one, two)


def test_the_kth_episode_of_a_block_is_of_one_scene_whoever_gets_there_first() -> None:
    """In the crash scenes an agent that is pushed ends early; world 1 pushes harder and runs ahead of world 0."""
    crashes = [micro_scene(Box(speed=5.0), Box(x=6.0 + i), num_steps=61, id=f"c{i}") for i in range(9)]
    end = WorldConfig(on_infraction="terminate")
    env = make([*crashes, EMPTY], num_worlds=2, worlds_per_scene=2, world=end)
    played: list[list[str]] = [[name] for name in env.reset(seed=0)[1]["scene_id"]]
    push = still(env)
    push[1, 0, 0] = 1.0
    for _ in range(120):
        *_, info = env.step(push)
        for b in np.flatnonzero(info["reset"]):
            played[b].append(info["scene_id"][b])
    assert len(played[1]) > len(played[0]) + 2  # or the test tests nothing
    assert played[1][: len(played[0])] == played[0]
    _, info = env.reset()  # all start together again, where the furthest was
    assert info["scene_id"][0] == info["scene_id"][1]


def test_chosen_scenes() -> None:
    env = make()
    assert env.reset(options={"scene": "s4"})[1]["scene_id"] == ["s4"] * 6
    assert env.reset(options={"scene": ["s4", 7]})[1]["scene_id"] == ["s4"] * 3 + ["s7"] * 3
    assert env.reset(options={"scene": ["s1"] * 3 + [2] * 3})[1]["scene_id"] == ["s1"] * 3 + ["s2"] * 3
    with pytest.raises(ConfigError, match="scenes 's1' and 's2' for worlds 0 and 1, which are of one block"):
        env.reset(options={"scene": ["s1", "s2", "s1", "s3", "s3", "s3"]})
    with pytest.raises(
        ConfigError, match="4 scenes for 6 worlds in blocks of 3; give one, one per block, or one per world"
    ):
        env.reset(options={"scene": [0, 1, 2, 3]})


def test_worlds_share_the_scenes_of_a_store(tmp_path: Path) -> None:
    """What is derived from a scene is then made once for all of them."""
    with SceneWriter(tmp_path / "store") as writer:
        for i in range(3):
            writer.add(make_scene(f"scene-{i}"))
    env = make(SceneStore(tmp_path / "store"))
    for options in (None, {"scene": 1}, {"scene": "scene-2"}):
        env.reset(seed=0, options=options)
        world = env.world
        assert world is not None
        assert len({id(scene) for scene in world.scenes[:3]}) == 1


def test_a_copy_goes_on_alike() -> None:
    env = make()
    env.reset(seed=0)
    other = copy.deepcopy(env)
    for _ in range(9):
        np.testing.assert_equal(env.step(still(env)), other.step(still(other)))


def test_the_number_of_worlds_must_fit() -> None:
    with pytest.raises(ConfigError, match=r"num_worlds is 5 and worlds_per_scene 3; .* a multiple of it, such as 6"):
        make(num_worlds=5)
    for wrong in (0, None, 1.5):
        with pytest.raises(ConfigError, match="worlds_per_scene is"):
            make(worlds_per_scene=wrong)


# --- rewards that look back ------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Travelled(Term):
    """Distance of each agent from where its episode began, m."""

    @property
    def name(self) -> str:
        return "travelled"

    @property
    def needs_history(self) -> bool:
        return True

    def value(self, world: Any, events: Any) -> np.ndarray:
        start = world.history.motion[:, : world.num_agents, 0]
        return np.hypot(*(start[..., i] - world.state.table[:, : world.num_agents, i] for i in (0, 1)))


def test_an_environment_keeps_the_history_that_its_reward_needs() -> None:
    reward = 0.5 * Travelled() + Goal()
    assert reward.needs_history and not Goal().needs_history
    env = make(reward=reward)
    wrapped = RewardWrapper(make(), reward)
    for e in (env, wrapped):
        e.reset(seed=0)
    one, two = env.step(still(env)), wrapped.step(still(env))
    np.testing.assert_equal(one, two)
    assert one[1][:, 0] == pytest.approx([0.05 * env.world.scenes[b].tracks.vx[0, 0] for b in range(6)])  # type: ignore[union-attr]
    plain = make()
    plain.reset(seed=0)
    assert plain.world is not None and plain.world.history is None


def test_a_wrapper_that_comes_too_late_is_told_so() -> None:
    env = make()
    env.reset(seed=0)
    with pytest.raises(ConfigError, match="wrap it before its first reset"):
        RewardWrapper(env, Travelled())
    kept = make(world=WorldConfig(horizon=3, keep_history=True))
    kept.reset(seed=0)
    RewardWrapper(kept, Travelled()).step(still(kept))
