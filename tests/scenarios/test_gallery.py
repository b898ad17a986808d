"""The gallery shows the families as they are: `python docs/make_gallery.py` writes it."""

from __future__ import annotations

import re
from pathlib import Path

import pygame
import pytest

from trafficgym_scenarios.families import FAMILIES
from trafficgym_scenarios.scenario import LogicalScenario

DOCS = Path(__file__).resolve().parents[2] / "docs"
PICTURES = DOCS / "images" / "families"
ROW = re.compile(r"^\| `(\w+)` \| (\S+) to (\S+) \| (.+) \| (low|high|neither) \| (.+) \|$", re.MULTILINE)

families = pytest.mark.parametrize("family", FAMILIES.values(), ids=str)


def sections() -> dict[str, str]:
    """The text of the page below each family's name."""
    _, *parts = re.split(r"^### (.+)$", (DOCS / "gallery.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_the_page_has_the_families_there_are():
    assert list(sections()) == list(FAMILIES)


@families
def test_a_family_is_shown_as_it_is(family: LogicalScenario):
    text = sections()[family.name]
    assert family.story in text
    assert f"`{family.gym_id}` · road: {family.road} · {'held out' if family.held_out else 'to train on'}" in text
    shown = {row[0]: row[1:] for row in ROW.findall(text)}
    assert list(shown) == list(family.parameters)
    for name, (low, high, *words) in shown.items():
        one = family.parameters[name]
        assert (float(low), float(high)) == pytest.approx((one.low, one.high), rel=1e-5)
        assert words == [one.unit, one.harder, one.about]


@families
def test_its_picture_is_there_and_small(family: LogicalScenario):
    path = PICTURES / f"{family.name}.png"
    assert f"(images/families/{path.name})" in sections()[family.name]
    assert path.stat().st_size < 25_000
    assert pygame.image.load(path).get_width() > 800


def test_no_picture_is_left_of_a_family_that_is_gone():
    assert {path.stem for path in PICTURES.iterdir()} == set(FAMILIES)
