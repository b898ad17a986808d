"""Reinforcement of tokens, of plans and towards goals, from a checkpoint to a table."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trafficgym.errors import ConfigError
from trafficgym.scene.scene import Scene
from trafficgym.scene.writer import SceneWriter
from trafficgym_agents.algorithms.objective import Objective
from trafficgym_agents.algorithms.reinforce import Reinforce
from trafficgym_agents.policies.smart.checkpoint import load_smart, save_smart
from trafficgym_agents.policies.smart.sampling import Sampling
from trafficgym_agents.policies.smart.trajtok import SMALL_TRAJTOK
from trafficgym_agents.policies.smart.vocabulary_builder import build_vocabulary
from trafficgym_agents.policies.trajectory.checkpoint import load_trajectory
from trafficgym_agents.training.worker import Worker
from trafficgym_agents.training.workers import run_workers
from trafficgym_baselines import compare_estimators, evaluate_simulators, expert_control, pretrain_smart, rlftsim
from trafficgym_scenarios import NominalConfig, nominal_scenes
from trafficgym_scenarios.roads import Interval

METHOD = Reinforce(rollouts=2, reward_scale="batch_std")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six small scenes in a store, two of them held out, and checkpoints of both kinds of policies after a step."""
    folder = tmp_path_factory.mktemp("rlftsim")
    scenes = nominal_scenes(6, 0, NominalConfig(num_agents=Interval(4, 6)))
    with SceneWriter(folder / "scenes") as writer:
        for scene in scenes:
            writer.add(scene)
    motions = replace(SMALL_TRAJTOK, max_tokens=64)
    words = folder / "vocabulary.safetensors"
    build_vocabulary(scenes[:3], rng=np.random.default_rng(0), motions=motions).save(words)
    for kind in ("tokens", "plans"):
        options: dict[str, Any] = {"actions": kind, "scenes": folder / "scenes", "vocabulary": words}
        pretrain_smart.train(pretrain_smart.Args(**options, steps=1, batch=2, out=folder / kind), Worker())
    return folder


def args(folder: Path, name: str, **options: Any) -> rlftsim.Args:
    known = {"checkpoint": str(folder / "tokens/smart.safetensors"), "scenes": folder / "scenes", "batch": 2}
    known |= {"steps": 3, "rate": 1e-3, "evaluate": 0, "method": METHOD, "sampling": Sampling(top_k=8)}
    return rlftsim.Args(**known | {"out": folder / name} | options)  # type: ignore[arg-type]


def lines(run: Path) -> list[dict[str, float]]:
    found = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if not k.startswith("seconds")} for line in found]


GOALS: dict[str, Any] = {
    "goals": "indication",
    "hindsight": 1.0,
    "method": replace(METHOD, objective=Objective(goal=0.1)),
}


@pytest.mark.parametrize("options", [{}, GOALS])
def test_it_goes_on_where_it_was(folder: Path, options: dict[str, Any]) -> None:
    """The leash, its reference and where rollouts ended are remembered, too."""
    name = "goals" if options else "plain"
    rlftsim.train(args(folder, name, steps=4, **options), Worker())
    rlftsim.train(args(folder, f"{name}_parts", steps=2, **options), Worker())
    rlftsim.train(args(folder, f"{name}_parts", steps=4, **options), Worker())
    whole = lines(folder / name)
    assert lines(folder / f"{name}_parts") == whole and len(whole) == 4
    assert abs(whole[0]["kl"]) < 1e-6 < whole[-1]["kl"] and all(line["lost"] == 0 for line in whole)
    assert ("reached" in whole[0]) == bool(options)


def test_what_is_trained_and_what_the_card_says(folder: Path) -> None:
    rlftsim.train(args(folder, "card", trained="all_but_map"), Worker())
    (before, parent), (after, card) = (
        load_smart(folder / p) for p in ("tokens/smart.safetensors", "card/policy.safetensors")
    )
    assert card.parent == parent.sha256 and card.algorithm == "RLFTSim" and card.note["steps"] == 3
    old = before.state_dict()
    changed = {name for name, value in after.state_dict().items() if not torch.equal(value, old[name])}
    assert changed and not any(name.startswith("map_encoder.") for name in changed)
    assert any(name.startswith("agent_encoder.token_emb") for name in changed)


def test_two_workers_do_what_one_does(folder: Path) -> None:
    options: dict[str, Any] = {"batch": 4, "steps": 2}
    rlftsim.train(args(folder, "one", **options), Worker())
    run_workers(rlftsim.train, args(folder, "two", workers=2, **options), 2)
    for one, two in zip(lines(folder / "one"), lines(folder / "two"), strict=True):
        for name in ("rmm", "reward_std", "ade", "entropy", "beta"):
            assert two[name] == pytest.approx(one[name], rel=0.02), name


def test_plans_are_reinforced_and_compared(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same code, with continuous actions; at the end both are scored on the held-out scenes."""
    checkpoint = folder / "plans/trajectory.safetensors"
    rlftsim.train(args(folder, "tuned_plans", checkpoint=str(checkpoint), evaluate=2), Worker())
    before, after = load_trajectory(checkpoint)[0], load_trajectory(folder / "tuned_plans/policy.safetensors")[0]
    assert any(not torch.equal(a, b) for a, b in zip(before.parameters(), after.parameters(), strict=True))
    table = json.loads((folder / "tuned_plans/evaluation/table.json").read_text())
    assert set(table) == {"before", "after"} and "RMM" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="networks that choose tokens"):
        rlftsim.train(args(folder, "none", checkpoint=str(checkpoint), goals="indication"), Worker())


def test_who_is_told_goes_elsewhere(folder: Path) -> None:
    """Networks that learned to take goals are scored with and without them, and rows are kept apart."""
    tokens = str(folder / "tokens/smart.safetensors")
    options: dict[str, Any] = {"init": tokens, "goals": "concatenation", "scenes": folder / "scenes", "batch": 2}
    pretrain_smart.train(pretrain_smart.Args(**options, steps=2, rate=0.05, out=folder / "told"), Worker())
    network, card = load_smart(folder / "told/smart.safetensors")
    with torch.no_grad():
        network.agent_encoder.goal.columns.weight.mul_(500)  # as if it had learned for long
    save_smart(folder / "told/smart.safetensors", network, card)
    simulators = (f"told={folder / 'told/smart.safetensors'}",)
    common: dict[str, Any] = {
        "simulators": simulators,
        "scenes": folder / "scenes",
        "rollouts": 2,
        "out": folder / "rows",
    }
    kinds: tuple[Any, ...] = ("none", "log", "manoeuvre")
    found = [evaluate_simulators.compare(evaluate_simulators.Args(goals=g, **common))["told"] for g in kinds]
    assert len({str(one["min_ade"]["mean"]) for one in found}) == 3
    with pytest.raises(ConfigError, match="networks that choose tokens"):
        pretrain_smart.train(
            pretrain_smart.Args(**options | {"init": None}, actions="plans", out=folder / "x"), Worker()
        )


def test_estimators_are_compared(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["--checkpoint", str(folder / "tokens/smart.safetensors"), "--scenes", str(folder / "scenes")]
    command += ["--rollouts", "8", "--sizes", "2", "4", "8", "--out", str(folder / "estimators")]
    monkeypatch.setattr("sys.argv", ["compare_estimators", *command])
    compare_estimators.main()
    found = json.loads((folder / "estimators/estimators.json").read_text())
    for name in ("mloo", "rloo"):
        variances = found[name]["variances"]
        assert len(variances) == 3 and variances[2] < variances[0]
    assert found["mloo"]["variances"][2] < found["rloo"]["variances"][2] and found["num_scenes"] == 2


def test_slopes_are_fitted_to_logarithms() -> None:
    sizes = (2, 4, 8, 16)
    factors = np.random.default_rng(0).lognormal(size=(20, 1))
    for power in (-2.0, 0.0):
        np.testing.assert_allclose(
            compare_estimators.slopes(sizes, factors * np.array(sizes) ** power), power, atol=1e-9
        )


def test_the_law_that_made_scenes_can_be_led_away_and_back() -> None:
    """Factors of 1 drive as the law does; a step of learning changes them."""
    scene = nominal_scenes(1, 3)[0]
    one, same, other = (expert_control.drive(scene, np.full((1, 5), x), 0) for x in (0.0, 0.0, 0.5))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 1
    factors, found = expert_control.train(expert_control.Args(steps=1, batch=1, num_scenes=2))
    assert len(found) == 1 and factors.mean.abs().max() > 0
    with pytest.raises(ConfigError, match="give 5"):
        expert_control.Args(begin=(0.0,))


def test_scenes_that_cannot_be_judged_are_left_out(folder: Path, tmp_path: Path) -> None:
    """Here nobody is to be evaluated."""
    scenes = nominal_scenes(3, 0, NominalConfig(num_agents=Interval(4, 6)))
    none = np.zeros(100, bool)

    def without(scene: Scene) -> Scene:
        tracks = scene.tracks
        return replace(scene, tracks=replace(tracks, is_sdc=none[: len(tracks.id)], to_predict=none[: len(tracks.id)]))

    nobody = [without(scene) for scene in scenes[1:]]
    for name, kept in (("some", [scenes[0], scenes[1], nobody[1]]), ("none", [scenes[0], *nobody])):
        with SceneWriter(tmp_path / name) as writer:
            for scene in kept:
                writer.add(scene)
    found, data = rlftsim.scenes_to_judge(args(folder, "x", scenes=tmp_path / "some"))
    assert [scene.id for scene in found] == [scenes[1].id] and data.endswith("1 can be judged")
    with pytest.raises(ConfigError, match="in none of 2 scenes"):
        rlftsim.scenes_to_judge(args(folder, "x", scenes=tmp_path / "none"))


@pytest.mark.parametrize("options", [{"steps": 0}, {"hindsight": 2}, {"evaluate": -1}])
def test_bad_options(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        rlftsim.Args(**options)
