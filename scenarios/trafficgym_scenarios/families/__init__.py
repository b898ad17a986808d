"""All families of logical scenarios, by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from trafficgym.errors import ConfigError, nearest_key
from trafficgym_scenarios.families.following import FOLLOWING
from trafficgym_scenarios.families.highway_held_out import HIGHWAY_HELD_OUT
from trafficgym_scenarios.families.intersections import INTERSECTIONS, INTERSECTIONS_HELD_OUT
from trafficgym_scenarios.families.lane_changes import LANE_CHANGES
from trafficgym_scenarios.families.merging import MERGING
from trafficgym_scenarios.families.streets import STREETS, STREETS_HELD_OUT
from trafficgym_scenarios.families.vulnerable import VULNERABLE, VULNERABLE_HELD_OUT
from trafficgym_scenarios.scenario import FORMAT, ConcreteScenario, LogicalScenario

FAMILIES: Mapping[str, LogicalScenario] = MappingProxyType(
    {
        family.name: family
        for family in (
            *FOLLOWING,
            *LANE_CHANGES,
            *MERGING,
            *VULNERABLE,
            *INTERSECTIONS,
            *STREETS,
            *HIGHWAY_HELD_OUT,
            *VULNERABLE_HELD_OUT,
            *INTERSECTIONS_HELD_OUT,
            *STREETS_HELD_OUT,
        )
    }
)
"""25 to train on, then 11 that are held out."""
TRAINED = tuple(family for family in FAMILIES.values() if not family.held_out)
HELD_OUT = tuple(family for family in FAMILIES.values() if family.held_out)


def find_family(name: str) -> LogicalScenario:
    """Return the family of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in FAMILIES:
        raise ConfigError(f"no family is called {name!r}; {nearest_key(name, FAMILIES)}")
    return FAMILIES[name]


def load_scenario(path: str | Path) -> ConcreteScenario:
    """Read a concrete scenario that was saved as JSON.

    Raises:
        ConfigError: there is no such file, it is no scenario, or it is of another version.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{path}: is not JSON: {error}") from error
    expected = f"trafficgym scenario {FORMAT}"
    found = content.get("format") if isinstance(content, dict) else None
    if found != expected:
        raise ConfigError(f"{path}: its format is {found!r}; this trafficgym reads {expected!r}")
    missing = [key for key in ("family", "version", "parameters", "seed") if key not in content]
    if missing:
        raise ConfigError(f"{path}: {missing[0]!r} is missing")
    family = find_family(str(content["family"]))
    if content["version"] != family.version:
        raise ConfigError(
            f"{path}: holds version {content['version']} of {family.name!r}, and this trafficgym has version "
            f"{family.version}; draw the scenario anew, or install the version of trafficgym that saved it"
        )
    try:
        parameters = {str(name): float(value) for name, value in content["parameters"].items()}
        seed = int(content["seed"])
    except (AttributeError, TypeError, ValueError) as error:
        raise ConfigError(f"{path}: parameters must be numbers by name, and seed a whole number") from error
    absent = [name for name in family.parameters if name not in parameters]
    if absent:
        raise ConfigError(f"{path}: parameter {absent[0]!r} is missing")
    return family.concrete(parameters, seed=seed)
