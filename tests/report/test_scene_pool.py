"""Processes over scenes: nothing is lost, and a process that dies is named."""

from __future__ import annotations

import os
from collections import Counter

import pytest

from trafficgym.errors import SceneError, TrafficgymError
from trafficgym.report.scene_pool import as_done, num_processes, read_scenes


@pytest.mark.parametrize("workers", [1, 2])
def test_every_unit_is_worked_on_once(workers: int) -> None:
    assert Counter(as_done(abs, range(-20, 0), workers)) == Counter(range(1, 21))


def test_a_process_that_dies_is_an_error_that_says_so() -> None:
    with pytest.raises(TrafficgymError, match=r"one of 2 processes died.*--workers 1"):
        list(as_done(os._exit, [3], 2))


def test_a_scene_that_cannot_be_read_does_not_stop_the_others() -> None:
    class Scenes(list):
        def __getitem__(self, index):
            if index == 1:
                raise SceneError("is damaged")
            return super().__getitem__(index)

    from tests.scene.make_scene import make_scene

    found = list(read_scenes(Scenes([make_scene("a"), make_scene("b"), make_scene("c")]), range(3)))
    assert [read.scene_id for read in found] == ["a", "scene number 1", "c"]
    assert [read.problem for read in found] == ["", "is damaged", ""]
    assert found[1].scene is None


@pytest.mark.parametrize(
    ("asked", "num", "expected"), [(3, 2, 2), (3, 100, 3), (1, 100, 1), (None, 3, 1), (None, 0, 1)]
)
def test_no_more_processes_than_scenes_are_worth(asked: int | None, num: int, expected: int) -> None:
    assert num_processes(asked, num) == expected
