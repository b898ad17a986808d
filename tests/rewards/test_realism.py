"""Realism as a reward: its formula, its signs, its groups, and what it refuses."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from numpy.typing import NDArray

import trafficgym
from trafficgym.envs.reward_wrapper import RewardWrapper
from trafficgym.envs.vector import TrafficVectorEnv
from trafficgym.errors import ConfigError
from trafficgym.metrics.wosac import Realism, fill_gaps
from trafficgym.rewards import Goal, RealismReward, rollout_rewards
from trafficgym.rewards.shelf import Shelf
from trafficgym.scene.scene import Scene
from trafficgym.scene.sources import open_scenes
from trafficgym.world.dynamics import Bicycle, TargetPose
from trafficgym.world.world import World, WorldConfig
from trafficgym_scenarios import NominalConfig, nominal_scenes
from trafficgym_scenarios.roads import Interval

KEEP = WorldConfig(keep_history=True)
KINDS = ("mloo", "rloo")
CREDITS = ("scene", "agent")


@pytest.fixture(scope="module")
def highway() -> list[Scene]:
    return list(nominal_scenes(3, config=NominalConfig(roads="highway", num_agents=Interval(6, 8))))


@pytest.fixture(scope="module")
def real(data_root: Path) -> list[Scene]:
    """Two small recordings, in which some objects vanish before the end."""
    shard = open_scenes(data_root / "data/womd_converted/womd_converted_dev.tfrecord-00000-of-00002")
    return [shard[7], shard[1]]


def replayed(scene: Scene, realism: Realism) -> NDArray[np.float64]:
    """The log of the simulated objects, going on where it has gaps, ``[N, 80, 4]``."""
    tracks, rows = scene.tracks, realism.tracks
    columns = [getattr(tracks, name)[rows, 10:91] for name in ("x", "y", "z", "yaw", "vx", "vy")]
    return fill_gaps(np.stack(columns, axis=-1), tracks.valid[rows, 10:91])[:, 1:]


def perturbed(scene: Scene, realism: Realism, num: int, seed: int = 0) -> NDArray[np.float64]:
    """The log at wrong speeds and a bit beside the road, drawn independently, ``[R, N, 80, 4]``."""
    rng, log = np.random.default_rng(seed), replayed(scene, realism)
    rollouts = np.repeat(log[None], num, axis=0)
    start = rollouts[:, :, :1, :2]
    speed = rng.normal(1.0, 0.2, (num, log.shape[0], 1, 1))
    drift = rng.normal(0.0, 0.2, (num, log.shape[0], 1, 2)) * np.linspace(0, 1, 80)[:, None]
    rollouts[..., :2] = start + (rollouts[..., :2] - start) * speed + drift
    return rollouts


def episode(world: World, b: int) -> NDArray[np.float64]:
    """What world b went through, row by row for all tracks of its scene, ``[A, 80, 4]``; 0 for who comes later."""
    history, scene = world.history, world.scenes[b]
    assert history is not None
    rows = np.zeros((scene.num_agents, 80, 4))
    for n, track in enumerate(world.track[b]):
        if track >= 0 and history.present[b, n, 0]:
            rows[track] = fill_gaps(history.motion[b, n, :81], history.present[b, n, :81])[1:]
    return rows


def finish(env: TrafficVectorEnv, seed: int = 0) -> NDArray[np.float32]:
    """Drive at random to the last decision of the episode; its reward. All others gave nothing."""
    rng = np.random.default_rng(seed)
    while True:
        _, reward, _, truncated, _ = env.step(rng.uniform(-1, 1, (env.num_worlds, env.num_agents, 2)))
        if truncated.any():
            return reward
        assert not reward.any()


# --- the formula, on real scenes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("credit", CREDITS)
@pytest.mark.parametrize("kind", KINDS)
def test_rewards_of_a_group_sum_to_zero(real: list[Scene], kind: Any, credit: Any) -> None:
    for scene in real:
        realism = Realism(scene)
        rollouts = perturbed(scene, realism, 5)
        rewards = rollout_rewards(realism, rollouts, ids=realism.ids, kind=kind, credit=credit)
        assert rewards.shape == ((5, len(realism.evaluated)) if credit == "agent" else (5,))
        assert rewards.sum(0) == pytest.approx(0, abs=1e-12)
        assert (rewards != 0).any()
        assert not rollout_rewards(realism, rollouts[:1], ids=realism.ids, kind=kind, credit=credit).any()


def test_mloo_and_rloo_are_differences_of_the_score(real: list[Scene]) -> None:
    scene = real[0]
    realism = Realism(scene)
    rollouts = perturbed(scene, realism, 4)

    def score(chosen: list[int]) -> float:
        return realism.score(rollouts[chosen], realism.ids).metametric

    everybody = range(4)
    without = [score([j for j in everybody if j != i]) for i in everybody]
    alone = [score([i]) for i in everybody]
    mloo = [sum(without) / 4 - without[i] for i in everybody]
    rloo = [alone[i] - sum(alone[j] for j in everybody if j != i) / 3 for i in everybody]
    assert rollout_rewards(realism, rollouts, ids=realism.ids) == pytest.approx(mloo, abs=1e-9)
    assert rollout_rewards(realism, rollouts, ids=realism.ids, kind="rloo") == pytest.approx(rloo, abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_the_log_among_bad_rollouts_is_rewarded(real: list[Scene], kind: Any) -> None:
    """World 0 replays the log pose by pose; in the others everybody goes wrong."""
    for scene in real:
        realism = Realism(scene)
        targets = perturbed(scene, realism, 4)
        targets[0] = replayed(scene, realism)
        reward = RealismReward(kind=kind)
        world = World([scene] * 4, dynamics=TargetPose(), config=KEEP)
        slots = [np.flatnonzero(world.track[0] == track)[0] for track in realism.tracks]
        poses = np.zeros((4, world.num_agents, 80, 3))
        poses[:, slots] = targets[..., (0, 1, 3)]
        for k in range(80):
            events = world.step(poses[:, :, k])
        given = reward(world, events)
        assert (given[0, world.agents[0]] > 0).all()
        assert given.sum(0) == pytest.approx(0, abs=1e-6)
        assert np.ptp(given[:, world.agents[0]], axis=1) == pytest.approx(0)


@pytest.mark.parametrize(("kind", "lowest", "highest"), [("mloo", -2.5, -1.5), ("rloo", -0.5, 0.5)])
def test_variance_falls_with_the_square_of_the_number_for_mloo_only(
    real: list[Scene], kind: Any, lowest: float, highest: float
) -> None:
    """RLFTSim, proposition 3: the variance of R_i over rollouts, as a power of their number N.

    It holds for large N. With 3 rollouts left, one collision weighs so much that from 4 to 8 the variance falls faster.
    """
    numbers, num_total = np.array([8, 16, 32, 64]), 128
    for scene in real:
        realism = Realism(scene)
        rollouts = perturbed(scene, realism, num_total)
        groups = [np.split(rollouts, num_total // num) for num in numbers]
        variance = [
            np.var([rollout_rewards(realism, part, ids=realism.ids, kind=kind) for part in parts]) for parts in groups
        ]
        slope = np.polyfit(np.log(numbers), np.log(variance), 1)[0]
        assert lowest < slope < highest


# --- the environments -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "credit"), [("mloo", "scene"), ("rloo", "scene"), ("mloo", "agent")])
def test_blocks_of_the_vector_environment_are_groups(real: list[Scene], kind: Any, credit: Any) -> None:
    reward = RealismReward(kind=kind, credit=credit)
    env = TrafficVectorEnv(
        real, num_worlds=6, worlds_per_scene=3, scene_order="sequential", world=WorldConfig(), reward=reward
    )
    env.reset(seed=0)
    given, world = finish(env), env.world
    assert world is not None
    for b in (0, 3):
        scene = world.scenes[b]
        realism = Realism(scene)
        rollouts = np.stack([episode(world, b + i) for i in range(3)])
        wanted = rollout_rewards(realism, rollouts, kind=kind, credit=credit)
        agents, tracks = world.agents[b], world.track[b]
        if credit == "scene":
            expected = np.where(agents, wanted[:, None], 0)
        else:
            expected = np.zeros((3, env.num_agents))
            for e, track in enumerate(realism.evaluated_tracks):
                expected[:, np.flatnonzero(tracks == track)[0]] = wanted[:, e]
        assert given[b : b + 3] == pytest.approx(expected, abs=1e-7)
        assert given[b : b + 3].any()


def test_a_second_episode_is_scored_like_the_first(highway: list[Scene]) -> None:
    """After autoreset, with scenes drawn at random; and weighed and added to another reward."""
    reward = 10.0 * RealismReward() + Goal(criterion="hard")
    env = TrafficVectorEnv(highway, num_worlds=4, worlds_per_scene=4, world=WorldConfig(), reward=reward)
    env.reset(seed=0)
    for seed in range(3):
        finish_with_goal(env, seed)
        *_, info = env.step(np.zeros((4, env.num_agents, 2)))
        assert info["reset"].all()


def finish_with_goal(env: TrafficVectorEnv, seed: int) -> None:
    rng, truncated = np.random.default_rng(seed), np.array(False)
    while not truncated.any():
        _, reward, _, truncated, info = env.step(rng.uniform(-1, 1, (env.num_worlds, env.num_agents, 2)))
        terms, world = info["reward_terms"], env.world
    assert world is not None
    rollouts = np.stack([episode(world, b) for b in range(4)])
    wanted = 10 * rollout_rewards(Realism(world.scenes[0]), rollouts)
    agents = np.zeros((4, env.num_agents), bool)  # more than this scene has, where another has more
    agents[:, : world.num_agents] = world.agents
    assert terms["realism_mloo"] == pytest.approx(np.where(agents, wanted[:, None], 0), abs=1e-6)
    assert reward == pytest.approx(terms["realism_mloo"] + terms["goal_hard"], abs=1e-6)


def test_a_wrapper_gives_what_the_option_gives(highway: list[Scene]) -> None:
    options: dict[str, Any] = {"num_worlds": 2, "worlds_per_scene": 2, "world": WorldConfig()}
    own = TrafficVectorEnv(highway, reward=RealismReward(), **options)
    wrapped = RewardWrapper(TrafficVectorEnv(highway, **options), RealismReward())
    for env in (own, wrapped):
        env.reset(seed=0)
    one, two = finish(own), finish(wrapped)
    assert one.any()
    assert np.array_equal(one, two)


@pytest.mark.parametrize("wrapped", [False, True])
def test_the_parallel_environment_compares_an_episode_with_those_before_it(highway: list[Scene], wrapped: bool) -> None:
    reward, world = RealismReward(memory=3), WorldConfig()
    env: Any = (
        RewardWrapper(trafficgym.parallel_env(highway[:2], world=world), reward)
        if wrapped
        else trafficgym.parallel_env(highway[:2], world=world, reward=reward)
    )
    seen: dict[str, list[NDArray[np.float64]]] = {"0": [], "1": []}
    rng = np.random.default_rng(0)
    for which in (0, 0, 1, 0, 0, 1):
        env.reset(seed=0, options={"scene": which})  # an episode that is broken off is not remembered
        env.step({name: np.zeros(2, np.float32) for name in env.agents})
        env.reset(seed=0, options={"scene": which})
        agents = list(env.agents)
        while env.agents:
            actions = {name: rng.uniform(-1, 1, 2).astype(np.float32) for name in env.agents}
            _, rewards, *_ = env.step(actions)
        seen[str(which)].append(episode(env.unwrapped.vector.world, 0))
        last = np.stack(seen[str(which)][-3:])
        wanted = rollout_rewards(Realism(highway[which]), last)[-1]
        assert list(rewards) == agents
        assert list(rewards.values()) == pytest.approx([wanted] * len(agents), abs=1e-7)
        assert (wanted == 0) == (len(last) == 1)


def test_the_single_agent_environment_scores_its_ego_amid_the_log(real: list[Scene]) -> None:
    env = gymnasium.make("trafficgym/Scene-v0", scenes=real[:1], world=WorldConfig(), reward=RealismReward())
    rng, seen = np.random.default_rng(0), []
    for _ in range(2):
        env.reset(seed=0)
        truncated = False
        while not truncated:
            _, reward, _, truncated, _ = env.step(rng.uniform(-1, 1, 2).astype(np.float32))
        seen.append(episode(env.unwrapped.vector.world, 0))  # type: ignore[attr-defined]
    wanted = rollout_rewards(Realism(real[0]), np.stack(seen))[-1]
    assert reward == pytest.approx(wanted, abs=1e-7)
    assert wanted != 0


@pytest.mark.parametrize("steps_per_action", [3, 5])
def test_decisions_of_several_steps_are_scored_at_their_end(highway: list[Scene], steps_per_action: int) -> None:
    env = TrafficVectorEnv(
        highway,
        num_worlds=2,
        worlds_per_scene=2,
        dynamics=Bicycle(steps_per_action=steps_per_action),
        world=WorldConfig(),
        reward=RealismReward(),
    )
    env.reset(seed=0)
    given, world = finish(env), env.world
    assert world is not None
    wanted = rollout_rewards(Realism(world.scenes[0]), np.stack([episode(world, b) for b in range(2)]))
    assert given[:, 0] == pytest.approx(wanted, abs=1e-7)
    assert given.any()


# --- what it remembers ------------------------------------------------------------------------------------------------


def test_asking_twice_and_resting_remember_nothing_twice(highway: list[Scene]) -> None:
    reward = RealismReward()
    env = TrafficVectorEnv(highway[:1], world=WorldConfig(), reward=reward, autoreset=False)
    seen = []
    for seed in range(3):
        env.reset(seed=0)
        given = finish(env, seed)
        seen.append(episode(env.world, 0))  # type: ignore[arg-type]
        assert np.array_equal(env.evaluate(reward)[0], given)
        wanted = rollout_rewards(Realism(highway[0]), np.stack(seen))[-1]
        assert given[0] == pytest.approx([wanted] * env.num_agents, abs=1e-7)
        for _ in range(3):  # the episode is over
            assert not env.step(np.zeros((1, env.num_agents, 2)))[1].any()


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))])
def test_a_copy_remembers_and_goes_on_alike(highway: list[Scene], duplicate: Callable[[Any], Any]) -> None:
    env = TrafficVectorEnv(highway[:1], world=WorldConfig(), reward=RealismReward())
    env.reset(seed=0)
    finish(env)
    other = duplicate(env)
    for _ in range(2):
        one, two = finish(env, 1), finish(other, 1)
        assert one.any()
        assert np.array_equal(one, two)


def test_a_shelf_holds_so_much_and_no_more(highway: list[Scene]) -> None:
    shelf = Shelf()
    first = shelf.record(highway[0], 2, 2)
    first.rollouts.extend([np.zeros(1, np.float32)] * 5)
    assert len(first.rollouts) == 2
    shelf.record(highway[1], 2, 2)
    assert shelf.record(replace(highway[0]), 2, 2) is first  # another object, the same scene
    shelf.record(highway[2], 2, 2)
    assert len(shelf.records) == 2
    assert shelf.record(highway[0], 2, 2) is first  # the one used longest ago has gone
    moved = replace(highway[0].tracks, x=highway[0].tracks.x + np.float32(1))
    assert shelf.record(replace(highway[0], tracks=moved), 2, 2) is not first


# --- what it refuses --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "loo"}, "kind is 'loo'; it is 'mloo' or 'rloo'"),
        ({"credit": "all"}, "credit is 'all'; it is 'scene' or 'agent'"),
        ({"config": "2052"}, "did you mean '2025'"),
        ({"config": "2025_scenario_gen"}, "needs a state to start from"),
        ({"memory": 1}, "memory is 1; it must be a whole number, 2 or more"),
        ({"max_scenes": None}, "memory and max_scenes must be whole numbers"),
        ({"kinds": "mloo"}, "RealismReward has no option 'kinds'; did you mean 'kind'"),
    ],
)
def test_impossible_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RealismReward(**options)


@pytest.mark.parametrize(
    ("world", "message"),
    [
        (WorldConfig(on_infraction="terminate"), r"use WorldConfig\(on_infraction='ignore'\)"),
        (WorldConfig(on_goal="stop"), r"use WorldConfig\(on_goal='ignore'\)"),
        (WorldConfig(horizon=50), r"horizon is 50, .* needs WorldConfig\(horizon=80\)"),
        (WorldConfig(start_step=0), r"start_step is 0, .* needs WorldConfig\(start_step=10\)"),
    ],
)
def test_worlds_that_end_or_begin_elsewhere(highway: list[Scene], world: WorldConfig, message: str) -> None:
    """Said when the environment is made or wrapped, and by the reward itself for whoever has only a world."""
    for make in (
        lambda: trafficgym.vector_env(highway, world=world, reward=Goal() + RealismReward()),
        lambda: trafficgym.parallel_env(highway, world=world, reward=RealismReward()),
        lambda: RewardWrapper(trafficgym.vector_env(highway, world=world), 0.5 * RealismReward()),
    ):
        with pytest.raises(ConfigError, match=message):
            make()
    alone = World(highway[:1], control="log", config=replace(world, keep_history=True))
    with pytest.raises(ConfigError, match=message):
        RealismReward()(alone, alone.step())


def test_a_world_without_history(highway: list[Scene]) -> None:
    world = World(highway[:1], control="log")
    with pytest.raises(ConfigError, match=r"config=WorldConfig\(keep_history=True\)"):
        RealismReward()(world, world.step())
    env = trafficgym.vector_env(highway, world=WorldConfig())
    env.reset(seed=0)
    with pytest.raises(ConfigError, match="wrap it before its first reset"):
        RewardWrapper(env, RealismReward())


def first_step(scene: Scene) -> None:
    world = World([scene], control="log", config=KEEP)
    RealismReward()(world, world.step())


def cut(scene: Scene, num_steps: int) -> Scene:
    tracks = {
        name: getattr(scene.tracks, name)[:, :num_steps]
        for name in ("x", "y", "z", "yaw", "vx", "vy", "length", "width", "height", "valid")
    }
    signals = {name: getattr(scene.signals, name)[:, :num_steps] for name in ("state", "stop", "valid")}
    return replace(
        scene,
        timestamps=scene.timestamps[:num_steps],
        tracks=replace(scene.tracks, **tracks),
        signals=replace(scene.signals, **signals),
    )


def test_scenes_that_cannot_be_judged(highway: list[Scene]) -> None:
    scene = highway[0]
    nobody = np.zeros(scene.num_agents, bool)
    anonymous = replace(scene, tracks=replace(scene.tracks, is_sdc=nobody, to_predict=nobody))
    with pytest.raises(ConfigError, match="neither an SDC nor a track to predict at step 10"):
        first_step(anonymous)
    with pytest.raises(ConfigError, match=r"horizon of its episode is 70, .* needs WorldConfig\(horizon=80\)"):
        first_step(cut(scene, 81))
    with pytest.raises(ConfigError, match=r"start_step of its episode is 20, .* needs WorldConfig\(start_step=10\)"):
        first_step(replace(scene, current_step=20))
    short = World([cut(scene, 81)], control="log", config=replace(KEEP, horizon=80))
    with pytest.raises(ConfigError, match="has 81 steps, but its realism is judged by a log of 91; leave it out"):
        RealismReward()(short, short.step())
