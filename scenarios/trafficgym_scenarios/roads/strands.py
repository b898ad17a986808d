"""Roads of one direction: lanes that run beside a course, join it and leave it.

A strand is one lane from where it begins to where it ends, given by its distance from the course. Everything else
follows from the strands: where they are cut into features, which lane leads into which, which lie side by side, and
the painted lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trafficgym.scene.scene import RoadType
from trafficgym_scenarios.roads.builder import LaneStyle, RoadBuilder
from trafficgym_scenarios.roads.path import Path

Array = NDArray[np.float64]

STEP = 2.0  # m between the points of a lane
SEGMENT = 250.0  # m, longest feature
SAME = 0.1  # m
GORE = 2.0  # lane widths between the centres of lanes that part or join, up to which the line between them is white


@dataclass(frozen=True, kw_only=True)
class Strand:
    """One lane: its knots (s, d) in metres, joined by curves that run along the course at each knot."""

    knots: tuple[tuple[float, float], ...]
    style: LaneStyle
    enters: str | None = None  # the end of the road where traffic comes in; None: it splits off another lane
    leaves: str | None = None  # None: it ends in another lane
    rank: int = 1

    @property
    def start(self) -> float:
        """m along the course."""
        return self.knots[0][0]

    @property
    def end(self) -> float:
        """m along the course."""
        return self.knots[-1][0]

    def mirrored(self, length: float, *, leaves: str) -> Strand:
        """The same lane for those who drive the course, `length` metres long, from its other end."""
        knots = tuple((length - s, d) for s, d in reversed(self.knots))
        return replace(self, knots=knots, enters=self.leaves, leaves=leaves)

    def d(self, s: ArrayLike) -> Array:
        """Distance to the left of the course at `s`, m: between two knots a quintic, flat at both."""
        at, offset = (np.array(column) for column in zip(*self.knots, strict=True))
        s = np.asarray(s, np.float64)
        k = np.searchsorted(at[1:-1], s, side="right")
        u = np.minimum(np.maximum((s - at[k]) / (at[k + 1] - at[k]), 0.0), 1.0)
        return np.asarray(offset[k] + (offset[k + 1] - offset[k]) * u**3 * (10 - 15 * u + 6 * u**2))


def curved(length: float, bend: float, half_waves: int, heading: float) -> Path:
    """A course of curvature ``bend * sin(half_waves * pi * s / length)``: straight, a curve, or an S, without a jolt.

    Args:
        length: m.
        bend: Largest curvature, 1/m, positive to the left.
        half_waves: 1 for a curve, 2 for an S.
        heading: At the start, rad.
    """
    at = np.linspace(0.0, length, round(length / STEP) + 1)
    wave = half_waves * np.pi / length
    yaw = heading + bend / wave * (1.0 - np.cos(wave * (at[1:] + at[:-1]) / 2))
    steps = np.diff(at)[:, None] * np.column_stack([np.cos(yaw), np.sin(yaw)])
    return Path(np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)]))


@dataclass(frozen=True, kw_only=True)
class Lines:
    """Which lines are painted at the sides of a carriageway; None for none."""

    left: RoadType | None = RoadType.LINE_SOLID_SINGLE_YELLOW
    right: RoadType | None = RoadType.LINE_SOLID_SINGLE_WHITE


def lay(builder: RoadBuilder, course: Path, strands: Sequence[Strand], lines: Lines | None = None) -> list[list[int]]:
    """Add the lanes and lines of `strands` to a road; returns the lane features of each strand in driving order."""
    knots = {s for strand in strands for s in (knot[0] for knot in strand.knots)}
    sections = _Sections(builder, course, strands, lines or Lines())
    for start, end in pairwise(_cut(sorted(knots))):
        sections.add(start, end)
    for strand, lanes in zip(strands, sections.laid, strict=True):
        xy = np.concatenate([builder.points(lane) for lane in lanes])
        builder.pave_lane(xy, strand.style, enters=strand.enters is not None, leaves=strand.leaves is not None)
    for name in {strand.enters: None for strand in strands if strand.enters is not None}:
        entering = [i for i, strand in enumerate(strands) if strand.enters == name]
        entering.sort(key=lambda i: strands[i].knots[0][1])
        builder.enters(name, [sections.laid[i][0] for i in entering])
    for strand, lanes in zip(strands, sections.laid, strict=True):
        if strand.leaves is not None:
            builder.leaves(strand.leaves, lanes[-1:])
    return sections.laid


def _cut(stations: Sequence[float]) -> list[float]:
    """`stations`, and others between them, so that no section is longer than `SEGMENT`."""
    pieces = [np.linspace(a, b, int(np.ceil((b - a) / SEGMENT)) + 1)[:-1].tolist() for a, b in pairwise(stations)]
    return [s for piece in pieces for s in piece] + [stations[-1]]


class _Sections:
    """Lanes laid section by section: between two cuts all that are there begin and end together."""

    def __init__(self, builder: RoadBuilder, course: Path, strands: Sequence[Strand], lines: Lines) -> None:
        self.builder = builder
        self.course = course
        self.strands = strands
        self.lines = lines
        self.laid: list[list[int]] = [[] for _ in strands]
        self.before: dict[int, tuple[int, float]] = {}  # the section before: feature, and where it ended

    def add(self, start: float, end: float) -> None:
        here = [i for i, strand in enumerate(self.strands) if strand.start <= start and end <= strand.end]
        s = np.linspace(start, end, max(round((end - start) / STEP), 1) + 1)
        d = {i: self.strands[i].d(s) for i in here}
        here.sort(key=lambda i: float(d[i].mean()))
        lanes = {}
        for i in here:
            strand = self.strands[i]
            lanes[i] = self.builder.lane(self.course.xy(s, d[i]), strand.style, rank=strand.rank)
        self._link(lanes, start, {i: float(d[i][0]) for i in here})
        for right, left in pairwise(here):
            if self._is_beside(right, left, d):
                self.builder.beside(lanes[right], lanes[left])
        self._paint(here, s, d)
        for i in here:
            self.laid[i].append(lanes[i])
        self.before = {i: (lanes[i], float(d[i][-1])) for i in here}

    def _link(self, lanes: dict[int, int], start: float, d: dict[int, float]) -> None:
        """Lead each lane into its own next piece, and into what lies where it ends, or splits off it there."""
        for i, (before, ended_at) in self.before.items():
            ends = self.strands[i].end == start and self.strands[i].leaves is None
            for j, lane in lanes.items():
                splits = self.strands[j].start == start and self.strands[j].enters is None
                meets = abs(d[j] - ended_at) < SAME
                if i == j or ((ends or splits) and meets):
                    self.builder.link(before, lane)

    def _is_beside(self, right: int, left: int, d: dict[int, Array]) -> bool:
        apart = (self.strands[right].style.width + self.strands[left].style.width) / 2
        return bool(np.abs(d[left] - d[right] - apart).max() < SAME)

    def _paint(self, here: Sequence[int], s: Array, d: dict[int, Array]) -> None:
        """Broken lines between lanes side by side, solid ones elsewhere, none where lanes lie over one another."""
        for order, i in enumerate(here):
            width = self.strands[i].style.width
            others = np.array([d[j] - d[i] for j in here if j != i]).reshape(-1, len(s))
            apart = width - SAME
            if order + 1 < len(here) and self._is_beside(i, here[order + 1], d):
                self._line(s, d[i] + width / 2, RoadType.LINE_BROKEN_SINGLE_WHITE, np.ones(len(s), bool))
            else:
                is_free = np.all((others <= -SAME) | (others >= apart), axis=0)
                is_gore = np.any((others >= apart) & (others < GORE * width), axis=0)
                self._line(s, d[i] + width / 2, self.lines.left, is_free & ~is_gore)
                self._line(s, d[i] + width / 2, RoadType.LINE_SOLID_SINGLE_WHITE, is_free & is_gore)
            if order == 0 or not self._is_beside(here[order - 1], i, d):
                is_free = np.all((others <= -apart) | (others >= -SAME), axis=0)
                self._line(s, d[i] - width / 2, self.lines.right, is_free)

    def _line(self, s: Array, d: Array, kind: RoadType | None, where: NDArray[np.bool_]) -> None:
        """Paint a line, if it is of any kind, in those places."""
        if kind is None:
            return
        bounds = np.flatnonzero(np.diff(np.concatenate([[False], where, [False]])))
        for a, b in zip(bounds[::2], bounds[1::2], strict=True):
            if b - a > 1:
                every = [*range(a, b - 1, 2), b - 1]
                self.builder.line(self.course.xy(s[every], d[every]), kind)
