"""The network drives worlds as its rollouts without a world go, alone and together, by whatever door one comes in."""

from __future__ import annotations

import copy
import gc
import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

import trafficgym
from tests.agents.smart.small_vocabulary import motions, small_vocabulary
from tests.scene.make_scene import make_scene
from tests.world.micro import Box, micro_scene
from trafficgym.errors import ConfigError
from trafficgym.scene.readers import read
from trafficgym.scene.scene import AgentType, Scene
from trafficgym.world.dynamics import Bicycle
from trafficgym.world.named_policies import named_policy, policy_names
from trafficgym.world.roll_out import roll_out_batch
from trafficgym.world.state import Driver
from trafficgym.world.world import World, WorldConfig
from trafficgym_agents.policies.smart import checkpoint, entry_point, known_scenes
from trafficgym_agents.policies.smart.batch import Batch
from trafficgym_agents.policies.smart.checkpoint import save_smart
from trafficgym_agents.policies.smart.config import HISTORY_TOKENS, SmartConfig
from trafficgym_agents.policies.smart.decoding import Rollouts, roll_out
from trafficgym_agents.policies.smart.known_scenes import Beginning, KnownScenes
from trafficgym_agents.policies.smart.network import SmartNetwork
from trafficgym_agents.policies.smart.policy import SmartPolicy
from trafficgym_agents.policies.smart.sampling import GREEDY, Sampling
from trafficgym_agents.policies.smart.tokenizer import Tokenizer
from trafficgym_agents.policies.smart.vocabulary import NOMINAL_SIZE, Vocabulary
from trafficgym_agents.training.checkpoint import Card
from trafficgym_scenarios.nominal import nominal_scene


def vocabulary() -> Vocabulary:
    """Seven distances in seven directions for each class; vehicles have two more."""
    ends = np.array([(d, 0.5 * d * a, a) for d in np.linspace(0, 1, 7) for a in np.linspace(-0.3, 0.3, 7)])
    more = np.array([(1.1, 0, 0), (1.2, 0, 0)])
    classes = np.concatenate([ends, more]) * [8, 8, 1], ends * [1, 1, 2], ends * [4, 4, 1]
    found = [motions(poses, size) for poses, size in zip(classes, NOMINAL_SIZE, strict=True)]
    return replace(small_vocabulary(), vehicle=found[0], pedestrian=found[1], cyclist=found[2])


def network(*, seed: int = 0, zero_fill_quirk: bool = False) -> SmartNetwork:
    torch.manual_seed(seed)
    return SmartNetwork(SmartConfig(head_per_class=True, zero_fill_quirk=zero_fill_quirk), vocabulary()).eval()


@pytest.fixture(scope="module")
def policy() -> SmartPolicy:
    return SmartPolicy(network())


def street(
    num: int = 4, *, late: Sequence[int] = (), current_step: int = 10, id: str = "street", gap: float = 9.0
) -> Scene:
    """Vehicles, pedestrians and cyclists, `gap` m apart along x; those in `late` appear 1.2 s after "now"."""
    kinds = [AgentType.VEHICLE, AgentType.PEDESTRIAN, AgentType.CYCLIST]
    x = np.arange(91) * 0.3
    boxes = [
        Box(
            x=(gap * k + x).tolist(),
            y=5.0 * k,
            speed=3.0,
            kind=kinds[k % 3],
            valid=(np.arange(91) >= 22).tolist() if k in late else True,
        )
        for k in range(num)
    ]
    lane = [(2.0 * k, 0.5 * k) for k in range(40)]
    return micro_scene(*boxes, lanes=[lane], num_steps=91, current_step=current_step, id=id)


def from_the_log(policy: SmartPolicy, scene: Scene, seeds: Sequence[int]) -> Rollouts:
    """Rollouts without a world; like the world's they begin where agents are, not where the log's tokens lead."""
    source = policy.network.config.zero_fill_quirk
    tokens = Tokenizer(policy.network.vocabulary, frame="source" if source else "scene")(scene)
    # Tokens have headings without jumps of a turn, the world has those of the log.
    yaw = torch.from_numpy(scene.tracks.yaw[tokens.agents.track, scene.current_step])
    batch, now = Batch.of([tokens]), HISTORY_TOKENS - 1
    agents = batch.agents.moved_to(now, batch.agents.raw_xy[:, now], yaw)
    rngs = [np.random.default_rng(seed) for seed in seeds]
    return roll_out(policy.network, replace(batch, agents=agents), policy.sampling, num=len(seeds), rngs=rngs)


def drive(world: World, num_steps: int) -> bytes:
    """States of all slots at all steps."""
    states: list[bytes] = []
    action = np.tile([-0.5, 0.02], (world.num_worlds, world.num_agents, 1))
    for _ in range(num_steps // world.dynamics.steps_per_action):
        world.step(action, after_each=lambda _: states.append(world.state.table.tobytes()))
    return b"".join(states)


@pytest.mark.parametrize(
    ("scene", "sampling"),
    [(nominal_scene(3), Sampling()), (street(), Sampling(top_k=5, temperature=0.7)), (make_scene(), GREEDY)],
    ids=["sampled", "likeliest five", "greedy"],
)
def test_the_world_moves_as_rollouts_without_a_world(scene: Scene, sampling: Sampling) -> None:
    assert scene.tracks.valid[:, scene.current_step].all()
    policy, seeds = SmartPolicy(network(), sampling), [3, 4, 5]
    runs = roll_out_batch(scene, policy, seeds, config=WorldConfig(horizon=80))
    fast = from_the_log(policy, scene, seeds).steps.numpy().reshape(3, scene.num_agents, 80, 3)
    for run, wanted in zip(runs, fast, strict=True):
        np.testing.assert_array_equal(run.x[:, 1:], wanted[..., 0])
        np.testing.assert_array_equal(run.y[:, 1:], wanted[..., 1])
        np.testing.assert_array_equal(run.yaw[:, 1:], wanted[..., 2])
    assert np.array_equal(runs[0].x, runs[1].x) != policy.is_random
    assert np.abs(runs[0].x[:, -1] - runs[0].x[:, 0]).max() > 1


def test_rollouts_of_a_real_scene_are_the_same_where_nobody_who_appears_is_seen(data_root: Path) -> None:
    """WOMD's example: 31 of its 83 tracks appear after "now"."""
    source = data_root / "data/womd/motion_data_one_scenario.tfrecord"
    scene = next(item for item in read(source) if isinstance(item, Scene))
    policy = SmartPolicy(network(), sees_newcomers=False)
    run = roll_out_batch(scene, policy, [2], config=WorldConfig(horizon=20))[0]
    wanted = from_the_log(policy, scene, [2]).steps.numpy()[:, :20]
    track = Tokenizer(policy.network.vocabulary)(scene).agents.track
    assert len(track) == 50
    np.testing.assert_array_equal(run.x[track, 1:], wanted[..., 0])
    np.testing.assert_array_equal(run.y[track, 1:], wanted[..., 1])


def test_networks_of_the_source_coordinates_drive_in_the_scene_frame() -> None:
    """Kilometres away, float32 rounds to tenths of a millimetre, which turns the direction in which who stands moves.

    Hence two decisions only.
    """
    scene, policy = replace(street(), origin=np.array([1e3, -2e3, 30.0])), SmartPolicy(network(zero_fill_quirk=True))
    seeds = [5, 6, 7]
    fast = from_the_log(policy, scene, seeds).steps.numpy().reshape(3, 4, 80, 3)[:, :, :10]
    for run, wanted in zip(roll_out_batch(scene, policy, seeds, config=WorldConfig(horizon=10)), fast, strict=True):
        np.testing.assert_allclose(run.x[:, 1:] + scene.origin[0], wanted[..., 0], rtol=0, atol=5e-3)
        np.testing.assert_allclose(run.y[:, 1:] + scene.origin[1], wanted[..., 1], rtol=0, atol=5e-3)


def test_worlds_are_driven_alike_alone_and_together(policy: SmartPolicy) -> None:
    """Other scenes, one of them twice, one with an agent alone, one without a map."""
    alone = micro_scene(Box(speed=4.0, x=(0.4 * np.arange(40)).tolist()), num_steps=40, current_step=10, id="alone")
    scenes = [street(), nominal_scene(3), alone, street(3, id="other"), street()]
    scenes[4] = scenes[0]
    config, seeds = WorldConfig(horizon=30), [1, 2, 3, 4, 5]
    together = World(scenes, control=policy, config=config, seeds=seeds)
    drive(together, 30)
    for b, scene in enumerate(scenes):
        world = World([scene], control=policy, config=config, seeds=[seeds[b]])
        drive(world, 30)
        assert world.state.table[0].tobytes() == together.state.table[b, : world.num_slots].tobytes(), scene.id
    assert together.state.table[0].tobytes() != together.state.table[4].tobytes()


@pytest.mark.parametrize("at", [5, 7])
def test_a_world_that_starts_anew_does_not_disturb_the_others(policy: SmartPolicy, at: int) -> None:
    control = {"all": policy, 0: "external"}
    world = World([street(), street()], control=control, seeds=[1, 2])
    undisturbed = World([street(), street()], control=control, seeds=[1, 2])
    fresh = World([street(9, current_step=12)], control=control, seeds=[5])
    drive(world, at)
    world.reset(np.array([True, False]), scenes=[street(9, current_step=12)], seeds=[5])
    for one, num in ((world, 23), (undisturbed, at + 23), (fresh, 23)):
        drive(one, num)
    assert world.state.table[1, :4].tobytes() == undisturbed.state.table[1].tobytes()
    assert world.state.table[0].tobytes() == fresh.state.table[0].tobytes()


def test_it_sees_everybody_where_they_are(policy: SmartPolicy) -> None:
    """An ego on a bicycle, one by its log, one that appears later; a track that leaves is not there any more."""
    scene = street(5, late=[3])
    scene.tracks.valid[4, 35:] = False
    world = World([scene], control={"all": policy, 0: "external", 4: "log"})
    slot_of = {int(track): slot for slot, track in enumerate(world.track[0])}
    for num_seen, there in (
        (4, [0, 1, 2, 4]),
        (4, [0, 1, 2, 4]),
        (4, [0, 1, 2, 4]),
        (5, [0, 1, 2, 3, 4]),
        (5, [0, 1, 2, 3, 4]),
        (5, [0, 1, 2, 3]),
    ):
        before = world.state.table[0].copy()
        drive(world, 5)
        episode = world.memory_of(policy)["episodes"][0]
        poses, valid = episode.past.last
        assert len(episode) == num_seen
        assert sorted(episode.slot[valid]) == sorted(slot_of[track] for track in there)
        np.testing.assert_array_equal(poses[valid], before[episode.slot[valid]][:, [0, 1, 3]])


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda world: pickle.loads(pickle.dumps(world))])
def test_a_copy_goes_on_alike(policy: SmartPolicy, copied: Any) -> None:
    world = World([street(), street(3, late=[2])], control={"all": policy, 0: "external"})
    drive(world, 7)
    twin = copied(world)
    assert drive(twin, 20) == drive(world, 20)


def test_tracks_without_tokens_go_straight_on(policy: SmartPolicy) -> None:
    still = Box(y=30.0, kind=AgentType.OTHER)
    moving = Box(x=(0.5 * np.arange(20)).tolist(), y=9.0, speed=5.0, kind=AgentType.OTHER)
    world = World([micro_scene(Box(), still, moving, num_steps=20, current_step=10)], control=policy)
    world.end_step[:] = 200
    for _ in range(8):
        drive(world, 10)
        seconds = (world.step_index[0] - 10) * 0.1
        assert abs(world.state.x[0, 2] - (5 + 5 * seconds)) < 0.7
        np.testing.assert_allclose(world.state.table[0, [1, 2], 1], [30, 9], atol=0.01)
        assert abs(world.state.x[0, 1]) < 0.01


def test_weights_may_change_between_episodes() -> None:
    policy, other = SmartPolicy(network(seed=1)), SmartPolicy(network(seed=2))
    world = World([street()], control=policy, seeds=[4])
    drive(world, 10)
    policy.network.load_state_dict(other.network.state_dict())
    world.reset(seeds=[4])
    assert drive(world, 20) == drive(World([street()], control=other, seeds=[4]), 20)


def test_scenes_are_kept_while_they_live_and_not_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_scenes, "MOST_SCENES", 2)
    weights = network()
    known = KnownScenes(weights, Tokenizer(weights.vocabulary), 64)
    scenes = [street(2, id=str(number)) for number in range(4)]
    for first, num_kept in ((0, 1), (1, 2), (2, 2)):
        known.stage([Beginning(scenes[first], 10)])
        assert len(known) == num_kept
    assert known.stage([Beginning(scene, 10) for scene in scenes]).number[Beginning(scenes[3], 10)] == 3
    assert len(known) == 4  # in use at once
    del scenes
    gc.collect()
    assert len(known) == 0


def poses(world: World) -> np.ndarray:
    return world.state.table[..., [0, 1, 3]].copy()


def test_learners_drive_as_the_policy_in_a_vector_environment(policy: SmartPolicy) -> None:
    """Worlds end after 1 s and start anew, on other scenes."""
    scenes, config = [street(), street(3, id="other")], WorldConfig(horizon=10)
    env = trafficgym.vector_env(scenes, num_worlds=2, num_agents=6, dynamics=policy.dynamics, world=config)
    env.reset(seed=[8, 9])
    assert env.world is not None
    wanted = World(list(env.world.scenes), control=policy, dynamics=policy.dynamics, config=config, seeds=[8, 9])
    for episode in range(3):
        for _ in range(2):
            wanted.step()
            actions = policy.actions(env.world, env.num_agents)
            assert actions.shape == env.action_space.shape
            _, _, _, truncated, _ = env.step(actions)
            np.testing.assert_array_equal(poses(env.world), poses(wanted))
        assert truncated[:, :3].all(), episode
        env.step(np.zeros_like(actions))  # resets
        wanted.reset(scenes=list(env.world.scenes))


def test_learners_drive_by_the_names_of_agents(policy: SmartPolicy) -> None:
    """They crash into each other, and who has is gone and has no more actions."""
    scene = street(9, gap=3.0)
    env = trafficgym.parallel_env(scenes=[scene], dynamics=policy.dynamics)
    env.reset(seed=8)
    wanted = World([scene], control=policy, dynamics=policy.dynamics, seeds=[8])
    living = [len(env.agents)]
    while env.agents:
        actions = policy.actions(env.vector.world)[0]
        assert not actions[[i for name, i in env.slots.items() if name not in env.agents]].any()
        env.step({name: actions[env.slots[name]] for name in env.agents})
        wanted.step()
        living.append(len(env.agents))
        if living[-1] == 9:
            np.testing.assert_array_equal(poses(env.vector.world), poses(wanted))
    assert living[1] == 9
    assert len({*living}) > 2


def test_it_drives_behind_an_ego_beside_heroes(tmp_path: Path) -> None:
    """As an object and by the path of its checkpoint; the environment passes Gymnasium's check."""
    path = tmp_path / "small.safetensors"
    card = Card(kind="", config=None, algorithm="none", data="none", seed=0)
    save_smart(path, network(), card)
    seen = []
    for background in (SmartPolicy(network()), f"smart:{path}"):
        env: Any = gymnasium.make("trafficgym/CutIn-v0", background=background, num_scenes=3)
        observations = [env.reset(seed=1)[0]]
        for _ in range(12):
            observations.append(env.step(np.array([0.2, 0.0], np.float32))[0])
        seen.append(np.stack(observations))
        world: World = env.unwrapped.vector.world
        assert {Driver.EXTERNAL, Driver.HERO, Driver.POLICY} <= set(world.controller[0].tolist())
    np.testing.assert_array_equal(*seen)
    check_env(env.unwrapped, skip_render_check=True)
    assert named_policy(f"smart:{path}").name == f"smart:{path}"


def test_five_hundred_agents(policy: SmartPolicy) -> None:
    drive(World([street(500)], control=policy), 10)


def test_it_is_installed_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert "smart" in policy_names()
    monkeypatch.setitem(checkpoint.SHIPPED, "micro", tmp_path / "micro.safetensors")
    for argument in (None, "micro"):
        with pytest.raises(ConfigError, match="the checkpoint 'micro' has not been installed"):
            entry_point.smart(argument)
    with pytest.raises(ConfigError, match=r"missing\.safetensors: there is no checkpoint"):
        entry_point.smart("missing.safetensors")


def test_what_makes_no_sense_is_refused(policy: SmartPolicy) -> None:
    with pytest.raises(ConfigError, match=r"decides on tokens .* Bicycle, .* make it with dynamics=policy.dynamics"):
        policy.actions(World([street()], dynamics=Bicycle()))
    with pytest.raises(ConfigError, match="MotionTokens, have other actions"):
        policy.actions(World([street()], dynamics=small_vocabulary().dynamics()))
    world = World([street()], dynamics=policy.dynamics)
    policy.actions(world)
    twin = copy.deepcopy(world)
    for one in (world, twin):
        one.step(np.zeros((1, 4, 1)))
    policy.actions(world)
    with pytest.raises(ConfigError, match=r"at step 15 of scene 'street'.* never asked.* a copy of a world knows"):
        policy.actions(twin)
    with pytest.raises(ConfigError, match=r"at step 15 .* last at step 15 asked"):
        policy.actions(world)
    broken = SmartPolicy(network())
    with torch.no_grad():
        broken.network.agent_encoder.token_predict_head.mlp[0].weight[0, 0] = torch.nan
    with pytest.raises(ConfigError, match="the network gives NaN"):
        World([street()], control=broken).step()
