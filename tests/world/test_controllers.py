"""Who drives whom."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.world.micro import Box, micro_scene, straight
from trafficgym.errors import ConfigError
from trafficgym.scene.scene import AgentType, Scene
from trafficgym.world.controllers import Policy, RandomPolicy, assign_drivers, select
from trafficgym.world.dynamics import Bicycle, Verlet
from trafficgym.world.state import Driver
from trafficgym.world.world import World, WorldConfig


@pytest.fixture
def street() -> Scene:
    """0 the SDC, drives; 1 a parked car; 2 a pedestrian who walks, to be predicted; 3 a cyclist not there at the
    start; 4 a cone; 5 a car that drives 1.9 m."""
    return micro_scene(
        Box(x=straight(0, 10, 5), speed=10.0, sdc=True),
        Box(x=20),
        Box(x=straight(30, 8, 5), kind=AgentType.PEDESTRIAN, to_predict=True),
        Box(x=straight(40, 10, 5), kind=AgentType.CYCLIST, valid=[False, True, True, True, True]),
        Box(x=50, kind=AgentType.OTHER),
        Box(x=[60, 60.5, 61, 61.5, 61.9]),
        num_steps=5,
    )


@pytest.mark.parametrize(
    ("selector", "tracks"),
    [
        ("all", [0, 1, 2, 3, 4, 5]),
        ("vehicle", [0, 1, 5]),
        ("pedestrian", [2]),
        ("cyclist", [3]),
        ("other", [4]),
        ("moving", [0, 2]),
        ("parked", [1, 3, 4, 5]),
        ("moving vehicle", [0]),
        ("parked vehicle", [1, 5]),
        ("sdc", [0]),
        ("to_predict", [2]),
        ("of_interest", []),
        ("ego", [0]),
        (2, [2]),
        (np.int64(5), [5]),
    ],
)
def test_selectors(street: Scene, selector: Any, tracks: list[int]) -> None:
    assert np.flatnonzero(select(street, selector, 0)).tolist() == tracks


def test_the_ego_without_an_sdc() -> None:
    """The first track to predict, else the vehicle that goes furthest, else whoever does; never one not there."""
    walker = Box(x=straight(0, 50, 5), kind=AgentType.PEDESTRIAN)
    slow, fast = Box(x=straight(0, 5, 5)), Box(x=straight(0, 10, 5))

    def ego(*boxes: Box) -> list[int]:
        return np.flatnonzero(select(micro_scene(*boxes, num_steps=5), "ego", 0)).tolist()

    assert ego(walker, slow, fast) == [2]
    assert ego(walker, slow, Box(to_predict=True), Box(to_predict=True)) == [2]
    assert ego(walker, Box(x=9, kind=AgentType.PEDESTRIAN)) == [0]
    assert ego(walker, Box(x=5)) == [1]
    late = [False, True, True, True, True]
    assert ego(walker, Box(sdc=True, valid=late), slow) == [2]
    assert ego(Box(valid=late)) == []


def drivers(scene: Scene, control: Any, policies: list[Policy] | None = None) -> list[int]:
    return assign_drivers(scene, control, 0, [] if policies is None else policies).driver.tolist()


LOG, EXTERNAL, IDM, CV, POLICY = (
    int(d) for d in (Driver.LOG, Driver.EXTERNAL, Driver.IDM, Driver.CONSTANT_VELOCITY, Driver.POLICY)
)


def test_the_last_selector_that_fits_wins(street: Scene) -> None:
    assert drivers(street, {"all": "idm", "sdc": "external"}) == [EXTERNAL, IDM, IDM, LOG, IDM, IDM]
    assert drivers(street, {"sdc": "external", "all": "idm"}) == [IDM, IDM, IDM, LOG, IDM, IDM]
    assert drivers(street, {"vehicle": "external", 5: "constant_velocity"}) == [EXTERNAL, EXTERNAL, LOG, LOG, LOG, CV]
    assert drivers(street, {}) == [LOG] * 6
    # Somebody given to the log again is no policy's any more.
    found = assign_drivers(street, {"all": "random", "sdc": "log"}, 0, [])
    assert found.driver.tolist() == [LOG, POLICY, POLICY, LOG, POLICY, POLICY]
    assert found.policy.tolist() == [-1, 0, 0, -1, 0, 0]


def test_equal_policies_are_one_and_others_are_numbered(street: Scene) -> None:
    policies: list[Policy] = []
    mine = RandomPolicy()
    assign_drivers(street, {"all": "random", "sdc": mine}, 0, policies)
    found = assign_drivers(street, {0: mine, 1: "random", 2: RandomPolicy()}, 0, policies)
    assert found.policy[:3].tolist() == [1, 0, 2]
    assert len(policies) == 3


@pytest.mark.parametrize(
    ("control", "message"),
    [
        ("externl", "no driver is called 'externl'; did you mean 'external'"),
        ({"vehicles": "idm"}, "no selector is called 'vehicles'; did you mean 'vehicle'"),
        ({"moving sdk": "idm"}, "no selector is called 'sdk'; did you mean 'sdc'"),
        ({("sdc",): "idm"}, r"a selector is a track id or words such as 'vehicle moving', got \('sdc',\)"),
        ({"": "idm"}, "a selector is a track id or words"),
        ({7: "idm"}, r"scene 'micro' has no track 7; its ids: \[0, 1, 2"),
        ({"all": 3.0}, "a driver is a name or a Policy"),
        ({"all": None}, "a driver is a name or a Policy"),
    ],
)
def test_a_slip_of_the_pen_is_an_error_that_names_the_nearest(street: Scene, control: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        drivers(street, control)
    with pytest.raises(ConfigError, match=message):
        World([street], control=control)


def test_external_agents_come_first_then_policies(street: Scene) -> None:
    control = {"all": "idm", 5: "external", 2: "random", 4: "constant_velocity", 0: "log"}
    world = World([street], control=control)
    assert world.track[0].tolist() == [5, 2, 1, 4, 0, 3]
    assert world.controller[0].tolist() == [EXTERNAL, POLICY, IDM, CV, LOG, LOG]
    assert world.agents.tolist() == [[True]]


@pytest.mark.parametrize("dynamics", [Bicycle(), Verlet(), Verlet(steps_per_action=5)])
def test_random_drives_alone_as_it_does_in_a_batch(street: Scene, dynamics: Any) -> None:
    """The numbers that a world draws depend neither on how many slots nor on how many worlds there are beside it."""
    crowd = micro_scene(*(Box(y=9.0 * i, speed=1.0) for i in range(20)), num_steps=5)
    config = WorldConfig(horizon=20)
    alone = World([street], control="random", dynamics=dynamics, config=config, seeds=[7])
    batch = World([crowd, street], control="random", dynamics=dynamics, config=config, seeds=[3, 7])
    for _ in range(20 // dynamics.steps_per_action):
        alone.step()
        batch.step()
    assert np.isfinite(batch.state.table).all()
    assert batch.state.table[1, :6].tobytes() == alone.state.table[0].tobytes()
    assert not np.array_equal(batch.state.x[0, :5], crowd.tracks.x[:5, -1])
