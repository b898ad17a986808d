"""Policies of installed packages by name, wherever a driver or a policy can be named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from tests.scene.make_scene import make_scene
from tests.world import make_policies
from tests.world.make_policies import Drawer
from trafficgym.cli.main import main
from trafficgym.errors import ConfigError
from trafficgym.report.evaluation import EvaluationConfig, evaluate
from trafficgym.report.realism import RealismConfig, evaluate_realism
from trafficgym.report.source import SceneSource
from trafficgym.scene.store import SceneWriter
from trafficgym.world import named_policies
from trafficgym.world.named_policies import named_policy, policy_names
from trafficgym.world.roll_out import is_random, roll_out, roll_out_batch
from trafficgym.world.state import Driver
from trafficgym.world.world import World, WorldConfig
from trafficgym_scenarios import nominal_scenes

SHORT = WorldConfig(horizon=20)


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if a package with the policies ``drawer`` and ``heavy`` were installed."""
    monkeypatch.setattr(named_policies, "entry_points", make_policies.entry_points)
    named_policy.cache_clear()
    yield
    named_policy.cache_clear()


def test_all_worlds_share_one_policy_for_each_name_and_argument() -> None:
    control = {"all": "drawer", "sdc": "drawer:a/b:c.ckpt"}
    worlds = [World([make_scene(), make_scene("b")], control=control, config=SHORT) for _ in range(2)]
    assert worlds[0].policies == worlds[1].policies
    first, second = worlds[0].policies
    assert isinstance(first, Drawer)
    assert isinstance(second, Drawer)
    assert (first.argument, second.argument) == (None, "a/b:c.ckpt")
    assert (worlds[0].controller[0] == Driver.POLICY).sum() > 1


def test_names_are_listed_without_loading_what_is_behind_them() -> None:
    assert policy_names() == ["drawer", "heavy"]
    EvaluationConfig(policies=("heavy:big.ckpt", "log"))  # is driven elsewhere, in processes of their own


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("drawr:a.ckpt", "no policy is called 'drawr:a.ckpt'; did you mean 'drawer'"),
        ("idmm", "did you mean 'idm'"),
        ("idm:a.ckpt", "no policy is called 'idm:a.ckpt'"),
        (
            "heavy",
            r"policy 'heavy' \(no_such_package.policy:make\) cannot be loaded: No module named 'no_such_package'",
        ),
        ("drawer:missing.ckpt", "missing.ckpt: there is no checkpoint"),
    ],
)
def test_what_cannot_be_had_is_named(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        roll_out(make_scene(), name, config=SHORT)
    with pytest.raises(ConfigError, match=message.replace("no policy", "no driver")):
        World([make_scene()], control=name)
    with pytest.raises(ConfigError, match="no installed package has a policy 'drawr'; did you mean 'drawer'"):
        named_policy("drawr")


@pytest.mark.parametrize("policy", ["random", "drawer", "idm"])
def test_rollouts_driven_together_are_those_driven_one_by_one(policy: str) -> None:
    seeds = [5, 17, 5]
    together = roll_out_batch(make_scene(), policy, seeds, control="moving", config=SHORT)
    for run, seed in zip(together, seeds, strict=True):
        alone = roll_out(make_scene(), policy, seed=seed, control="moving", config=SHORT)
        assert (run.policy, run.seed) == (policy, seed)
        for name in ("x", "y", "z", "yaw", "vx", "vy", "state", "onset", "collision_with", "at_fault", "present"):
            assert getattr(run, name).tobytes() == getattr(alone, name).tobytes(), name
    assert np.array_equal(together[0].x, together[2].x)
    assert np.array_equal(together[0].x, together[1].x) != is_random(policy)


def test_it_drives_the_background_of_an_ego() -> None:
    options: dict[str, Any] = {"scenes": [make_scene()], "background": "drawer:x", "world": WorldConfig(horizon=30)}
    env = gymnasium.make("trafficgym/Scene-v0", **options).unwrapped
    env.reset(seed=1)
    for _ in range(7):
        env.step(np.zeros(2, np.float32))
    world: World = env.vector.world  # type: ignore[attr-defined]
    assert world.memory_of(named_policy("drawer:x"))["asked"] == [[10, 15]]


def test_evaluations_and_pictures_take_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with SceneWriter(Path("val")) as writer:
        for scene in nominal_scenes(1, seed=4):
            writer.add(scene)
    val = SceneSource(path=Path("val"), max_scenes=None, seed=0)
    evaluation = evaluate(val, EvaluationConfig(policies=("drawer:x",), rollouts=2))
    realism = evaluate_realism(val, RealismConfig(policies=("drawer:x",), rollouts_per_scene=3))
    assert evaluation.rows[0].policy == realism.rows[0].policy == "drawer:x"
    simulated = realism.outcomes[0].policies[0].simulated["linear_speed"]
    assert (simulated % 3 != 0).any()  # three rollouts that differ

    small = ["--size", "100", "100", "--step", "9"]
    assert main(["record", "val", "a.png", "--policy", "drawer:x", *small]) == 0
    assert main(["record", "--family", "slow-lead", "--background", "drawer:x", "b.png", *small]) == 0
    assert main(["record", "--family", "slow-lead", "c.png", *small]) == 0
    assert Path("b.png").read_bytes() != Path("c.png").read_bytes()
    assert named_policy.cache_info().misses == 1
