"""One ego: life of an episode, choice of scenes, and errors."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

from tests.scene.make_scene import make_scene
from tests.world.micro import Box, micro_scene, straight
from trafficgym.envs.config import EnvConfig
from trafficgym.envs.observations import ObservationConfig
from trafficgym.envs.single import SceneEnv, SceneVectorEnv
from trafficgym.errors import ActionError, ConfigError, SceneError, TrafficgymError
from trafficgym.rewards import Collision
from trafficgym.world.dynamics import Bicycle
from trafficgym.world.events import Event
from trafficgym.world.state import Driver
from trafficgym.world.world import WorldConfig

COAST = np.zeros(2, np.float32)
WALL = micro_scene(Box(speed=10.0, sdc=True), Box(x=6.0), Box(y=30.0, speed=3.0), num_steps=21, id="wall")
"""The SDC drives into a parked car in its third step."""


def test_a_crash_terminates() -> None:
    env = SceneEnv(WALL)
    env.reset(seed=0)
    results = [env.step(COAST) for _ in range(3)]
    assert [r[2] for r in results] == [False, False, True]
    assert not any(r[3] for r in results)
    assert results[-1][4]["reward_terms"]["infraction"] == -1
    assert results[0][1] == pytest.approx(0.0)  # it has no goal and makes no progress along a log that stands still
    with pytest.raises(ActionError, match="the episode is over; call reset"):
        env.step(COAST)
    env.reset()
    assert env.step(COAST)[2] is False


def test_the_horizon_truncates_and_the_last_observation_is_there() -> None:
    """A learner bootstraps from it: it must show the world, not zeros."""
    env = SceneEnv(WALL, world=WorldConfig(horizon=2))
    env.reset(seed=0)
    env.step(COAST)
    observation, _, terminated, truncated, _ = env.step(COAST)
    assert (terminated, truncated) == (False, True)
    assert observation[0] == pytest.approx(10 / 30)
    assert ObservationConfig().split(observation)["agents"][0, 0] == pytest.approx(4 / 100, abs=1e-4)


def test_a_crash_in_the_last_step_is_a_crash() -> None:
    env = SceneEnv(WALL, world=WorldConfig(horizon=3, on_infraction="terminate"))
    env.reset(seed=0)
    assert [env.step(COAST)[2:4] for _ in range(3)] == [(False, False), (False, False), (True, False)]


def test_reaching_the_goal_terminates_with_its_reward() -> None:
    scene = micro_scene(Box(x=straight(0, 10, 21), speed=10.0), num_steps=21)
    env = SceneEnv(scene)
    env.reset(seed=0)
    terminated, steps = False, 0
    while not terminated:
        steps += 1
        _, _, terminated, _, info = env.step(COAST)
        assert terminated == (info["reward_terms"]["goal_soft"] == 1)
    assert steps == 18  # within 2 m of x = 20


@pytest.mark.parametrize(("background", "driver"), [("log", Driver.LOG), ("idm", Driver.IDM)])
def test_the_background(background: str, driver: Driver) -> None:
    env = SceneEnv(WALL, background=background)
    env.reset(seed=0)
    world = env.vector.world
    assert world is not None
    assert world.controller[0].tolist() == [Driver.EXTERNAL, driver, driver]
    assert world.track[0, 0] == 0


def test_who_is_the_ego_can_be_chosen() -> None:
    env = SceneEnv(WALL, control={"all": "log", 2: "external"})
    assert env.reset(seed=0)[1]["track_id"] == 2
    with pytest.raises(SceneError, match="no scene has an external agent"):
        trafficgym_vector(WALL, control="log")
    nobody = SceneEnv(WALL, control="log")
    with pytest.raises(SceneError, match="scene 'wall' has no external agent at its start under control='log'"):
        nobody.reset(seed=0)


def trafficgym_vector(*args: Any, **options: Any) -> Any:
    from trafficgym.envs.vector import TrafficVectorEnv

    return TrafficVectorEnv(*args, **options)


def test_scenes_can_be_chosen_by_number_and_by_name() -> None:
    scenes = [make_scene(f"scene-{k}", num_agents=1) for k in range(4)]
    env = SceneEnv(scenes)
    for wanted, found in ((2, "scene-2"), (-1, "scene-3"), ("scene-1", "scene-1")):
        assert env.reset(options={"scene": wanted})[1]["scene_id"] == found
    with pytest.raises(SceneError, match="there is no scene 4; there are 4"):
        env.reset(options={"scene": 4})
    with pytest.raises(SceneError, match="no scene is called 'scene-9'"):
        env.reset(options={"scene": "scene-9"})
    with pytest.raises(ConfigError, match="no reset option is called 'scenes'; did you mean 'scene'"):
        env.reset(options={"scenes": 1})
    env.reset(options={"of a wrapper": 1})


def test_scenes_in_order_and_at_random() -> None:
    scenes = [make_scene(f"scene-{k}", num_agents=1) for k in range(4)]
    env = SceneEnv(scenes, scene_order="sequential")
    assert [env.reset()[1]["scene_id"][-1] for _ in range(6)] == list("012301")
    assert env.reset(seed=9)[1]["scene_id"] == "scene-0"
    env = SceneEnv(scenes)
    first = [env.reset(seed=3)[1]["scene_id"], *(env.reset()[1]["scene_id"] for _ in range(20))]
    again = [env.reset(seed=3)[1]["scene_id"], *(env.reset()[1]["scene_id"] for _ in range(20))]
    assert first == again
    assert set(first) == {s.id for s in scenes}


def test_bad_actions() -> None:
    env = SceneEnv(WALL)
    with pytest.raises(ActionError, match="call reset"):
        env.step(COAST)
    env.reset(seed=0)
    for bad in (np.zeros(3), np.zeros((1, 2)), 0.5):
        with pytest.raises(ActionError, match=r"the action must have shape \(2,\), got"):
            env.step(bad)  # type: ignore[arg-type]
    with pytest.raises(ActionError, match=r"track 0.*not finite"):
        env.step(np.array([np.nan, 0]))
    assert env.step(COAST)[2:4] == (False, False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dynamic": "bicycle"}, "EnvConfig has no option 'dynamic'; did you mean 'dynamics'"),
        ({"dynamics": "bicycles"}, "no dynamics are called 'bicycles'; did you mean 'bicycle'"),
        ({"observation_format": "dictionary"}, "observation_format is 'dictionary'; it is one of 'flat', 'dict'"),
        ({"observation": {"agents": 3}}, "observation must be a ObservationConfig"),
        ({"reward": -1.0}, "reward must be a Reward"),
        ({"scene_order": "shuffled"}, "scene_order is 'shuffled'"),
        ({"num_agents": 0}, "num_agents is 0; it must be a whole number, 1 or more"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EnvConfig(**options)
    if "num_agents" not in options:
        with pytest.raises(ConfigError, match=message):
            gymnasium.make("trafficgym/Scene-v0", scenes=WALL, **options)


def test_misspelt_options_further_in() -> None:
    for kind, key, nearest in (
        (ObservationConfig, "agnets", "agents"),
        (WorldConfig, "horizn", "horizon"),
        (Bicycle, "wheelbase", "wheelbase_ratio"),
    ):
        with pytest.raises(ConfigError, match=f"{kind.__name__} has no option {key!r}; did you mean {nearest!r}"):
            kind(**{key: 3})


def test_options_that_the_kind_of_environment_decides() -> None:
    for make in (SceneEnv, SceneVectorEnv):
        for option in ({"num_agents": 3}, {"autoreset": False}, {"control": "external", "background": "idm"}):
            with pytest.raises(ConfigError, match=r"no option of this environment|both given"):
                make(WALL, **option)


def test_impossible_kinds_of_value() -> None:
    for option in ({"num_agents": 2.5}, {"picture_size": 300}, {"observation": 3}):
        with pytest.raises(ConfigError, match=next(iter(option))):
            EnvConfig(**option)
    with pytest.raises(ConfigError, match=r"horizon is 8.5; it must be a whole number"):
        WorldConfig(horizon=8.5)  # type: ignore[arg-type]


def test_render_modes() -> None:
    with pytest.raises(ConfigError, match="render_mode is 'rgb'"):
        SceneEnv(WALL, render_mode="rgb")
    env = SceneEnv(WALL, control={"all": "log", "eggo": "external"})
    with pytest.raises(ConfigError, match="no selector is called 'eggo'; did you mean 'ego'"):
        env.reset(seed=0)


@pytest.mark.parametrize("scenes", ["/no/such/place", [], [1], 3.0])
def test_bad_scenes(scenes: Any) -> None:
    with pytest.raises(TrafficgymError):
        SceneEnv(scenes).reset(seed=0)


def test_the_vector_of_egos_wants_one_action_each() -> None:
    envs = SceneVectorEnv(WALL, num_envs=2)
    envs.reset(seed=0)
    with pytest.raises(ActionError, match=r"actions must have shape \(2, 2\), got \(2, 1, 2\)"):
        envs.step(np.zeros((2, 1, 2)))


def test_infractions_and_rewards_are_independent_choices() -> None:
    world = WorldConfig(on_infraction="ignore", infractions=Event.COLLISION)
    env = SceneEnv(WALL, world=world, reward=-5.0 * Collision())
    env.reset(seed=0)
    results = [env.step(COAST) for _ in range(5)]
    assert [r[1] for r in results] == [0, 0, -5, 0, 0]
    assert not any(r[2] for r in results)
