"""Goals for the agents of worlds, by their names or from the worlds themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trafficgym.errors import ConfigError, nearest_key
from trafficgym.world.world import World

Float = NDArray[np.float32]
Bool = NDArray[np.bool_]

Goals = Mapping[str | int, Sequence[float]]
"""Of some agents of a world, x and y [m] in the scene frame: by name, as in a parallel environment, or by slot."""
GoalSource = Literal["none", "world"] | Callable[[World], Float]
"""Nobody has a goal; everybody has the world's (`World.goal`); or what a function says, ``[B, N, 2]`` m, NaN: none."""


def goals_of(
    source: GoalSource, world: World, given: Goals | Sequence[Goals] | None, mine: Bool, policy: str
) -> Float | None:
    """Where slots are to go.

    Args:
        source: For those that are not named.
        world: The worlds.
        given: For some agents; with more than one world, a mapping for each.
        mine: Slots that a policy drives, bool ``[B, N]``; others get no goal.
        policy: Its name, for messages.

    Returns:
        float32 ``[B, N, 2]`` m in the scene frame, NaN where there is none; None: nobody has one.

    Raises:
        ConfigError: an agent is not there or not the policy's, a goal is no position, or their number does not fit.
    """
    if source == "none" and given is None:
        return None
    goals = np.full((*mine.shape, 2), np.nan, np.float32)
    if source == "world":
        goals = np.where(world.has_goal[..., None], world.goal, np.float32(np.nan))
    elif not isinstance(source, str):
        goals = np.array(source(world), np.float32)
        if goals.shape != (*mine.shape, 2):
            raise ConfigError(f"policy {policy!r}: goals have shape {goals.shape}; give {(*mine.shape, 2)}")
    goals[~mine] = np.nan
    for b, named in enumerate(_by_world(given, world.num_worlds, policy)):
        for agent, goal in named.items():
            goals[b, _slot(agent, mine[b], b, policy)] = _position(agent, goal, policy)
    return goals


def _by_world(given: Goals | Sequence[Goals] | None, num_worlds: int, policy: str) -> Sequence[Goals]:
    if given is None:
        return []
    listed = [given] if isinstance(given, Mapping) else list(given)
    if len(listed) != num_worlds:
        raise ConfigError(
            f"policy {policy!r}: there are {num_worlds} worlds, and goals for {len(listed)}; give a list with a "
            "mapping from agents to (x, y) for each world, {} where nobody has a goal"
        )
    return listed


def _slot(agent: str | int, mine: Bool, b: int, policy: str) -> int:
    names = {f"agent_{slot}": slot for slot in np.flatnonzero(mine).tolist()}
    slot = names.get(agent) if isinstance(agent, str) else int(agent)
    if slot not in names.values():
        raise ConfigError(
            f"policy {policy!r} drives no agent {agent!r} in world {b}; {nearest_key(str(agent), names)}"
            if names
            else f"policy {policy!r} drives nobody in world {b}, and {agent!r} is to have a goal"
        )
    assert slot is not None
    return slot


def _position(agent: str | int, goal: Sequence[float], policy: str) -> Float:
    found = np.asarray(goal, np.float32)
    if found.shape != (2,) or not np.isfinite(found).all():
        raise ConfigError(
            f"policy {policy!r}: the goal of {agent!r} is {goal!r}; give x and y in metres, or leave the agent out"
        )
    return found
