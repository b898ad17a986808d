"""Ranges, sampling, criticality, grids, and concrete scenarios as files."""

from __future__ import annotations

import json
from pathlib import Path

import gymnasium
import numpy as np
import pytest

import trafficgym
from tests.scenarios.digest import digest
from trafficgym.errors import ConfigError, SceneError
from trafficgym_scenarios import find_family, load_scenario, nominal_scene, nominal_scenes
from trafficgym_scenarios.scenario import Range
from trafficgym_scenarios.scenes import LazyScenes, family_scenes, mixture

CUT_IN = find_family("cut-in")


def test_ranges_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="empty or reversed"):
        Range(low=3.0, high=2.0, unit="s", about="headway")
    with pytest.raises(ConfigError, match="empty or reversed"):
        Range(low=2.0, high=2.0, unit="s", about="headway")
    with pytest.raises(ConfigError, match="looks like km/h"):
        Range(low=50.0, high=120.0, unit="m/s", about="speed")
    with pytest.raises(ConfigError, match="no option 'hgih'; did you mean 'high'"):
        Range(low=1.0, hgih=2.0, unit="s", about="headway")  # type: ignore[call-arg]


def test_samples_lie_in_their_ranges_and_depend_on_the_seed_alone() -> None:
    drawn = [CUT_IN.sample(seed) for seed in range(50)]
    for scenario in drawn:
        for name, value in scenario.parameters.items():
            assert CUT_IN.parameters[name].low <= value <= CUT_IN.parameters[name].high
    assert len({scenario.id for scenario in drawn}) == 50
    assert CUT_IN.sample(7).parameters == drawn[7].parameters


def test_what_is_evaluated_was_never_trained_on() -> None:
    def cells(split: str) -> set[tuple[int, ...]]:
        found = set()
        for seed in range(300):
            parameters = CUT_IN.sample(seed, split).parameters  # type: ignore[arg-type]
            shares = [(parameters[name] - r.low) / (r.high - r.low) for name, r in CUT_IN.parameters.items()]
            found.add(tuple(int(4 * u) for u in shares))
        return found

    train, held_out = cells("train"), cells("eval")
    assert len(train) > 100 < len(held_out)
    assert not train & held_out
    with pytest.raises(ConfigError, match="did you mean 'eval'"):
        CUT_IN.sample(0, "evl")  # type: ignore[arg-type]


def test_criticality_goes_from_easy_to_hard() -> None:
    easy, hard = CUT_IN.at(0.0).parameters, CUT_IN.at(1.0).parameters
    assert easy["gap"] > hard["gap"]
    assert easy["slower"] < hard["slower"]
    assert easy["wait"] == hard["wait"]
    with pytest.raises(ConfigError, match="between 0 and 1"):
        CUT_IN.at(1.5)


def test_aggressiveness_sets_what_the_hero_does_and_leaves_the_rest_to_chance() -> None:
    drawn = [CUT_IN.sample(seed, criticality=1.0).parameters for seed in range(5)]
    assert {p["gap"] for p in drawn} == {3.0}
    assert len({p["wait"] for p in drawn}) == 5
    with pytest.raises(ConfigError, match="give one of the two"):
        CUT_IN.sample(0, "train", criticality=0.5)
    env = gymnasium.make("trafficgym/CutIn-v0", criticality=0.2, num_scenes=3)
    names = {env.reset(seed=seed)[1]["scene_id"] for seed in range(20)}
    assert len(names) == 3


def test_grids_vary_what_they_are_told_to() -> None:
    grid = CUT_IN.grid(3, "gap", "slower")
    assert len(grid) == 9
    assert {scenario.parameters["gap"] for scenario in grid} == {3.0, 8.5, 14.0}
    assert len({scenario.parameters["ego_speed"] for scenario in grid}) == 1
    with pytest.raises(ConfigError, match="no parameter 'gpa'; did you mean 'gap'"):
        CUT_IN.grid(2, "gpa")


def test_parameters_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="seed is -1; give a whole number"):
        CUT_IN.sample(-1)
    with pytest.raises(ConfigError, match=r"seed is 0\.5; give a whole number"):
        CUT_IN.at(0.5, seed=0.5)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="gap is nan m; it lies between"):
        CUT_IN.concrete({"gap": float("nan")})
    with pytest.raises(ConfigError, match="gap is 50 m; it lies between 3 and 14"):
        CUT_IN.concrete({"gap": 50.0})


def test_a_scenario_survives_its_file(tmp_path: Path) -> None:
    scenario = CUT_IN.sample(5)
    scenario.save(tmp_path / "one.json")
    again = load_scenario(tmp_path / "one.json")
    assert again.id == scenario.id
    assert digest(again.scene) == digest(scenario.scene)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "trafficgym scenario 99"}, "its format is 'trafficgym scenario 99'"),
        ({"version": 99}, "holds version 99 of 'cut-in', and this trafficgym has version 1"),
        ({"family": "cut-im"}, "did you mean 'cut-in'"),
        ({"parameters": {"gap": 5.0}}, "parameter 'ego_speed' is missing"),
        ({"parameters": {"gap": "far"}}, "parameters must be numbers"),
        ({"seed": None}, "seed a whole number"),
    ],
)
def test_files_that_cannot_be_used_say_why(tmp_path: Path, change: dict, message: str) -> None:
    path = tmp_path / "one.json"
    CUT_IN.sample(5).save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ConfigError, match=message):
        load_scenario(path)
    path.write_text("{")
    with pytest.raises(ConfigError, match=r"one\.json: is not JSON"):
        load_scenario(path)
    with pytest.raises(ConfigError, match=r"none\.json: cannot be read"):
        load_scenario(tmp_path / "none.json")
    with pytest.raises(ConfigError, match="no family is called 'cutin'; did you mean 'cut-in'"):
        find_family("cutin")


def test_lazy_scenes_are_made_once_and_go_by_number() -> None:
    made: list[int] = []

    def make(i: int):  # type: ignore[no-untyped-def]
        made.append(i)
        return nominal_scene(i)

    scenes = LazyScenes(make, 10)
    assert scenes[3] is scenes[3]
    assert scenes[-7] is scenes[3]
    assert made == [3]
    assert [scene.id for scene in scenes[2:4]] == [nominal_scene(2).id, nominal_scene(3).id]
    with pytest.raises(IndexError):
        scenes[10]
    with pytest.raises(SceneError, match="go by number, 0 to 9"):
        scenes[nominal_scene(2).id]  # type: ignore[call-overload]


def test_the_mixture_has_its_share_of_the_long_tail() -> None:
    long_tail, nominal = family_scenes([CUT_IN], size=4), nominal_scenes(2)
    scenes = mixture(long_tail, nominal, alpha=0.3)
    share = np.mean([bool(scenes[i].scripts) for i in range(400)])
    assert share == pytest.approx(0.3, abs=0.07)
    assert [scenes[i].id for i in range(9)] == [mixture(long_tail, nominal, alpha=0.3)[i].id for i in range(9)]
    assert not any(mixture(long_tail, nominal, alpha=0.0)[i].scripts for i in range(20))
    assert all(mixture(long_tail, nominal, alpha=1.0)[i].scripts for i in range(20))
    with pytest.raises(ConfigError, match="alpha is 2"):
        mixture(long_tail, nominal, alpha=2)


def test_the_learner_drives_all_but_the_hero_in_the_mixture() -> None:
    """Equation 3 of RTR, through the vector environment with its default control."""
    env = trafficgym.vector_env(mixture(family_scenes([CUT_IN]), nominal_scenes(4)), num_worlds=6, num_agents=12)
    _, info = env.reset(seed=0)
    for b, scene in enumerate(env.world.scenes):  # type: ignore[union-attr]
        driven = set(info["track_id"][b][info["alive"][b]].tolist())
        heroes = {int(scene.tracks.id[track]) for track in scene.scripts}
        assert not driven & heroes
        assert len(driven) == min(scene.num_agents - len(heroes), 12)
    assert any(scene.scripts for scene in env.world.scenes)  # type: ignore[union-attr]
    observation, reward, *_ = env.step(np.zeros(env.action_space.shape))
    assert np.isfinite(observation).all()
    assert np.isfinite(reward).all()


def test_environments_of_families() -> None:
    env = gymnasium.make("trafficgym/CutIn-v0", split="eval")
    _, info = env.reset(seed=3)
    assert info["scene_id"].startswith("cut-in/")
    with pytest.raises(ConfigError, match=r"use trafficgym/Scene-v0"):
        gymnasium.make("trafficgym/CutIn-v0", scenes=nominal_scenes(1))
    with pytest.raises(ConfigError, match="split is 'tests'"):
        gymnasium.make("trafficgym/CutIn-v0", split="tests").reset()
    vector = gymnasium.make_vec("trafficgym/LongTail-v0", num_envs=3)
    _, info = vector.reset(seed=0)
    assert len(set(info["scene_id"])) == 3
