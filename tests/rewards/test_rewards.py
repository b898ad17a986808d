"""Rewards of a hand-made world: one world, two agents and a prop, with answers worked out on paper."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.scene.make_scene import make_scene
from trafficgym.errors import ConfigError
from trafficgym.rewards import (
    Collision,
    DisplacementError,
    Goal,
    Infraction,
    OffRoad,
    Progress,
    RedLight,
    Reward,
    SpeedLimit,
    WrongWay,
    ade_and_collision,
)
from trafficgym.scene.scene import Scene
from trafficgym.world.events import Event, Events


def row(*values: Any, dtype: Any = np.float32) -> np.ndarray:
    return np.array([values], dtype)


def make_world(**changes: Any) -> Any:
    """Agents 0 and 1, and a prop that must never show up in a reward. Agent 0 is 5 m from its log, agent 1 has none."""
    world = {
        "num_agents": 2,
        "agents": row(True, True, dtype=bool),
        "previous": SimpleNamespace(present=row(True, True, True, dtype=bool)),
        "state": SimpleNamespace(x=row(13, 0, 50), y=row(4, 0, 50), speed=row(10, 12, 99)),
        "log_x": row(10, 0, 0),
        "log_y": row(0, 0, 0),
        "log_valid": row(True, False, True, dtype=bool),
        "speed_limit": row(15, 0, 15),
        "goal": np.array([[[14.0, 4.0], [0.0, 3.0], [50.0, 50.0]]], np.float32),
        "has_goal": row(True, True, True, dtype=bool),
        "truncated": np.array([False]),
    }
    return SimpleNamespace(**{**world, **changes})


def make_events(onset: tuple[int, ...] = (0, 0, 0), state: tuple[int, ...] | None = None) -> Events:
    none = Events.none(1, 3)
    return replace(none, onset=row(*onset, dtype=np.uint8), state=row(*(state or onset), dtype=np.uint8))


def values(reward: Reward, world: Any = None, events: Events | None = None) -> list[float]:
    out = reward(world or make_world(), events or make_events())
    assert out.shape == (1, 2)
    assert out.dtype == np.float32
    return out[0].tolist()


def test_infraction_is_minus_one_once_for_both_kinds_together() -> None:
    both = Event.COLLISION | Event.OFF_ROAD
    assert values(Infraction(), events=make_events((both, 0, both))) == [-1.0, 0.0]
    assert values(Infraction(), events=make_events((0, Event.RED_LIGHT, 0), (both, both, both))) == [0.0, 0.0]


@pytest.mark.parametrize(
    ("term", "event"),
    [
        (Collision, Event.COLLISION),
        (OffRoad, Event.OFF_ROAD),
        (WrongWay, Event.WRONG_WAY),
        (RedLight, Event.RED_LIGHT),
    ],
)
def test_indicators_count_their_own_event_when_it_begins_or_while_it_holds(term: Any, event: Event) -> None:
    events = make_events(onset=(event, 255 & ~event, event), state=(event, event, event))
    assert values(term(), events=events) == [1.0, 0.0]
    assert values(term(holding=True), events=events) == [1.0, 1.0]


def test_displacement_is_the_distance_to_the_log_where_there_is_one() -> None:
    assert values(DisplacementError()) == [5.0, 0.0]


def test_ade_and_collision_counts_neither_where_the_log_is_not_valid() -> None:
    events = make_events(state=(Event.COLLISION, Event.COLLISION, 0), onset=(0, 0, 0))
    assert values(ade_and_collision(2.0), events=events) == [-7.0, 0.0]


def test_speed_limit_is_half_a_point_at_the_limit_and_nothing_where_it_is_unknown() -> None:
    assert values(SpeedLimit()) == pytest.approx([0.5 * 25 / 30, 0.0])
    racing = SimpleNamespace(speed=row(15, 60, 0))
    assert values(SpeedLimit(), make_world(state=racing, speed_limit=row(15, 15, 15))) == pytest.approx([0.5, 0.0])


def test_goal_soft_counts_when_it_is_first_reached_and_hard_only_at_the_end() -> None:
    reached = make_events(onset=(Event.GOAL, 0, 0))
    assert values(Goal(), events=reached) == [1.0, 0.0]
    assert values(Goal(criterion="hard"), events=reached) == [0.0, 0.0]
    over = make_world(truncated=np.array([True]))  # agent 0 is 1 m from its goal, agent 1 is 3 m away
    assert values(Goal(criterion="hard"), over) == [1.0, 0.0]
    assert values(Goal(criterion="hard", radius=3.0), over) == [1.0, 1.0]
    assert values(
        Goal(criterion="hard"), make_world(truncated=np.array([True]), has_goal=row(0, 1, 1, dtype=bool))
    ) == [
        0.0,
        0.0,
    ]


def test_sums_scale_and_name_their_terms() -> None:
    reward = -1.0 * Collision() - OffRoad() * 0.5 - 0.1 * DisplacementError() + Collision()
    events = make_events(onset=(Event.COLLISION | Event.OFF_ROAD, Event.OFF_ROAD, 0))
    terms = reward.terms(make_world(), events)
    assert {name: v[0].tolist() for name, v in terms.items()} == {
        "collision": [0.0, 0.0],
        "off_road": [-0.5, -0.5],
        "displacement": [-0.5, 0.0],
    }
    assert values(reward, events=events) == [-1.0, -0.5]
    assert values(-reward, events=events) == [1.0, 0.5]


def test_the_dead_and_those_who_never_were_earn_nothing() -> None:
    reward = Infraction() + DisplacementError()
    events = make_events(onset=(Event.COLLISION,) * 3)
    died = make_world(previous=SimpleNamespace(present=row(False, True, True, dtype=bool)))
    assert values(reward, died, events) == [0.0, -1.0]
    assert values(reward, make_world(agents=row(True, False, dtype=bool)), events) == [4.0, 0.0]


@pytest.mark.parametrize(
    "make", [lambda: SpeedLimit(tolerance=0.0), lambda: Goal(criterion="middle"), lambda: Goal(radius=-1.0)]
)
def test_impossible_options_are_refused(make: Any) -> None:
    with pytest.raises(ConfigError, match="is "):
        make()


# --- progress needs a real scene, whose vehicles drive east at 10 m/s -------------------------------------------------


@pytest.fixture(scope="module")
def scene() -> Scene:
    return make_scene(num_agents=3)


def progress(scene: Scene, old: tuple[float, float], new: tuple[float, float], track: int = 0) -> float:
    """Of one agent that is the given track of the scene, and goes from `old` to `new`."""
    world = make_world(
        num_agents=1,
        agents=row(True, dtype=bool),
        scenes=[scene],
        track=row(track, dtype=np.int32),
        previous=SimpleNamespace(x=row(old[0]), y=row(old[1]), present=row(True, dtype=bool)),
        state=SimpleNamespace(x=row(new[0]), y=row(new[1])),
    )
    return float(Progress()(world, make_events())[0, 0])


def test_progress_is_what_is_gained_along_the_logged_path(scene: Scene) -> None:
    # Track 0 is logged from (10, 0) to (100, 0), track 1 from (30, 3.5) to (120, 3.5).
    assert progress(scene, (20, 0), (23, 4)) == pytest.approx(3.0)  # sideways motion gains nothing
    assert progress(scene, (20, 0), (18, 0)) == pytest.approx(-2.0)
    assert progress(scene, (99, 0), (140, 0)) == pytest.approx(1.0)  # the log ends at 100
    assert progress(scene, (20, 3), (40, 3), track=1) == pytest.approx(10.0)  # it begins at 30


def test_progress_of_a_parked_log_is_zero(scene: Scene) -> None:
    shaken = replace(scene.tracks, x=np.random.default_rng(0).normal(50, 0.05, scene.tracks.x.shape).astype(np.float32))
    assert progress(replace(scene, tracks=shaken), (50, 0), (80, 0)) == 0.0
