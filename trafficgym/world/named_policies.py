"""Policies of installed packages, by name.

A package says which it has by entry points of the group ``trafficgym.policies``, such as::

    [project.entry-points."trafficgym.policies"]
    smart = "trafficgym_agents.policies.smart.entry_point:smart"

Each is a function from an argument, or None, to a `Policy`. Whoever names the driver ``"smart:path/to/checkpoint"``
gets what it returns for the argument ``"path/to/checkpoint"``. What it imports is loaded when the policy is made, not
when names are listed.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from trafficgym.errors import ConfigError, nearest_key

if TYPE_CHECKING:
    from trafficgym.world.controllers import Policy

GROUP = "trafficgym.policies"


def policy_names() -> list[str]:
    """Names of the policies that installed packages have, without arguments."""
    return sorted(entry_points(group=GROUP).names)


def is_installed(driver: str) -> bool:
    """Whether an installed package has the policy of ``"name"`` or ``"name:argument"``."""
    return driver.partition(":")[0] in policy_names()


@cache
def named_policy(driver: str) -> Policy:
    """The policy of ``"name"`` or ``"name:argument"``, made once in a process, so that all worlds share it.

    Raises:
        ConfigError: no installed package has it, what it needs is not installed, or its argument is of no use.
    """
    name, _, argument = driver.partition(":")
    found = entry_points(group=GROUP, name=name)
    if not found:
        raise ConfigError(f"no installed package has a policy {name!r}; {nearest_key(name, policy_names())}")
    entry = next(iter(found))
    try:
        make = entry.load()
    except ImportError as error:
        raise ConfigError(
            f"policy {name!r} ({entry.value}) cannot be loaded: {error}; install what it needs"
        ) from error
    policy: Policy = make(argument or None)
    return policy
