"""The training scripts of SMART, from scenes to a table, and what they say to bad input."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from trafficgym.errors import ConfigError
from trafficgym.scene.writer import SceneWriter
from trafficgym_agents.policies.smart.checkpoint import load_smart
from trafficgym_agents.policies.smart.trajtok import SMALL_TRAJTOK
from trafficgym_agents.policies.smart.vocabulary_builder import build_vocabulary
from trafficgym_agents.training.worker import Worker
from trafficgym_agents.training.workers import run_workers
from trafficgym_baselines import catk, evaluate_simulators, pretrain_smart, road
from trafficgym_scenarios import NominalConfig, nominal_scenes
from trafficgym_scenarios.roads import Interval


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten small scenes in a store, and a vocabulary."""
    folder = tmp_path_factory.mktemp("smart")
    scenes = nominal_scenes(10, 0, NominalConfig(num_agents=Interval(4, 6)))
    with SceneWriter(folder / "scenes") as writer:
        for scene in scenes:
            writer.add(scene)
    motions = replace(SMALL_TRAJTOK, max_tokens=64)
    build_vocabulary(scenes[:4], rng=np.random.default_rng(0), motions=motions).save(folder / "vocabulary.safetensors")
    return folder


def pretraining(folder: Path, name: str, **options: object) -> pretrain_smart.Args:
    known = {"scenes": folder / "scenes", "vocabulary": folder / "vocabulary.safetensors", "batch": 2, "steps": 3}
    return pretrain_smart.Args(**known | {"out": folder / name} | options)


@pytest.fixture(scope="module")
def base(folder: Path) -> Path:
    """A checkpoint after three steps."""
    pretrain_smart.train(pretraining(folder, "base"), Worker())
    return folder / "base/smart.safetensors"


def losses(run: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_pretraining_gives_the_same_weights_twice_and_says_what_they_are_made_of(folder: Path, base: Path) -> None:
    pretrain_smart.train(pretraining(folder, "again"), Worker())
    card, again = load_smart(base)[1], load_smart(folder / "again/smart.safetensors")[1]
    assert card.sha256 == again.sha256  # of weights and vocabulary; the note has the seconds that it took
    assert card.algorithm == "behaviour cloning" and card.note["steps"] == 3 and "scenes" in card.data


def test_two_workers_learn_what_one_does(folder: Path, base: Path) -> None:
    run_workers(pretrain_smart.train, pretraining(folder, "two", workers=2, steps=1), 2)
    pretrain_smart.train(pretraining(folder, "one", steps=1), Worker())
    # Not the same numbers, as nodes that attention leaves out are drawn by each worker.
    np.testing.assert_allclose(losses(folder / "two"), losses(folder / "one"), rtol=0.05)


@pytest.mark.parametrize("refresh", [2, None])
def test_fine_tuning_goes_on_where_it_was(folder: Path, base: Path, refresh: int | None) -> None:
    def args(name: str, epochs: float) -> road.Args:
        common = {"checkpoint": base, "scenes": folder / "scenes", "num_scenes": 4, "batch": 2}
        return road.Args(**common, epochs=epochs, rate=0.0, refresh=refresh, k=4, out=folder / name)

    road.train(args(f"whole{refresh}", 4), Worker())
    road.train(args(f"parts{refresh}", 1.5), Worker())  # three steps, and so in the middle of an epoch
    road.train(args(f"parts{refresh}", 4), Worker())
    assert losses(folder / f"parts{refresh}") == losses(folder / f"whole{refresh}")
    assert len(losses(folder / f"whole{refresh}")) == 8
    if refresh is None:  # the rate is 0: what is visited once has the same loss in every epoch
        epochs = np.reshape(losses(folder / "wholeNone"), (4, 2)).sum(1)
        np.testing.assert_allclose(epochs, epochs[0], rtol=0.1)


def test_catk_learns_and_is_scored_beside_others(
    folder: Path, base: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    catk.train(
        catk.Args(checkpoint=base, scenes=folder / "scenes", num_scenes=4, batch=2, epochs=1, out=folder / "catk"),
        Worker(),
    )
    tuned, card = load_smart(folder / "catk/smart.safetensors")
    assert card.algorithm == "CAT-K" and card.parent == load_smart(base)[1].sha256
    before = load_smart(base)[0].state_dict()
    changed = {name for name, value in tuned.state_dict().items() if not torch.equal(value, before[name])}
    assert changed and not any(name.startswith("map_encoder.") for name in changed)
    command = ["--simulators", f"bc={base}", f"catk={folder / 'catk/smart.safetensors'}", "log", "constant_velocity"]
    command += ["--scenes", str(folder / "scenes"), "--rollouts", "2", "--out", str(folder / "scores")]
    monkeypatch.setattr("sys.argv", ["evaluate_simulators", *command])
    capsys.readouterr()
    evaluate_simulators.main()
    first = capsys.readouterr().out
    table = json.loads((folder / "scores/table.json").read_text())
    assert table["log"]["metametric"]["mean"][0] > table["bc"]["metametric"]["mean"][0]
    assert table["bc"]["metametric"]["difference"] == [0.0, 0.0, 0.0]
    num_lines = len((folder / "scores/scenes.jsonl").read_text().splitlines())
    evaluate_simulators.main()  # nothing is scored again
    assert capsys.readouterr().out == first
    assert len((folder / "scores/scenes.jsonl").read_text().splitlines()) == num_lines == 4 * 2
    monkeypatch.setattr("sys.argv", ["evaluate_simulators", *command, "--habits"])
    evaluate_simulators.main()
    assert "pooled over 2 scenes\n" in capsys.readouterr().out
    habits = json.loads((folder / "scores/habits.json").read_text())
    assert habits["log"]["jerk_jsd"] == [0.0, 0.0, 0.0] and habits["constant_velocity"]["jerk_jsd"][0] > 0.1
    kept = [json.loads(line) for line in (folder / "scores/scenes.jsonl").read_text().splitlines()]
    old = [line | {"row": {key: line["row"][key] for key in evaluate_simulators.COLUMNS}} for line in kept]
    (folder / "scores/scenes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in [*old[:1], *kept[1:]]))
    evaluate_simulators.main()  # one was kept by a version that did not count habits
    assert "pooled over 1 scenes of 2" in capsys.readouterr().out
    (folder / "scores/scenes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in old))
    evaluate_simulators.main()
    assert "no scene has those of every simulator" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["bc=nowhere.safetensors"], "no checkpoint"),
        (["idm", "idm"], "called 'idm'"),
        (["smart"], "say name=checkpoint"),
    ],
)
def test_simulators_that_are_none_are_named(given: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        evaluate_simulators.parse(given)


def test_a_vocabulary_and_a_checkpoint_are_too_much(folder: Path, base: Path) -> None:
    with pytest.raises(ConfigError, match="not both"):
        pretrain_smart.train(pretraining(folder, "both", init=base), Worker())
