"""Headway, jerk and lane changes, worked out by hand on a straight road of two lanes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.scene.make_scene import LANE_WIDTH, make_scene
from trafficgym.errors import ConfigError, SceneError
from trafficgym.metrics.habits import HEADWAY_BINS, JERK_BINS, Habits, divergences
from trafficgym.scene.scene import AgentType, Links, Scene

STEPS = 0.1 * np.arange(1, 81)  # s after the current one; then vehicle i is at x = 20 + 20 i


def rollouts_of(scene: Scene, **of_first: np.ndarray) -> np.ndarray:
    """The log as one rollout, with x, y or yaw of the first vehicle replaced."""
    tracks, future = scene.tracks, slice(scene.current_step + 1, None)
    motion = np.stack([getattr(tracks, name)[:, future] for name in ("x", "y", "z", "yaw")], -1)
    for name, values in of_first.items():
        motion[0, :, ("x", "y", "z", "yaw").index(name)] = values
    return motion[None]


def moved(scene: Scene, track: int, **by: float) -> Scene:
    values = {name: getattr(scene.tracks, name).copy() for name in by}
    for name, distance in by.items():
        values[name][track] += distance
    return replace(scene, tracks=replace(scene.tracks, **values))


def full_bins(counts: np.ndarray, bins) -> dict[float, int]:
    """How many are in each bin that has any, by its lower border."""
    return {round(float(bins.edges[k]), 6): int(counts[k]) for k in np.flatnonzero(counts)}


def test_headway_is_the_gap_between_bumpers_over_the_speed() -> None:
    # Vehicle 2 is 40 m ahead of vehicle 0 in its lane: 35.5 m from bumper to bumper at 10 m/s, so 3.55 s. Vehicle 1 has
    # the left lane for itself, and vehicle 2 is not evaluated.
    counts = Habits(make_scene()).of_log()
    # At 5, 10, ..., 75 steps, for at the last no speed is known, though behind the lane's end at x = 200 nobody is.
    assert full_bins(counts.headway, HEADWAY_BINS) == {3.5: 15}


@pytest.mark.parametrize(
    "change",
    [
        {"y": np.full(80, LANE_WIDTH)},  # the left lane, in which vehicle 1 is only 20 m away
        {"x": 20 + 1.0 * STEPS},  # too slow for a headway to mean anything
        {"x": 70 + 10 * STEPS},  # nobody is ahead
        {"y": np.full(80, -5.0)},  # on no lane
        {"yaw": np.full(80, np.pi), "x": 70 - 10 * STEPS},  # against the lane, towards vehicle 2
    ],
)
def test_headway_is_defined_only_behind_a_leader_in_the_lane(change: dict[str, np.ndarray]) -> None:
    scene = make_scene()
    found = full_bins(Habits(scene).of(rollouts_of(scene, **change)).headway, HEADWAY_BINS)
    assert 3.5 not in found
    assert found == ({1.5: 15} if change.keys() == {"y"} and change["y"][0] > 0 else {})


def test_pedestrians_do_not_lead_and_have_no_habits() -> None:
    scene = make_scene()
    walking = replace(scene, tracks=replace(scene.tracks, type=np.array([1, 1, AgentType.PEDESTRIAN], np.int8)))
    assert Habits(walking).of_log().headway.sum() == 0
    nobody = replace(scene, tracks=replace(scene.tracks, type=np.full(3, AgentType.PEDESTRIAN, np.int8)))
    counts = Habits(nobody).of_log()
    assert counts.headway.sum() == counts.jerk.sum() == counts.lane_steps == 0
    assert np.isnan(counts.lane_changes_per_minute) and np.isnan(divergences(counts, counts)["headway"])


def test_jerk_of_growing_acceleration() -> None:
    scene = make_scene()
    # x = 20 + 10 t + 0.5 t^3 has a jerk of 3 m/s^3; from the current step on, 81 states have 72 spans of 0.9 s.
    first = Habits(scene).of(rollouts_of(scene, x=20 + 10 * STEPS + 0.25 + 0.375 * STEPS**3))
    assert first.jerk.sum() == 2 * 72
    smooth = Habits(scene).of(rollouts_of(scene, x=20 + 10 * STEPS + (2.25 / 6) * STEPS**3))
    assert full_bins(smooth.jerk, JERK_BINS).get(2.0) == 72  # of the first: 2.25 m/s^3
    still = full_bins(smooth.jerk, JERK_BINS)
    assert sum(still.get(low, 0) for low in (-0.5, 0.0)) == 72  # of the second, at constant speed


def test_jerk_is_the_same_in_a_bend() -> None:
    scene = make_scene()
    angle = 10 * STEPS / 50  # a circle of 50 m at 10 m/s
    bend = rollouts_of(scene, x=20 + 50 * np.sin(angle), y=50 - 50 * np.cos(angle), yaw=angle)
    assert set(full_bins(Habits(scene).of(bend).jerk, JERK_BINS)) <= {-0.5, 0.0}


def swerve(after: float) -> dict[str, np.ndarray]:
    """To the left by `after` m within 3 s, and on."""
    return {"y": after * np.clip(STEPS / 3, 0, 1)}


def test_a_lane_change_is_counted_once_and_per_minute() -> None:
    scene = make_scene()
    counts = Habits(scene).of(rollouts_of(scene, **swerve(LANE_WIDTH)))
    assert counts.lane_changes == 1  # of two vehicles over 81 states each
    assert counts.lane_changes_per_minute == pytest.approx(60 / (2 * 8.1))


def test_what_is_no_lane_change() -> None:
    scene = make_scene()
    assert Habits(scene).of_log().lane_changes == 0  # both go from one half of their lane into the next
    assert Habits(scene).of(rollouts_of(scene, **swerve(1.9))).lane_changes == 0  # across the line and no further
    there_and_back = {"y": 1.9 * np.sin(np.pi * STEPS / 4)}
    assert Habits(scene).of(rollouts_of(scene, **there_and_back)).lane_changes == 0


def test_neither_a_fork_nor_the_end_of_a_lane_is_a_lane_change() -> None:
    scene = make_scene()
    # The left half leads into the second halves of both lanes, so the right one is a way on, which begins aside.
    fork = replace(scene.road, successors=Links.from_lists([[1], [], [1, 3], [], [], [], []]))
    aside = {"x": 60 + 10 * STEPS, "y": LANE_WIDTH - LANE_WIDTH * np.clip((STEPS - 3.0) / 2, 0, 1)}
    start = moved(scene, 0, x=40, y=LANE_WIDTH)
    assert Habits(start).of(rollouts_of(start, **aside)).lane_changes == 1
    forked = replace(start, road=fork)
    assert Habits(forked).of(rollouts_of(forked, **aside)).lane_changes == 0
    # Without links, nothing leads anywhere: rates are unknown rather than wrong.
    none = replace(scene, road=replace(scene.road, successors=Links.empty(7), predecessors=Links.empty(7)))
    assert np.isnan(Habits(none).of_log().lane_changes_per_minute)
    # With links elsewhere, the lane of vehicle 0 ends at x = 100, and another begins there: it is beside nothing.
    ended = replace(scene, road=replace(scene.road, successors=Links.from_lists([[], [], [3], [], [], [], []])))
    assert Habits(ended).of_log().lane_changes == 0


def test_only_steps_count_at_which_the_log_is_valid() -> None:
    scene = make_scene()
    valid = scene.tracks.valid.copy()
    valid[0, 51:] = False  # vehicle 0 after 4 s
    lost = replace(scene, tracks=replace(scene.tracks, valid=valid))
    nowhere = rollouts_of(lost, x=np.where(STEPS > 4.05, np.nan, 20 + 10 * STEPS))
    for counts in (Habits(lost).of_log(), Habits(lost).of(nowhere)):
        assert counts.headway.sum() == 7  # 0.5 s to 3.5 s; the speed at 4 s would need the step after
        assert counts.jerk.sum() == 32 + 72
        assert counts.lane_steps == 41 + 81


def test_counts_add_up_and_replaying_the_log_diverges_by_nothing() -> None:
    scene = make_scene()
    habits, log = Habits(scene), rollouts_of(scene)
    one, many = habits.of(log), habits.of(np.repeat(log, 4, 0))
    total = one + one + one + one
    assert np.array_equal(total.headway, many.headway) and np.array_equal(total.jerk, many.jerk)
    assert (total.lane_changes, total.lane_steps) == (many.lane_changes, many.lane_steps)
    assert divergences(many, habits.of_log()) == {"headway": 0.0, "jerk": 0.0}
    far = habits.of(rollouts_of(scene, x=45 + 10 * STEPS))  # 10.5 m behind the leader: no bin in common
    assert divergences(far, one)["headway"] == pytest.approx(np.log(2))


def test_habits_do_not_depend_on_where_the_scene_lies() -> None:
    scene = make_scene()
    counts, angle = Habits(scene).of(rollouts_of(scene, **swerve(3.4))), 0.7
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    tracks, road = scene.tracks, scene.road
    x, y = np.moveaxis(np.stack([tracks.x, tracks.y], -1) @ turn, -1, 0)
    xyz = np.concatenate([road.xyz[:, :2] @ turn, road.xyz[:, 2:]], 1).astype(np.float32)
    yaw = (tracks.yaw + angle).astype(np.float32)
    turned = replace(
        scene,
        tracks=replace(tracks, x=x.astype(np.float32), y=y.astype(np.float32), yaw=yaw),
        road=replace(road, xyz=xyz),
    )
    motion = rollouts_of(scene, **swerve(3.4))
    motion[..., :2], motion[..., 3] = motion[..., :2] @ turn, motion[..., 3] + angle
    found = Habits(turned).of(motion)
    assert np.array_equal(found.headway, counts.headway)
    assert (found.lane_changes, found.lane_steps) == (counts.lane_changes, counts.lane_steps)


@pytest.mark.parametrize("shape", [(3, 80, 4), (1, 2, 80, 4), (1, 3, 80, 3), (1, 3, 0, 4)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=r"rollouts must be .* = \(R, 3, T, 4\)"):
        Habits(make_scene()).of(np.zeros(shape))


def test_what_has_no_habits_is_refused() -> None:
    with pytest.raises(SceneError, match="ends at its current step"):
        Habits(make_scene(num_steps=11))
    scene = make_scene()
    with pytest.raises(ConfigError, match="not finite"):
        Habits(scene).of(rollouts_of(scene, x=np.full(80, np.inf)))
