from dataclasses import replace

import numpy as np
import pytest

from tests.metrics.make_rollout import replay, with_event
from tests.scene.make_scene import make_scene
from trafficgym.errors import ConfigError
from trafficgym.metrics import METRICS, Bootstrap, differences, measure, summarise, summarise_measures
from trafficgym.world.events import Event

FEW = Bootstrap(num_resamples=200)


def crash(scene_id, num_agents, policy="made"):
    """A scene in which one agent of `num_agents` crashes and all are 1 m beside the log."""
    rollout = replay(make_scene(scene_id, num_agents=num_agents), policy=policy)
    rollout = replace(rollout, y=rollout.y + np.float32(1))
    return with_event(rollout, Event.COLLISION, 0, 3)


def test_a_scene_weighs_as_much_as_it_has_agents():
    row = summarise([crash("a", 1), crash("b", 3)], FEW)[0]
    assert (row.policy, row.num_scenes, row.num_rollouts, row.num_agents) == ("made", 2, 2, 4)
    assert row.values["collision"].value == pytest.approx(2 / 4)
    assert row.values["ade"].value == pytest.approx(1)
    assert row.values["min_ade"].value == pytest.approx(1)


def test_every_metric_has_a_value_and_the_log_none_but_zero_errors():
    row = summarise([replay(make_scene("a")), replay(make_scene("b"))], FEW)[0]
    assert list(row.values) == [metric.key for metric in METRICS]
    for key in ("ade", "min_ade", "fde_5s", "ate", "cte", "jsd_speed", "jsd_acceleration", "jsd_lateral_offset"):
        assert row.values[key].value == pytest.approx(0, abs=1e-5), key


def test_neither_the_order_of_the_scenes_nor_that_of_the_policies_changes_a_number():
    rollouts = [crash(name, num, policy) for policy in ("x", "y") for name, num in (("a", 1), ("b", 3), ("c", 2))]
    forth = {row.policy: row for row in summarise(rollouts, FEW)}
    back = {row.policy: row for row in summarise(rollouts[::-1], FEW)}
    assert forth == back


def test_several_rollouts_of_a_scene_are_pooled_and_the_best_gives_min_ade():
    worse = crash("a", 2)
    one = measure([worse, replay(worse.scene, policy="made")])
    assert one.value("collision") == 1 / 4
    assert one.value("ade") == pytest.approx(0.5)
    assert one.value("min_ade") == pytest.approx(0, abs=1e-5)
    with pytest.raises(ConfigError, match="one scene by one policy"):
        measure([worse, crash("b", 2)])


def test_divergence_is_that_of_the_pooled_histograms():
    faster = [replace(crash(name, 2), x=crash(name, 2).x * np.float32(1.5)) for name in "ab"]
    row = summarise(faster, FEW)[0]
    assert row.values["jsd_speed"].value == pytest.approx(np.log(2))  # 15 against 10 m/s: nothing in common


def test_differences_are_over_the_scenes_that_both_have_driven():
    measures = [measure([crash(name, 2)]) for name in "ab"]
    measures += [measure([replay(make_scene(name, num_agents=2))]) for name in "bc"]
    (row,) = differences(measures, "log", FEW)
    assert (row.policy, row.num_scenes) == ("made", 1)
    assert row.values["collision"].value == pytest.approx(0.5)
    with pytest.raises(ConfigError, match="no rollout of 'idm'"):
        differences(measures, "idm", FEW)


def test_a_scene_in_which_no_agent_has_the_metric_leaves_a_hole_not_a_zero():
    empty = replace(replay(), is_simulated=np.zeros(3, bool))
    assert summarise_measures([measure([empty])], FEW)[0].values["collision"] is None
    assert measure([empty]).value("jsd_speed") is None
