"""Logical scenarios, families with ranges, and the concrete ones drawn from them."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.random import Generator

from trafficgym.errors import ConfigError, names_nearest, nearest_key
from trafficgym.scene.atomic import write_atomically
from trafficgym.scene.scene import Scene
from trafficgym_scenarios.ids import gym_id
from trafficgym_scenarios.roads.interval import Interval
from trafficgym_scenarios.stage import Actor, DoesNotFit, Stage, compose

Split = Literal["any", "train", "eval"]
SPLITS = ("any", "train", "eval")
FORMAT = 1
TRIES = 50
CELLS = 4
"""Each range is cut into so many cells; a chequerboard of them is held out for evaluation."""


def _check_seed(seed: int) -> None:
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise ConfigError(f"seed is {seed!r}; give a whole number, 0 or more")


def check_split(split: Split) -> Split:
    """Return `split`; raise ConfigError unless there is such a one."""
    if split not in SPLITS:
        raise ConfigError(f"split is {split!r}; {nearest_key(str(split), SPLITS)}")
    return split


@names_nearest
@dataclass(frozen=True, kw_only=True)
class Range:
    """A parameter of a family: what it may be, and which end is harder for the ego.

    Raises:
        ConfigError: the range is empty or reversed, or a speed is too high to be in m/s.
    """

    low: float
    high: float
    unit: str
    about: str
    harder: Literal["low", "high", "neither"] = "neither"

    def __post_init__(self) -> None:
        Interval(self.low, self.high, self.unit)
        if self.low == self.high:
            raise ConfigError(
                f"{self.about}: the range from {self.low} to {self.high} {self.unit} is empty or reversed"
            )

    def at(self, share: float) -> float:
        """The value at a share of the way from the low end to the high one."""
        return self.low + share * (self.high - self.low)

    def harder_at(self, criticality: float) -> float:
        """The value at a share of the way from the easy end to the hard one; the middle where neither is harder."""
        return self.at({"low": 1 - criticality, "high": criticality, "neither": 0.5}[self.harder])


Parameters = Mapping[str, float]


@dataclass(frozen=True, kw_only=True, eq=False)
class Plot:
    """Who takes part in a concrete scenario."""

    stage: Stage
    ego: Actor
    others: Sequence[Actor]
    """Heroes, and whatever else the story needs."""
    traffic: Sequence[Actor] = ()
    """Who is only there to fill the road; a real scene has its own."""


Need = Literal["left", "right", "beside", "opposite", "kerb", "parking"]
"""A lane on the ego's left, right, or either, in its direction; an oncoming one; edges; room to park at the right."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Setting:
    """Where a story can be told: on stages that are generated, and on others that have what it needs."""

    generate: Callable[[Parameters, Generator], Stage]
    needs: tuple[Need, ...] = ()
    """What a stage must have beside the ego's lane."""


@names_nearest
@dataclass(frozen=True, kw_only=True, eq=False)
class LogicalScenario:
    """A family of scenarios: a story with a hero, and the ranges of its parameters.

    Raises:
        ConfigError: there is no parameter.
    """

    name: str
    """As on the command line, ``cut-in``."""
    story: str
    """One sentence."""
    parameters: Mapping[str, Range]
    write: Callable[..., Plot]
    """``write(parameters, rng, stage)`` places everybody on a stage; what else is random comes from the generator.
    Without a `setting` it is called without a stage."""
    road: str
    """Kind of road, for tables."""
    setting: Setting | None = None
    """None: the story can be told on its own generated roads only."""
    held_out: bool = False
    """Kept for evaluation: nothing is trained on it."""
    version: int = 1
    """Raised whenever the same parameters and seed give another scene."""
    warm_up: float = 1.0
    """s in which no trigger fires."""

    def __post_init__(self) -> None:
        if not self.parameters:
            raise ConfigError(f"family {self.name!r} has no parameter")

    def __str__(self) -> str:
        return self.name

    @property
    def gym_id(self) -> str:
        """Its Gymnasium id, ``trafficgym/CutIn-v0``."""
        return gym_id(self.name)

    def sample(self, seed: int, split: Split = "any", *, criticality: float | None = None) -> ConcreteScenario:
        """Draw a concrete scenario.

        Args:
            seed: Of the parameters and of everything else.
            split: ``"train"`` or ``"eval"`` draw from the white or the black fields of a chequerboard over the ranges,
                so that parameters that were evaluated were never trained on.
            criticality: How aggressive the hero is, from 0 to 1: parameters with a harder end lie at that share of the
                way to it, and only the others are drawn, from all of their range.
        """
        check_split(split)
        _check_seed(seed)
        rng = np.random.default_rng([seed, zlib.crc32(self.name.encode())])
        while True:
            share = rng.random(len(self.parameters))
            is_eval = bool((share * CELLS).astype(int).sum() % 2)
            if split == "any" or is_eval == (split == "eval"):
                break
        values = {name: one.at(float(u)) for (name, one), u in zip(self.parameters.items(), share, strict=True)}
        if criticality is not None:
            if split != "any":
                raise ConfigError(f"criticality sets parameters that split {split!r} would draw; give one of the two")
            set_by_it = self.at(criticality).parameters
            values |= {name: set_by_it[name] for name, one in self.parameters.items() if one.harder != "neither"}
        return self.concrete(values, seed=seed)

    def at(self, criticality: float, seed: int = 0) -> ConcreteScenario:
        """The scenario whose every parameter lies at that share of the way from its easy end to its hard one."""
        if not 0 <= criticality <= 1:
            raise ConfigError(f"criticality is {criticality}; it lies between 0 and 1")
        return self.concrete({name: one.harder_at(criticality) for name, one in self.parameters.items()}, seed=seed)

    def grid(self, num: int, *names: str, seed: int = 0) -> list[ConcreteScenario]:
        """All combinations of `num` values of the named parameters, evenly from end to end; others in the middle.

        Args:
            num: Values of each.
            names: Of the parameters; none: all that have a harder end.
        """
        for name in names:
            self._check_name(name)
        names = names or tuple(name for name, one in self.parameters.items() if one.harder != "neither")
        levels = np.linspace(0, 1, num) if num > 1 else [0.5]
        middle = {name: one.at(0.5) for name, one in self.parameters.items()}
        return [
            self.concrete(
                middle | {name: self.parameters[name].at(float(u)) for name, u in zip(names, at, strict=True)},
                seed=seed,
            )
            for at in product(levels, repeat=len(names))
        ]

    def concrete(self, parameters: Parameters, *, seed: int = 0) -> ConcreteScenario:
        """The scenario of given parameters; those left out are in the middle of their range.

        Raises:
            ConfigError: no parameter of that name, a value outside its range, or a negative seed.
        """
        _check_seed(seed)
        for name, value in parameters.items():
            self._check_name(name)
            one = self.parameters[name]
            if not one.low - 1e-9 <= value <= one.high + 1e-9:
                raise ConfigError(
                    f"{self.name}: {name} is {value:g} {one.unit}; it lies between {one.low:g} and {one.high:g}"
                )
        whole = {name: float(parameters.get(name, one.at(0.5))) for name, one in self.parameters.items()}
        return ConcreteScenario(family=self, parameters=whole, seed=seed)

    def plot(self, parameters: Parameters, rng: Generator) -> Plot:
        """Everybody in a concrete scenario on a generated road.

        Raises:
            DoesNotFit: they do not fit this road; draw again.
        """
        if self.setting is None:
            return self.write(parameters, rng)
        return self.write(parameters, rng, self.setting.generate(parameters, rng))

    def _check_name(self, name: str) -> None:
        if name not in self.parameters:
            raise ConfigError(f"{self.name} has no parameter {name!r}; {nearest_key(name, self.parameters)}")


@dataclass(frozen=True, kw_only=True)
class ConcreteScenario:
    """One scenario, reproducible from family, version, parameters and seed."""

    family: LogicalScenario
    parameters: Parameters
    seed: int

    @property
    def id(self) -> str:
        """``cut-in/<hash of version and parameters>-<seed>``, also the id of its scene."""
        named = json.dumps([self.family.version, sorted(self.parameters.items())])
        return f"{self.family.name}/{zlib.crc32(named.encode()):08x}-{self.seed}"

    @cached_property
    def scene(self) -> Scene:
        """The scene, with its hero's script; the same bytes every time.

        Raises:
            ConfigError: the parameters leave no room for the actors, whatever else is drawn.
        """
        for attempt in range(TRIES):
            rng = np.random.default_rng([self.seed, zlib.crc32(self.id.encode()), attempt])
            try:
                plot = self.family.plot(self.parameters, rng)
                return compose(
                    self.id, plot.stage, plot.ego, [*plot.others, *plot.traffic], warm_up=self.family.warm_up
                )
            except DoesNotFit as problem:
                reason = problem
        raise ConfigError(f"{self.id}: {reason} in {TRIES} tries; parameters {dict(self.parameters)}")

    def save(self, path: str | Path) -> None:
        """Write it as JSON."""
        content = {
            "format": f"trafficgym scenario {FORMAT}",
            "family": self.family.name,
            "version": self.family.version,
            "parameters": dict(self.parameters),
            "seed": self.seed,
        }
        write_atomically(Path(path), json.dumps(content, indent=2) + "\n")
