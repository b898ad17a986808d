"""The named sets: how many, of which families, and that nothing that is evaluated was trained on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from trafficgym_scenarios import sets
from trafficgym_scenarios.families import FAMILIES
from trafficgym_scenarios.scenario import CELLS, ConcreteScenario
from trafficgym_scenarios.sets import (
    FINGERPRINTS,
    LONGTAIL_EVAL,
    LONGTAIL_OOD,
    LONGTAIL_TRAIN,
    NOMINAL_EVAL,
    NOMINAL_TRAIN,
    fingerprint,
)

TRAINED = [name for name, family in FAMILIES.items() if not family.held_out]
HELD_OUT = [name for name, family in FAMILIES.items() if family.held_out]


def cell(scenario: ConcreteScenario) -> tuple[int, ...]:
    """Which field of the chequerboard over the ranges of its family a scenario lies in."""
    ranges = scenario.family.parameters
    shares = [(scenario.parameters[name] - one.low) / (one.high - one.low) for name, one in ranges.items()]
    return tuple(int(share * CELLS) for share in shares)


@pytest.mark.parametrize(
    ("scenarios", "num", "families"),
    [(LONGTAIL_TRAIN, 167, TRAINED), (LONGTAIL_EVAL, 166, TRAINED), (LONGTAIL_OOD, 84, HELD_OUT)],
    ids=["train", "eval", "ood"],
)
def test_a_set_has_its_size_and_all_its_families_equally(
    scenarios: Sequence[ConcreteScenario], num: int, families: list[str]
):
    assert len(scenarios) == num
    assert len({scenario.id for scenario in scenarios}) == num
    share = Counter(scenario.family.name for scenario in scenarios)
    assert set(share) == set(families)
    assert max(share.values()) - min(share.values()) <= 1


def test_what_is_evaluated_was_never_trained_on():
    for scenario in LONGTAIL_TRAIN:
        assert sum(cell(scenario)) % 2 == 0, scenario.id
    for scenario in LONGTAIL_EVAL:
        assert sum(cell(scenario)) % 2 == 1, scenario.id
    trained = {(scenario.family.name, cell(scenario)) for scenario in LONGTAIL_TRAIN}
    assert not trained & {(scenario.family.name, cell(scenario)) for scenario in LONGTAIL_EVAL}


def test_their_scenes_can_be_made():
    for scenarios in (LONGTAIL_TRAIN, LONGTAIL_EVAL, LONGTAIL_OOD):
        assert [scenario.scene.id for scenario in scenarios[::40]] == [scenario.id for scenario in scenarios[::40]]


def test_a_fingerprint_tells_sets_apart():
    first = LONGTAIL_TRAIN[0]
    harder = first.family.concrete(first.parameters, seed=first.seed + 1)
    again = first.family.concrete(first.parameters, seed=first.seed)
    assert fingerprint([again, *LONGTAIL_TRAIN[1:]]) == fingerprint(LONGTAIL_TRAIN)
    assert fingerprint([harder, *LONGTAIL_TRAIN[1:]]) != fingerprint(LONGTAIL_TRAIN)
    assert fingerprint(LONGTAIL_TRAIN[::-1]) != fingerprint(LONGTAIL_TRAIN)


@pytest.mark.parametrize("name", ["LONGTAIL_TRAIN", "LONGTAIL_EVAL", "LONGTAIL_OOD"])
def test_the_sets_are_what_they_were(name: str):
    assert fingerprint(getattr(sets, name)) == FINGERPRINTS[name]


def test_nominal_sets_are_of_20_s_and_do_not_overlap():
    assert (len(NOMINAL_TRAIN), len(NOMINAL_EVAL)) == (465, 115)
    last, first = NOMINAL_TRAIN[-1], NOMINAL_EVAL[0]
    assert last.num_steps == first.num_steps == 201
    assert (last.id.rpartition("-")[2], first.id.rpartition("-")[2]) == ("464", "465")
