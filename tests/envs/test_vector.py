"""Arrays of worlds and agents: autoreset, masks, padding."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

from tests.scene.make_scene import make_scene
from tests.world.micro import Box, micro_scene
from trafficgym.envs.observations import ObservationConfig
from trafficgym.envs.vector import TrafficVectorEnv
from trafficgym.errors import ActionError, ConfigError, SceneError
from trafficgym.scene.scene import Scene
from trafficgym.world.world import WorldConfig

CRASH = micro_scene(Box(speed=10.0), Box(x=6.0), num_steps=21, id="crash")
"""Both end in the third step."""
LONG = micro_scene(Box(speed=10.0), Box(y=20.0, speed=10.0), Box(y=40.0), num_steps=21, id="long")
"""Three agents; nothing happens."""


def actions(env: TrafficVectorEnv, value: float = 0.0) -> np.ndarray:
    return np.full((env.num_worlds, env.num_agents, 2), value, np.float32)


def test_a_world_starts_anew_in_the_step_after_its_episode() -> None:
    """World 0 (CRASH) ends at step 3, resets in step 4; world 1 (LONG) has a horizon of 5, resets in step 6."""
    env = TrafficVectorEnv(
        [CRASH, LONG],
        num_worlds=2,
        scene_order="sequential",
        world=WorldConfig(on_infraction="terminate", horizon=5),
    )
    _, info = env.reset(seed=0)
    assert info["alive"].tolist() == [[True, True, False], [True, True, True]]
    assert info["track_id"].tolist() == [[0, 1, -1], [0, 1, 2]]
    log = []
    for _ in range(7):
        observation, reward, terminated, truncated, info = env.step(actions(env))
        log.append((terminated.any(1).tolist(), truncated.any(1).tolist(), info["reset"].tolist()))
        assert not reward[info["reset"]].any()
        assert np.array_equal(observation.any(-1), info["alive"] | truncated)
        assert not (terminated & truncated).any()
        assert env.is_over.tolist() == (~info["alive"].any(1)).tolist()
    no, yes = [False, False], [True, False]
    assert log == [
        (no, no, no),
        (no, no, no),
        (yes, no, no),
        (no, no, yes),
        (no, [False, True], no),
        (no, no, [False, True]),
        (yes, no, no),
    ]


def test_after_a_restart_it_is_as_after_a_reset() -> None:
    env, fresh = (TrafficVectorEnv(CRASH, world=WorldConfig(on_infraction="terminate", horizon=9)) for _ in range(2))
    env.reset(seed=0)
    anew = False
    while not anew:
        seen, *_, info = env.step(actions(env, 0.3))
        anew = bool(info["reset"][0])
    first, _ = fresh.reset(seed=0)
    assert np.array_equal(seen, first)
    for _ in range(3):
        assert np.array_equal(env.step(actions(env))[0], fresh.step(actions(fresh))[0])


def test_without_autoreset_a_world_that_is_over_rests() -> None:
    env = TrafficVectorEnv(
        [CRASH, LONG],
        num_worlds=2,
        scene_order="sequential",
        autoreset=False,
        world=WorldConfig(on_infraction="terminate", horizon=6),
    )
    env.reset(seed=0)
    for step in range(1, 9):
        _, reward, terminated, truncated, info = env.step(actions(env))
        assert terminated[0].any() == (step == 3)
        assert truncated[1].all() == (step == 6)
        if step > 6:
            assert not (reward.any() or terminated.any() or truncated.any() or info["alive"].any())
    world = env.world
    assert world is not None
    assert world.step_index.tolist() == [3, 6]
    env.reset()
    assert not env.is_over.any()


def test_what_it_returned_stays_as_it_was() -> None:
    """Without `copy=False` nothing that a learner keeps is written over by later steps."""
    env = TrafficVectorEnv([CRASH, LONG], num_worlds=3, world=WorldConfig(on_infraction="terminate", horizon=5))
    rng = np.random.default_rng(0)
    kept = [env.reset(seed=1)]
    for _ in range(12):
        kept.append(env.step(rng.uniform(-1, 1, actions(env).shape)))
        if len(kept) == 2:
            before = copy.deepcopy(kept)
    before += copy.deepcopy(kept[2:])
    for _ in range(12):
        env.step(rng.uniform(-1, 1, actions(env).shape))
    np.testing.assert_equal(kept, before)
    fast = TrafficVectorEnv(LONG, copy=False)
    assert fast.reset(seed=0)[0] is fast.step(actions(fast))[0]


def test_a_dict_holds_the_same_numbers_as_the_flat_observation() -> None:
    flat, parts = (TrafficVectorEnv(LONG, num_worlds=2, observation_format=f) for f in ("flat", "dict"))
    blocks = ObservationConfig().split(flat.reset(seed=0)[0])
    found, _ = parts.reset(seed=0)
    assert flat.observation_space.contains(flat.step(actions(flat))[0])
    assert parts.observation_space.contains(found)
    np.testing.assert_equal(found, blocks)


def test_num_agents_pads_and_cuts() -> None:
    wide, narrow = TrafficVectorEnv(LONG, num_agents=5), TrafficVectorEnv(LONG, num_agents=2)
    _, info = wide.reset(seed=0)
    assert info["alive"].tolist() == [[True] * 3 + [False] * 2]
    out = wide.step(actions(wide))
    assert out[0].shape[:2] == out[1].shape == out[2].shape == (1, 5)
    assert all(v.shape == (1, 5) for v in out[4]["reward_terms"].values())
    _, info = narrow.reset(seed=0)
    assert info["alive"].shape == (1, 2)
    assert narrow.step(actions(narrow))[1].shape == (1, 2)


def test_padding_grows_while_worlds_are_running() -> None:
    """The largest scene comes last, in the middle of the others' episodes."""
    small = micro_scene(Box(speed=5.0), num_steps=9, id="small")
    env = TrafficVectorEnv([small, small, LONG], num_worlds=2, scene_order="sequential")
    env.reset(seed=0)
    shapes = {env.step(actions(env, 0.1))[0].shape for _ in range(30)}
    assert shapes == {(2, 3, ObservationConfig().size)}


def test_seeds() -> None:
    env = TrafficVectorEnv([LONG], num_worlds=2, control={"all": "random", 0: "external"})
    first = env.reset(seed=4)[0], env.step(actions(env))[0]
    second = env.reset(seed=[4, 5])[0], env.step(actions(env))[0]
    assert np.array_equal(first, second)
    assert not np.array_equal(first[1][0], first[1][1])
    with pytest.raises(ConfigError, match="3 seeds for 2 worlds"):
        env.reset(seed=[1, 2, 3])


def test_the_actions_of_a_world_that_starts_anew_may_be_anything() -> None:
    env = TrafficVectorEnv(CRASH, num_worlds=1)
    env.reset(seed=0)
    for _ in range(3):
        env.step(actions(env))
    info = env.step(actions(env, np.nan))[4]
    assert info["reset"].all()
    with pytest.raises(ActionError, match="not finite"):
        env.step(actions(env, np.nan))


def test_each_world_may_be_given_its_scene() -> None:
    env = TrafficVectorEnv([CRASH, LONG], num_worlds=2)
    assert env.reset(options={"scene": ["long", 0]})[1]["scene_id"] == ["long", "crash"]
    with pytest.raises(ConfigError, match="1 scenes for 2 worlds; give one, or one per world"):
        env.reset(options={"scene": ["long"]})


def test_errors() -> None:
    env = TrafficVectorEnv(LONG)
    for call in (lambda: env.step(actions(env)), env.state):
        with pytest.raises(ActionError, match="call reset"):
            call()
    env.reset(seed=0)
    with pytest.raises(ActionError, match=r"\(worlds, agents, numbers\) = \(1, 3, 2\), got \(1, 2, 2\)"):
        env.step(np.zeros((1, 2, 2)))
    with pytest.raises(ConfigError, match="num_worlds is 0"):
        TrafficVectorEnv(LONG, num_worlds=0)
    with pytest.raises(ConfigError, match="300 scenes are too many to count their agents; say num_agents=32"):
        TrafficVectorEnv([LONG] * 300)
    mixed = TrafficVectorEnv([CRASH, LONG], control={2: "external"}, num_agents=1)
    with pytest.raises(ConfigError, match="scene 'crash' has no track 2"):
        mixed.reset(options={"scene": "crash"})
    empty = TrafficVectorEnv([CRASH, LONG], control={"pedestrian": "external"}, num_agents=1)
    with pytest.raises(SceneError, match="choose other tracks, or leave the scene out"):
        empty.reset(seed=0)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))])
def test_a_copy_in_the_middle_of_an_episode_goes_on_alike(duplicate: Any) -> None:
    scenes: list[Scene] = [make_scene(num_agents=n) for n in (2, 4)]
    env = TrafficVectorEnv(scenes, num_worlds=2, control={"all": "idm", "sdc": "external"})
    env.reset(seed=0)
    env.step(actions(env))
    other = duplicate(env)
    for _ in range(90):
        one, two = env.step(actions(env, 0.1)), other.step(actions(other, 0.1))
        np.testing.assert_equal(one, two)
