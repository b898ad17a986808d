"""Reward for realism: what each of R rollouts of one scene adds to the WOSAC meta-metric of all of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from trafficgym.errors import ConfigError, check_whole, names_nearest
from trafficgym.metrics.wosac import Realism, WosacConfig, fill_gaps, find_config
from trafficgym.metrics.wosac.features import Features
from trafficgym.rewards.reward import Float, Term
from trafficgym.rewards.shelf import Key, Shelf, key_of
from trafficgym.scene.scene import Scene
from trafficgym.world.history import History

if TYPE_CHECKING:
    from trafficgym.world.config import WorldConfig
    from trafficgym.world.events import Events
    from trafficgym.world.world import World

Kind = Literal["mloo", "rloo"]
Credit = Literal["scene", "agent"]


def rollout_rewards(
    realism: Realism,
    rollouts: NDArray[np.floating] | Features,
    *,
    ids: NDArray[np.integer] | None = None,
    kind: Kind = "mloo",
    credit: Credit = "scene",
) -> NDArray[np.float64]:
    """Rewards of R rollouts of one scene; they sum to 0.

    ``"mloo"``: ``R_i = (1/R) sum_j RMM_{-j} - RMM_{-i}``, where ``RMM_{-j}`` is the meta-metric of the rollouts
    without rollout j (RLFTSim, equation 2). ``"rloo"``: ``R_i = RMM_i - 1/(R-1) sum_{j != i} RMM_j``, where ``RMM_j``
    is that of rollout j alone. With ``credit="agent"`` the same is done with each evaluated agent's own likelihoods;
    no paper has this.

    Args:
        realism: Of the scene.
        rollouts: x, y, z [m], yaw [rad] in the scene frame, ``[R, A, 80, 4]``; or their `Realism.features`.
        ids: Ids of the A objects; None: all tracks of the scene in its order.
        kind: What is compared with what.
        credit: One reward per rollout, or one per evaluated agent.

    Returns:
        ``[R]``, or ``[R, E]`` in the order of ``realism.evaluated``; 0 where R is 1.

    Raises:
        ConfigError: `kind` or `credit` is unknown.
    """
    _check_choices(kind, credit)
    num = len(rollouts.displacement_error if isinstance(rollouts, Features) else rollouts)
    if num == 1:
        return np.zeros((1, len(realism.evaluated)) if credit == "agent" else 1)
    if kind == "mloo":
        without = realism.leave_one_out(rollouts, ids)
        return without.marginal_of_agents if credit == "agent" else without.marginal
    of_scene, of_agents = realism.single(rollouts, ids)
    return against_others(of_agents if credit == "agent" else of_scene)


def against_others(single: NDArray[np.float64]) -> NDArray[np.float64]:
    """Measures of R rollouts alone, ``[R, ...]``, each less the mean of the others; R is 2 or more."""
    num = len(single)
    return (single - single.mean(0)) * (num / (num - 1))


@names_nearest
@dataclass(frozen=True, kw_only=True)
class RealismReward(Term):
    """At the end of the horizon, what the rollout adds to the realism of the group that it belongs to; else 0.

    Worlds that hold the same scene and end in the same decision are a group; see `rollout_rewards` for the formula and
    ``EnvConfig.worlds_per_scene`` for making groups. A rollout that is alone (in the Parallel and the single-agent
    environment each is) is compared with the last ones of its scene that this object has seen; the first of them gets
    0.

    It scores whole rollouts: episodes last from the scene's current step to the end of the metric's 80 steps, and
    neither infractions nor goals end an agent early. Every object that is there at the start goes on at constant
    velocity where it leaves the scene.

    Raises:
        ConfigError: an option makes no sense; or, in use, the world or the scene does not fit. The message says what to
            do.
    """

    kind: Kind = "mloo"
    """``"mloo"``: the meta-metric of all but one. ``"rloo"``: the meta-metric of each alone."""
    config: str | WosacConfig = "2025"
    """Edition of the metric."""
    credit: Credit = "scene"
    """``"scene"``: every living agent gets the rollout's reward. ``"agent"``: each evaluated agent (the SDC and the
    tracks to predict) gets that of its own likelihoods, others 0; this is ours, and no paper has it."""
    memory: int = 32
    """Rollouts of a scene that one that is alone is compared with, itself included."""
    max_scenes: int = 64
    """Scenes whose rollouts and derived tables are kept, the least recently used go first; at least those in use."""
    _shelf: Shelf = field(default_factory=Shelf, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_choices(self.kind, self.credit)
        if self.memory is None or self.max_scenes is None:
            raise ConfigError("memory and max_scenes must be whole numbers, got None")
        check_whole(self, memory=2, max_scenes=1)
        if self._edition.first_step < 1:
            raise ConfigError(
                f"config {self._edition.name!r} scores the whole scene from step 0, but a rollout needs a state to "
                "start from; use another, such as '2025'"
            )

    @property
    def name(self) -> str:
        return f"realism_{self.kind}"

    @property
    def needs_history(self) -> bool:
        return True

    @property
    def _edition(self) -> WosacConfig:
        return find_config(self.config)

    def check(self, config: WorldConfig) -> None:
        for name in ("on_infraction", "on_goal"):
            if getattr(config, name) != "ignore":
                raise ConfigError(
                    f"RealismReward scores whole rollouts, but {name}={getattr(config, name)!r} ends them before the "
                    f"horizon; use WorldConfig({name}='ignore')"
                )
        edition = self._edition
        for name, wanted in (("start_step", edition.first_step - 1), ("horizon", edition.num_steps)):
            if getattr(config, name) not in (None, wanted):
                raise ConfigError(
                    f"{name} is {getattr(config, name)}, but RealismReward with config {edition.name!r} needs "
                    f"WorldConfig({name}={wanted})"
                )

    def value(self, world: World, events: Events) -> Float:
        history = world.history
        self.check(world.config)
        if history is None:
            raise ConfigError(
                "RealismReward needs the world's history: World(..., config=WorldConfig(keep_history=True)); "
                "environments switch it on by themselves when they are made or wrapped with the reward"
            )
        stride = world.dynamics.steps_per_action
        has_begun = history.advanced & (world.step_index - stride <= history.start_step)
        # What does not fit is said at once, not after 8 s.
        for scene, b in {world.scenes[b]: b for b in np.flatnonzero(has_begun)}.items():
            _check_episode(scene, int(history.start_step[b]), int(world.end_step[b]), self._edition)
            self._realism(world, scene)
        is_over = history.advanced & world.truncated & (world.step_index - stride < world.end_step)
        if not is_over.any():
            return np.zeros((world.num_worlds, world.num_agents), np.float32)
        given = self._shelf.given.get(history)
        if given is None or given[0] != history.num_recorded:
            given = history.num_recorded, self._give(world, history, np.flatnonzero(is_over))
            self._shelf.given[history] = given
        return given[1].copy()

    def _give(self, world: World, history: History, over: NDArray[np.intp]) -> Float:
        reward = np.zeros((world.num_worlds, world.num_agents), np.float32)
        groups: dict[Key, list[int]] = {}
        for b in over.tolist():
            groups.setdefault(key_of(world.scenes[b]), []).append(b)
        for key, worlds in groups.items():
            realism = self._realism(world, world.scenes[worlds[0]])
            rollouts = [_rollout(world, history, b, realism) for b in worlds]
            if len(worlds) == 1:
                seen = self._shelf.records[key].rollouts
                seen.append(rollouts[0])
                rollouts = list(seen)
            earned = rollout_rewards(realism, np.stack(rollouts), ids=realism.ids, kind=self.kind, credit=self.credit)
            for b, value in zip(worlds, earned[-len(worlds) :], strict=True):
                if self.credit == "scene":
                    reward[b] = value
                else:
                    slot = _slots(world, b)[realism.evaluated_tracks]
                    reward[b, slot[slot < world.num_agents]] = value[slot < world.num_agents]
        return reward

    def _realism(self, world: World, scene: Scene) -> Realism:
        record = self._shelf.record(scene, self.memory, max(self.max_scenes, len(set(world.scenes))))
        if record.realism is None:
            _check_scene(scene, self._edition)
            record.realism = Realism(scene, self.config)
        return record.realism


def _check_choices(kind: str, credit: str) -> None:
    for name, value, choices in (("kind", kind, ("mloo", "rloo")), ("credit", credit, ("scene", "agent"))):
        if value not in choices:
            raise ConfigError(f"{name} is {value!r}; it is {choices[0]!r} or {choices[1]!r}")


def _check_episode(scene: Scene, start: int, end: int, edition: WosacConfig) -> None:
    for name, found, wanted in (
        ("start_step", start, edition.first_step - 1),
        ("horizon", end - start, edition.num_steps),
    ):
        if found != wanted:
            raise ConfigError(
                f"scene {scene.id!r}: the {name} of its episode is {found}, but RealismReward with config "
                f"{edition.name!r} needs WorldConfig({name}={wanted})"
            )


def _check_scene(scene: Scene, edition: WosacConfig) -> None:
    tracks, now = scene.tracks, edition.first_step - 1
    if scene.num_steps < edition.end_step:
        raise ConfigError(
            f"scene {scene.id!r} has {scene.num_steps} steps, but its realism is judged by a log of "
            f"{edition.end_step}; leave it out"
        )
    if not (tracks.valid[:, now] & (tracks.is_sdc | tracks.to_predict)).any():
        raise ConfigError(
            f"scene {scene.id!r} has neither an SDC nor a track to predict at step {now}, so that nobody in it would "
            "be evaluated; mark some in its tracks, or leave it out"
        )


def _slots(world: World, b: int) -> NDArray[np.intp]:
    """The slot of each track of the scene of world b, ``[A]``; beyond all slots for tracks that take no part."""
    slot = np.full(world.scenes[b].num_agents, world.num_slots)
    taken = np.flatnonzero(world.track[b] >= 0)
    slot[world.track[b, taken]] = taken
    return slot


def _rollout(world: World, history: History, b: int, realism: Realism) -> Float:
    """The finished episode of world b as the metric wants it: float32 ``[N, 80, 4]``, in the order of its ids."""
    slot = _slots(world, b)[realism.tracks]
    num_states = int(world.end_step[b] - history.start_step[b]) + 1
    filled = fill_gaps(history.motion[b, slot, :num_states], history.present[b, slot, :num_states])
    return np.asarray(filled[:, 1:], np.float32)
