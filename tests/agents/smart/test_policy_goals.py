"""Agents of worlds are told where to go: by name, by slot, by the world; at each decision anew."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import trafficgym
from tests.agents.smart.small_vocabulary import small_vocabulary
from tests.world.micro import Box, micro_scene
from trafficgym.errors import ConfigError
from trafficgym.scene.scene import AgentType, Scene
from trafficgym.world.roll_out import roll_out_batch
from trafficgym.world.world import World, WorldConfig
from trafficgym_agents.policies.smart.batch import Batch
from trafficgym_agents.policies.smart.conditioning import conditioned
from trafficgym_agents.policies.smart.config import GOALS, HISTORY_TOKENS, SmartConfig
from trafficgym_agents.policies.smart.decoding import roll_out
from trafficgym_agents.policies.smart.goal_inputs import Stand
from trafficgym_agents.policies.smart.network import Looks, SmartNetwork
from trafficgym_agents.policies.smart.policy import SmartPolicy
from trafficgym_agents.policies.smart.sampling import Sampling
from trafficgym_agents.policies.smart.tokenizer import Tokenizer

GOAL = (30.0, 12.0)
ALL = Sampling(top_k=None)


def plain(**changes: Any) -> SmartNetwork:
    torch.manual_seed(0)
    return SmartNetwork(SmartConfig(head_per_class=True, **changes), small_vocabulary()).eval()


def driver(kind: Any = "indication", **options: Any) -> SmartPolicy:
    """Of a network to which goals mean much."""
    network = conditioned(plain(), kind)
    assert network.agent_encoder.goal is not None
    with torch.no_grad():
        for parameter in network.agent_encoder.goal.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3)))
    return SmartPolicy(network, ALL, **options)


def street(num: int = 4) -> Scene:
    """Vehicles, pedestrians and cyclists beside a lane; the second stands."""
    kinds, x = [AgentType.VEHICLE, AgentType.PEDESTRIAN, AgentType.CYCLIST], np.arange(91) * 0.3
    boxes = [
        Box(x=(9.0 * k + x * (k != 1)).tolist(), y=5.0 * k, speed=3.0 * (k != 1), kind=kinds[k % 3]) for k in range(num)
    ]
    return micro_scene(*boxes, lanes=[[(2.0 * k, 0.5 * k) for k in range(40)]], num_steps=91, current_step=10)


def goals_of_slots(world: World) -> NDArray[np.float32]:
    """Of slots 0 and 2, in all worlds."""
    goals = np.full((*world.alive.shape, 2), np.nan, np.float32)
    goals[:, 0], goals[:, 2] = GOAL, (-40.0, 3.0)
    return goals


def states(world: World, decisions: int = 3, **goals: Any) -> NDArray[np.float32]:
    """Of all slots after each decision that a policy of learners makes."""
    found = []
    for _ in range(decisions):
        world.step(goals["policy"].actions(world, goals=goals.get("goals")))
        found.append(world.state.table.copy())
    return np.stack(found)


@pytest.mark.parametrize("kind", GOALS)
def test_the_world_moves_as_rollouts_without_a_world(kind: Any) -> None:
    scene, seeds = street(), [3, 4]
    policy = driver(kind, goals=goals_of_slots)
    runs = roll_out_batch(scene, policy, seeds, config=WorldConfig(horizon=40))
    tokens = Tokenizer(policy.network.vocabulary)(scene)
    batch, now = Batch.of([tokens]), HISTORY_TOKENS - 1
    batch = replace(batch, agents=batch.agents.moved_to(now, batch.agents.raw_xy[:, now], batch.agents.raw_yaw[:, now]))
    goal = torch.full((4, 2), torch.nan)
    goal[0], goal[2] = torch.tensor(GOAL), torch.tensor((-40.0, 3.0))
    rngs = [np.random.default_rng(seed) for seed in seeds]
    fast = roll_out(policy.network, batch.with_goals(goal), ALL, num=2, rngs=rngs).steps.view(2, 4, 80, 3)
    for run, wanted in zip(runs, fast.numpy()[:, :, :40], strict=True):
        np.testing.assert_array_equal(run.x[:, 1:], wanted[..., 0])
        np.testing.assert_array_equal(run.y[:, 1:], wanted[..., 1])


def test_agents_by_name_and_by_slot() -> None:
    """As in a parallel environment; the same by slot; another way than without goals, which is the plain network's."""
    policy, scene = driver(), street()

    def world() -> World:
        return World([scene], dynamics=policy.dynamics, seeds=[8])

    env = trafficgym.parallel_env(scenes=[scene], dynamics=policy.dynamics)
    env.reset(seed=8)
    by_name = []
    for _ in range(3):
        actions = policy.actions(env.vector.world, goals={"agent_0": GOAL})[0]
        env.step({name: actions[env.slots[name]] for name in env.agents})
        by_name.append(env.vector.world.state.table[..., :4].copy())
    by_slot = states(world(), policy=policy, goals={0: GOAL})[..., :4]
    np.testing.assert_array_equal(np.stack(by_name), by_slot)
    without = states(world(), policy=policy)[..., :4]
    assert not np.array_equal(by_slot, without)
    np.testing.assert_array_equal(without, states(world(), policy=SmartPolicy(plain(), ALL))[..., :4])


def test_worlds_of_one_scene_with_goals_of_their_own() -> None:
    """Alone and together; the second has none."""
    policy, scene = driver(), street()
    goals: list[Any] = [{0: GOAL}, {}, {"agent_0": (-30.0, 0.0), 3: GOAL}]
    together = states(World([scene] * 3, dynamics=policy.dynamics, seeds=[5, 5, 5]), policy=policy, goals=goals)
    for b, own in enumerate(goals):
        alone = states(World([scene], dynamics=policy.dynamics, seeds=[5]), policy=policy, goals=own)
        np.testing.assert_array_equal(together[:, b], alone[:, 0])
    assert not np.array_equal(together[:, 0], together[:, 1])


def test_goals_may_change() -> None:
    """Up to the decision at which one is given everything is as without."""
    policy = driver()
    worlds = [World([street()], dynamics=policy.dynamics, seeds=[6]) for _ in range(2)]
    without, changed = (states(world, 2, policy=policy) for world in worlds)
    np.testing.assert_array_equal(without, changed)
    goals = dict.fromkeys(range(4), GOAL)
    without, changed = states(worlds[0], 8, policy=policy), states(worlds[1], 8, policy=policy, goals=goals)
    assert not np.array_equal(without, changed)


def test_the_goals_of_the_world() -> None:
    """Where logs end; nowhere for one that stands, nor for one that the policy does not drive."""
    seen = []

    def the_same(world: World) -> NDArray[np.float32]:
        goals = np.where(world.has_goal[..., None], world.goal, np.nan)
        seen.append(goals.copy())
        goals[:, world.track[0] == 3] = (70.0, 0.0)
        return goals

    config, ids = WorldConfig(horizon=15), street().tracks.id
    runs = []
    for goals in ("world", the_same, "none"):
        control: Any = {"all": driver(goals=goals), int(ids[3]): "log"}
        world = World([street()], control=control, config=config, seeds=[2])
        for _ in range(15):
            world.step()
        runs.append(world.state.table.copy())
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])
    assert np.isnan(seen[0][0]).all(-1).sum() == 1


def test_what_makes_no_sense_is_refused() -> None:
    policy, network = driver(), plain()
    world = World([street()], dynamics=policy.dynamics)
    for goals, message in (
        ({"agent_9": GOAL}, r"drives no agent 'agent_9' in world 0; did you mean 'agent_\d'"),
        ({7: GOAL}, "drives no agent 7 in world 0"),
        ({"agent_0": (np.nan, 1.0)}, "goal of 'agent_0' is .*; give x and y in metres"),
        ({"agent_0": (1.0, 2.0, 3.0)}, "give x and y in metres"),
        ([{}, {}], "there are 1 worlds, and goals for 2"),
    ):
        with pytest.raises(ConfigError, match=message):
            policy.actions(world, goals=goals)  # type: ignore[arg-type]
    no_goals = r"takes no goals; .* conditioned\(network, \"indication\"\)"
    with pytest.raises(ConfigError, match=no_goals):
        SmartPolicy(network).actions(world, goals={"agent_0": GOAL})
    with pytest.raises(ConfigError, match=no_goals):
        SmartPolicy(network, goals="world")
    with pytest.raises(ConfigError, match="goals are 'wrld'; give 'none', 'world'"):
        driver(goals="wrld")
    with pytest.raises(ConfigError, match=r"goals have shape \(2,\); give \(1, 4, 2\)"):
        driver(goals=lambda world: np.zeros(2)).actions(world)


def test_a_goal_is_due_8_s_after_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that is given late, or exchanged for another."""
    seen, toward = [], Looks.toward

    def recorded(looks: Looks, goal: torch.Tensor, stand: Stand, scene: torch.Tensor) -> Any:
        seen.append(stand.left[0].item())
        return toward(looks, goal, stand, scene)

    monkeypatch.setattr(Looks, "toward", recorded)
    policy = driver()
    world = World([street()], dynamics=policy.dynamics, seeds=[6])
    states(world, 2, policy=policy)
    for goal, decisions in ((GOAL, 3), ((-40.0, 3.0), 2)):
        states(world, decisions, policy=policy, goals={0: goal})
    assert seen == [8.5, 8, 8, 8, 7.5, 7, 8, 7.5]
