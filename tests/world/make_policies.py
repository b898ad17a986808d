"""Policies that bring motion tokens with them, as objects and by name."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints

import numpy as np
from numpy.typing import NDArray

from tests.world.make_tokens import tiny_tokens
from trafficgym.errors import ConfigError
from trafficgym.world.dynamics import Dynamics
from trafficgym.world.world import World

TOKENS = tiny_tokens()


class Drawer:
    """Draws tokens from the generator of each world; notes at which steps of which worlds it was asked."""

    name = "drawer"
    is_random = True

    def __init__(self, dynamics: Dynamics | None = TOKENS) -> None:
        self.dynamics = dynamics
        self.argument: str | None = None

    def act(self, world: World, mask: NDArray[np.bool_]) -> NDArray[np.floating]:
        actions = np.zeros((*mask.shape, 1))
        asked = world.memory_of(self).setdefault("asked", [[] for _ in world.scenes])
        for b in np.flatnonzero(mask.any(1)).tolist():
            asked[b].append(int(world.step_index[b]))
            actions[b, mask[b], 0] = world.rng[b].integers(5, size=int(mask[b].sum()))
        return actions


def make_drawer(argument: str | None) -> Drawer:
    """What the entry point ``drawer`` of `entry_points` loads."""
    if argument == "missing.ckpt":
        raise ConfigError("missing.ckpt: there is no checkpoint")
    policy = Drawer()
    policy.argument = argument
    return policy


def entry_points(*, group: str, name: str | None = None) -> EntryPoints:
    """In place of `importlib.metadata.entry_points`: two policies, of which one needs what is not installed."""
    values = {"drawer": "tests.world.make_policies:make_drawer", "heavy": "no_such_package.policy:make"}
    found = EntryPoints(EntryPoint(key, value, "trafficgym.policies") for key, value in values.items())
    return found.select(group=group) if name is None else found.select(group=group, name=name)
