"""Who decides: the log, constant velocity, the intelligent driver model, or a `Policy` object.

`control` is the one argument that says who drives whom; see `assign_drivers`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from trafficgym.errors import ConfigError, nearest_key
from trafficgym.scene.scene import AgentType, Scene
from trafficgym.world.named_policies import is_installed, named_policy, policy_names
from trafficgym.world.state import Driver

if TYPE_CHECKING:
    from trafficgym.world.dynamics import Dynamics
    from trafficgym.world.world import World


@runtime_checkable
class Policy(Protocol):
    """Somebody who decides for some slots of a world.

    It does so through the dynamics of the world, once per decision of the world, unless it has an attribute
    ``dynamics``: then it is asked every ``dynamics.steps_per_action`` steps from the start of the episode on, and those
    dynamics carry out its actions in between, whatever those of the world are.

    Whatever is random comes from ``world.rng[b]``, so that a world is driven alike alone and in a batch; and a policy
    with an attribute ``is_random`` that is True gives another rollout for another seed. The same policy may drive in
    several worlds: what it remembers of an episode belongs into `World.memory_of`, and that of world b is over where
    ``world.step_index[b] == world.start_step[b]``.
    """

    name: str

    def act(self, world: World, mask: NDArray[np.bool_]) -> NDArray[np.floating]:
        """Decide.

        Args:
            world: The world before the decision; read only.
            mask: Slots that this policy drives and that are due for a decision, bool ``[B, N]``.

        Returns:
            Actions in the units of the policy's own `dynamics` or, where it has none, of `world.dynamics`,
            ``[B, N, action_size]``; read where `mask` holds.
        """
        ...


def own_dynamics(policy: Policy) -> Dynamics | None:
    """The dynamics that a policy brings, None where it acts through those of the world."""
    return getattr(policy, "dynamics", None)


class RandomPolicy:
    """Uniform actions within the bounds of the dynamics, from each world's own generator."""

    name = "random"
    is_random = True

    def act(self, world: World, mask: NDArray[np.bool_]) -> NDArray[np.floating]:
        """See `Policy.act`."""
        low, high = np.array(world.dynamics.low), np.array(world.dynamics.high)
        draws = np.zeros((*mask.shape, len(low)))
        for b, rng in enumerate(world.rng):
            # No more than are needed, so that a world draws the same numbers alone and in a batch.
            draws[b, mask[b]] = rng.random((int(mask[b].sum()), len(low)))
        if world.dynamics.num_actions is not None:
            return np.floor(draws * np.array(world.dynamics.num_actions))
        return low + draws * (high - low)


Control = str | Policy | Mapping[str | int, "str | Policy"]

_DRIVERS = {
    "external": Driver.EXTERNAL,
    "log": Driver.LOG,
    "constant_velocity": Driver.CONSTANT_VELOCITY,
    "idm": Driver.IDM,
    "hero": Driver.HERO,
}
MOVING_M = 2.0
"""A track moves if its log goes further than this from where it starts."""


class Assignment(NamedTuple):
    """Who drives each track of one scene."""

    driver: NDArray[np.int8]  # (A,) Driver
    policy: NDArray[np.int8]  # (A,) index into `policies`, -1 for none


def assign_drivers(scene: Scene, control: Control, start_step: int, policies: list[Policy]) -> Assignment:
    """Resolve `control` for one scene.

    Args:
        scene: The scene.
        control: One driver for everybody, or a mapping from selectors to drivers, applied in order, so that
            the last one that fits wins; whoever fits none follows the log. A selector is a track id (int) or
            words that must all hold: ``all``, ``vehicle``, ``pedestrian``, ``cyclist``, ``road_user`` (one of
            these three), ``other``,
            ``moving`` (its log ends more than 2 m away), ``parked``, ``sdc``, ``to_predict``, ``of_interest``,
            ``hero`` (the scene has a script for it), ``ego`` (the SDC or, where the source names none, the first
            track to predict, else the vehicle that goes furthest). Heroes follow their scripts unless a selector is
            their id, or has the word ``hero``. A driver is ``"external"``, ``"log"``, ``"constant_velocity"``,
            ``"idm"``, ``"hero"``, ``"random"``, the name of a policy of an installed package (`named_policies`), such
            as ``"smart"`` or ``"smart:path/to/checkpoint"``, or a `Policy`.
        start_step: Tracks that are not valid at this step always follow the log.
        policies: Policies met so far; new ones are appended.

    Raises:
        ConfigError: an unknown selector or driver; the message names the nearest one.
    """
    tracks = scene.tracks
    driver = np.full(tracks.num_agents, Driver.LOG, np.int8)
    heroes = select(scene, "hero", start_step)
    driver[heroes] = Driver.HERO
    index = np.full(tracks.num_agents, -1, np.int8)
    entries = control.items() if isinstance(control, Mapping) else [("all", control)]
    for selector, wanted in entries:
        chosen = select(scene, selector, start_step)
        if not _names_heroes(selector):
            chosen &= ~heroes
        if wanted == "hero" and (chosen & ~heroes).any():
            raise ConfigError(
                f"control gives {selector!r} to 'hero', but scene {scene.id!r} has scripts for heroes only"
            )
        if isinstance(wanted, str) and wanted in _DRIVERS:
            driver[chosen], index[chosen] = _DRIVERS[wanted], -1
        else:
            driver[chosen], index[chosen] = Driver.POLICY, _index_of(wanted, policies)
    absent = ~tracks.valid[:, start_step]
    driver[absent], index[absent] = Driver.LOG, -1
    return Assignment(driver, index)


def _index_of(wanted: str | Policy, policies: list[Policy]) -> int:
    if isinstance(wanted, str):
        wanted = _called(wanted, policies)
    if not isinstance(wanted, Policy) or isinstance(wanted, type):
        raise ConfigError(f"a driver is a name or a Policy (an object with `name` and `act`), got {wanted!r}")
    dynamics = own_dynamics(wanted)
    if dynamics is not None and not hasattr(dynamics, "steps_per_action"):
        raise ConfigError(f"policy {wanted.name!r} has an attribute `dynamics` that is no Dynamics: {dynamics!r}")
    if wanted not in policies:
        policies.append(wanted)
    return policies.index(wanted)


def _called(name: str, policies: list[Policy]) -> Policy:
    if name == "random":
        return next((p for p in policies if isinstance(p, RandomPolicy)), None) or RandomPolicy()
    if not is_installed(name):
        known = [*_DRIVERS, "random", *policy_names()]
        raise ConfigError(f"no driver is called {name!r}; {nearest_key(name.partition(':')[0], known)}")
    return named_policy(name)


def _names_heroes(selector: str | int) -> bool:
    return not isinstance(selector, str) or selector.isdigit() or "hero" in selector.split()


def check_selector(selector: str | int) -> None:
    """Raise ConfigError unless `selector` is a track id or known words; the message names the nearest ones."""
    if isinstance(selector, int | np.integer) or (isinstance(selector, str) and selector.isdigit()):
        return
    if not isinstance(selector, str) or not selector.split():
        raise ConfigError(f"a selector is a track id or words such as 'vehicle moving', got {selector!r}")
    for word in selector.split():
        if word not in _SELECTORS:
            raise ConfigError(f"no selector is called {word!r}; {nearest_key(word, _SELECTORS)}")


def select(scene: Scene, selector: str | int, start_step: int) -> NDArray[np.bool_]:
    """Tracks that a selector names, bool ``[A]``; see `assign_drivers`."""
    check_selector(selector)
    tracks = scene.tracks
    if isinstance(selector, int | np.integer) or selector.isdigit():
        found = tracks.id == int(selector)
        if not found.any():
            raise ConfigError(f"scene {scene.id!r} has no track {selector}; its ids: {tracks.id[:20].tolist()}...")
        return found
    chosen = np.ones(tracks.num_agents, bool)
    for word in selector.split():
        chosen &= _SELECTORS[word](scene, start_step)
    return chosen


def is_moving(scene: Scene, start_step: int) -> NDArray[np.bool_]:
    """Tracks that are valid at `start_step` and whose log ends more than 2 m from where they are then, bool ``[A]``."""
    return _travel(scene, start_step) > MOVING_M


def _travel(scene: Scene, start_step: int) -> NDArray[np.float32]:
    """Distance between the first and the last valid logged position from `start_step` on [m], float32 ``[A]``."""
    tracks = scene.tracks
    rows = np.arange(tracks.num_agents)
    last = tracks.num_steps - 1 - tracks.valid[:, ::-1].argmax(1)
    dx = tracks.x[rows, last] - tracks.x[:, start_step]
    dy = tracks.y[rows, last] - tracks.y[:, start_step]
    return np.where(tracks.valid[:, start_step], np.hypot(dx, dy), 0).astype(np.float32)


def _ego(scene: Scene, start_step: int) -> NDArray[np.bool_]:
    tracks = scene.tracks
    here = tracks.valid[:, start_step]
    chosen = np.zeros(tracks.num_agents, bool)
    for candidates in (tracks.is_sdc & here, tracks.to_predict & here):
        if candidates.any():
            chosen[candidates.argmax()] = True
            return chosen
    score = _travel(scene, start_step) + here + 1e6 * (here & (tracks.type == AgentType.VEHICLE))
    chosen[score.argmax()] = here.any()
    return chosen


_SELECTORS = {
    "all": lambda scene, step: np.ones(scene.num_agents, bool),
    "vehicle": lambda scene, step: scene.tracks.type == AgentType.VEHICLE,
    "pedestrian": lambda scene, step: scene.tracks.type == AgentType.PEDESTRIAN,
    "cyclist": lambda scene, step: scene.tracks.type == AgentType.CYCLIST,
    "road_user": lambda scene, step: np.isin(
        scene.tracks.type, [AgentType.VEHICLE, AgentType.PEDESTRIAN, AgentType.CYCLIST]
    ),
    "other": lambda scene, step: np.isin(scene.tracks.type, [AgentType.OTHER, AgentType.UNSET]),
    "moving": is_moving,
    "parked": lambda scene, step: ~is_moving(scene, step),
    "sdc": lambda scene, step: scene.tracks.is_sdc,
    "to_predict": lambda scene, step: scene.tracks.to_predict,
    "of_interest": lambda scene, step: scene.tracks.of_interest,
    "ego": _ego,
    "hero": lambda scene, step: np.isin(np.arange(scene.num_agents), list(scene.scripts)),
}
