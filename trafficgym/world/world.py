"""What evolves: the state of everything in B scenes at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trafficgym.errors import ActionError, ConfigError
from trafficgym.scene.scene import Scene
from trafficgym.world.casting import Cast, Casting, log_of, road_of
from trafficgym.world.config import WorldConfig
from trafficgym.world.controllers import Control, Policy, own_dynamics
from trafficgym.world.dynamics import Bicycle, Body, Dynamics, Motion
from trafficgym.world.events import LIMIT, RISE, Event, Events, Watch, detect
from trafficgym.world.heroes import PHASE, SLOT, HeroTables, move_heroes
from trafficgym.world.history import History
from trafficgym.world.idm import IdmParameters, IdmTables, drive_idm
from trafficgym.world.log import LOG_ROW_SIZE, LogTable, gather, measure, replay
from trafficgym.world.path import NUM_POINTS
from trafficgym.world.plans import Plans, ask
from trafficgym.world.road_index import ROW_SIZE, RoadIndex
from trafficgym.world.state import BLANK, DT, KIND, PRESENT, SPEED, VX, VY, YAW, Driver, State, X, Y, Z

Bool = NDArray[np.bool_]


class World:
    """B scenes, stepped together.

    Slots are the tracks of a scene that are on the road at or after the start, the external agents first,
    so that ``[:, :num_agents]`` of any ``[B, N]`` array is about the agents. Arrays are written in place:
    copy what you keep.

    Args:
        scenes: One scene per world.
        dynamics: How external agents move, and policies without dynamics of their own.
        control: Who drives whom; see `controllers.assign_drivers`.
        config: Everything else.
        seeds: One seed per world, for its generator; default 0, 1, 2, ...

    Attributes:
        scenes: The scene of each world.
        state: `State` now, ``[B, N]``.
        before: `State` one step (0.1 s) earlier.
        previous: `State` one decision earlier.
        events: `Events` of the last decision, ``[B, N]``.
        history: `History` of the present episodes; None unless ``WorldConfig.keep_history``.
        track: Track index of each slot, int32 ``[B, N]``, -1 for padding.
        controller: `Driver` of each slot, int8 ``[B, N]``.
        alive: External agents that still act, bool ``[B, N]``.
        road_rows: `RoadIndex.row` of each world, for kernels, int64 ``[B, ROW_SIZE]``.
        step_index: Scene step now, int32 ``[B]``.
        start_step: Scene step at which the episode began, int32 ``[B]``.
        end_step: Scene step at which the episode is truncated, int32 ``[B]``.
        num_agents: A, the largest number of external agents of any world so far.
        rng: One `numpy.random.Generator` per world.

    Raises:
        ConfigError: an option makes no sense for a scene.
    """

    def __init__(
        self,
        scenes: Sequence[Scene],
        *,
        dynamics: Dynamics | None = None,
        control: Control = "external",
        config: WorldConfig | None = None,
        seeds: Sequence[int] | None = None,
    ) -> None:
        if not scenes:
            raise ConfigError("a world needs at least one scene, got an empty list")
        num = len(scenes)
        self.dynamics: Dynamics = dynamics if dynamics is not None else Bicycle()
        self.control, self.config = control, config or WorldConfig()
        self.policies: list[Policy] = []
        self.num_worlds, self.num_slots, self.num_agents, self._num_driven, self._num_idm = num, 0, 0, 0, 0
        self._num_heroes = 0
        self.scenes: list[Scene] = list(scenes)
        self.rng = [np.random.default_rng(s) for s in (range(num) if seeds is None else seeds)]
        self.road: list[RoadIndex] = [None] * num  # type: ignore[list-item]
        self._log: list[LogTable] = [None] * num  # type: ignore[list-item]
        self.road_rows = np.zeros((num, ROW_SIZE), np.int64)
        self._log_rows = np.zeros((num, LOG_ROW_SIZE), np.int64)
        self.step_index, self.start_step = np.zeros(num, np.int32), np.zeros(num, np.int32)
        self.end_step = np.zeros(num, np.int32)
        self._memories: dict[int, dict[str, Any]] = {}
        self._casting = Casting(self.control, self.config, self.policies)
        self.history = History(num) if self.config.keep_history else None
        self._allocate(0)
        self.reset()

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        # A copy has arrays of its own.
        for b, (road, log) in enumerate(zip(self.road, self._log, strict=True)):
            self.road_rows[b], self._log_rows[b] = road.row, log.row

    def step(
        self,
        actions: NDArray[np.floating] | None = None,
        *,
        running: Bool | None = None,
        after_each: Callable[[int], None] | None = None,
    ) -> Events:
        """Advance every world by one decision.

        Args:
            actions: Of the external agents, in the units of the dynamics, ``[B, A, action_size]``; may be
                None where nobody is external. Actions of agents that are not alive are ignored.
            running: Worlds to advance, bool ``[B]``; default all.
            after_each: Called after every 0.1 s of the decision with its number, from 0.

        Returns:
            What happened during the decision; the same object as `self.events`.

        Raises:
            ActionError: wrong shape, or not finite for an agent that acts.
        """
        running = np.ones(self.num_worlds, bool) if running is None else running
        if self.previous is not self.before:
            np.copyto(self.previous.table, self.state.table)
        motions = self._decide(actions, running)
        for k in range(self.dynamics.steps_per_action):
            self._advance(self._plans.play(self, running, motions[k]), running)
            self._detect(running, fresh=k == 0)
            self._settle(running)
            if self.history is not None:
                self.history.record(running, self.state, self.step_index)
            if after_each is not None:
                after_each(k)
        return self.events

    def reset(
        self,
        worlds: Bool | None = None,
        *,
        scenes: Sequence[Scene] | None = None,
        seeds: Sequence[int] | None = None,
    ) -> None:
        """Start episodes anew.

        Args:
            worlds: Worlds to reset, bool ``[B]``; default all.
            scenes: A scene for each world that is reset, in order; default the ones it has.
            seeds: A seed for each world that is reset; default: its generator goes on.
        """
        chosen = np.arange(self.num_worlds) if worlds is None else np.flatnonzero(worlds)
        casts = []
        for i, b in enumerate(chosen):
            if scenes is not None:
                self.scenes[b] = scenes[i]
            if seeds is not None:
                self.rng[b] = np.random.default_rng(seeds[i])
            casts.append(self._casting.of(self.scenes[b]))
        self._reserve(casts)
        for b, cast in zip(chosen, casts, strict=True):
            self._place(int(b), self.scenes[b], cast)
        fresh = np.zeros(self.num_worlds, bool)
        fresh[chosen] = True
        self._detect(fresh, fresh=True)
        for then in (self.before, self.previous):
            then.table[chosen] = self.state.table[chosen]
        if self.history is not None:
            self.history.begin(fresh, self.state, self.step_index, self.end_step)

    def memory_of(self, policy: Policy) -> dict[str, Any]:
        """What a policy of this world keeps from decision to decision: empty at first, and copied with the world."""
        return self._memories.setdefault(self.policies.index(policy), {})

    @property
    def agents(self) -> Bool:
        """External agents that started in each world, alive or not, bool ``[B, A]``."""
        return self.controller[:, : self.num_agents] == Driver.EXTERNAL

    @property
    def truncated(self) -> Bool:
        """Worlds whose horizon is over, bool ``[B]``."""
        return self.step_index >= self.end_step

    @property
    def goal(self) -> NDArray[np.float32]:
        """Where each slot's log ends, float32 ``[B, N, 2]`` m."""
        return self.watch.goal[..., :2]

    @property
    def has_goal(self) -> Bool:
        """Whether that is further than the goal radius from where it started, bool ``[B, N]``."""
        return self.watch.goal[..., 2] != 0

    @property
    def speed_limit(self) -> NDArray[np.float32]:
        """Limit of the lane that each watched slot is on, float32 ``[B, N]`` m/s, 0 where unknown."""
        return self.watch.lane[..., LIMIT]

    @property
    def log_x(self) -> NDArray[np.float32]:
        """Logged x at the present step, float32 ``[B, N]`` m; 0 where `log_valid` is False."""
        return self._gather(X)

    @property
    def log_y(self) -> NDArray[np.float32]:
        """Logged y at the present step, float32 ``[B, N]`` m; 0 where `log_valid` is False."""
        return self._gather(Y)

    @property
    def log_yaw(self) -> NDArray[np.float32]:
        """Logged yaw at the present step, float32 ``[B, N]`` rad; 0 where `log_valid` is False."""
        return self._gather(YAW)

    @property
    def log_valid(self) -> Bool:
        """Whether the log holds a state at the present step, bool ``[B, N]``."""
        return self._gather(PRESENT) != 0

    @property
    def hero_phase(self) -> NDArray[np.int32]:
        """Which phase of its script each slot plays, int32 ``[B, N]``; -1 for slots that are no heroes."""
        phase = np.full((self.num_worlds, self.num_slots), -1, np.int32)
        world, hero = np.nonzero(self._heroes.constants[..., SLOT] >= 0)
        slot = self._heroes.constants[world, hero, SLOT].astype(int)
        phase[world, slot] = self._heroes.memory[world, hero, PHASE]
        return phase

    def _gather(self, column: int) -> NDArray[np.float32]:
        out = np.empty(self.track.shape, np.float32)
        return gather(column, self._log_rows, self.track, self.step_index, out)

    # One step, in the order in which `step` calls it.

    def _decide(self, actions: NDArray[np.floating] | None, running: Bool) -> list[Motion]:
        """Motions that the dynamics give to external agents and policies, ``[B, D]`` for each 0.1 s."""
        num, through_ours = self._num_driven, [own_dynamics(policy) is None for policy in self.policies]
        if num == 0 or not (self.num_agents or any(through_ours)):
            still = np.zeros((self.num_worlds, num), np.float32)
            return [Motion(still, still, still, still, still, still)] * self.dynamics.steps_per_action
        shape = (self.num_worlds, num, self.dynamics.action_size)
        filled = np.zeros(shape, np.float32) if num > self.num_agents else np.empty(shape, np.float32)
        if self.num_agents:
            filled[:, : self.num_agents] = self._checked(actions, running)
        for i, policy in enumerate(self.policies):
            mask = (self.policy_index == i) & running[:, None]
            if through_ours[i] and mask.any():
                filled[mask[:, :num]] = ask(policy, self, mask, self.dynamics)
        motion = Motion(*(np.ascontiguousarray(getattr(self.state, name)[:, :num]) for name in Motion._fields))
        body = Body(np.ascontiguousarray(self.state.length[:, :num]), self.state.table[:, :num, KIND].astype(np.int8))
        return self.dynamics.step(motion, filled, body)

    def _checked(self, actions: NDArray[np.floating] | None, running: Bool) -> NDArray[np.floating]:
        shape = (self.num_worlds, self.num_agents, self.dynamics.action_size)
        if actions is None:
            raise ActionError(f"{int(self.agents.sum())} agents are external; give actions of shape {shape}")
        actions = np.asarray(actions)
        if actions.shape != shape:
            raise ActionError(
                f"actions must be (worlds, agents, {' and '.join(self.dynamics.action_names)}) = {shape}, "
                f"got {actions.shape}"
            )
        finite = np.isfinite(actions).all()
        if not finite:
            acting = self.alive[:, : self.num_agents] & running[:, None]
            bad = ~np.isfinite(actions).all(-1)
            if (bad & acting).any():
                b, n = np.argwhere(bad & acting)[0]
                name = self.scenes[b].tracks.id[self.track[b, n]]
                raise ActionError(f"world {b}, agent {n} (track {name}): action {actions[b, n]} is not finite")
            actions = np.where(bad[..., None], 0, actions)
        return actions

    def _advance(self, motion: Motion, running: Bool) -> None:
        np.copyto(self.before.table, self.state.table)
        _move(
            self.state.table,
            self.before.table,
            tuple(motion),
            self.step_index,
            running,
            self.controller,
            self.frozen,
            self.track,
            self._log_rows,
            self.watch.lane,
        )
        if self._num_idm:  # apart, since compiling it takes seconds
            _move_idm(
                self.state.table,
                self.before.table,
                self.step_index,
                running,
                self.road_rows,
                self.watch.lane,
                tuple(self._idm),
                tuple(self.config.idm),
            )
        if self._num_heroes:
            move_heroes(self.state.table, self.before.table, running, tuple(self._heroes), self.watch.lane)
        self.step_index += running

    def _detect(self, running: Bool, *, fresh: bool) -> None:
        e = self.events
        detect(
            self.state.table,
            self.before.table,
            self.step_index,
            running,
            self.road_rows,
            tuple(self.watch),
            tuple(self.config.limits),
            e.state,
            e.onset,
            e.collision_with,
            e.at_fault,
            fresh,
        )

    def _settle(self, running: Bool) -> None:
        """Carry out what infractions and goals mean for the agents."""
        config = self.config
        for bits, effect in ((config.infractions, config.on_infraction), (Event.GOAL, config.on_goal)):
            if effect == "ignore":
                continue
            # Not those that hold from the start: the log has cars parked off the mapped road.
            hit = self.events.began(bits) & self.alive & running[:, None]
            if effect == "stop":
                self.frozen |= hit
            else:
                self.alive &= ~hit
                self.state.table[hit, PRESENT] = 0
                self.watch.watched[hit] = False
                self.watch.held[hit] = 0

    # Starting an episode.

    def _reserve(self, casts: list[Cast]) -> None:
        """Make room for the largest of `casts`; arrays grow and never shrink."""
        slots = max((len(cast.order) for cast in casts), default=0)
        for driver in {id(cast): cast.driver for cast in casts}.values():
            external = int((driver == Driver.EXTERNAL).sum())
            self.num_agents = max(self.num_agents, external)
            self._num_driven = max(self._num_driven, external + int((driver == Driver.POLICY).sum()))
            self._num_idm = max(self._num_idm, int((driver == Driver.IDM).sum()))
        self._num_heroes = max([self._num_heroes, *(len(cast.heroes) for cast in casts)])
        has_room = self._num_idm <= self._idm.path.shape[1] and self._num_heroes <= self._heroes.path.shape[1]
        if slots > self.num_slots or not has_room or not self._plans.has_room:
            self._allocate(max(slots, self.num_slots))

    def _allocate(self, num_slots: int) -> None:
        shape = (self.num_worlds, num_slots)
        old = self.__dict__.copy() if self.num_slots else None
        self.num_slots = num_slots
        self.state, self.before = State(*shape), State(*shape)
        self.previous = self.before if self.dynamics.steps_per_action == 1 else State(*shape)
        self.events, self.watch = Events.none(*shape), Watch.zeros(*shape)
        self.track = np.full(shape, -1, np.int32)
        self.controller = np.full(shape, Driver.NONE, np.int8)
        self.policy_index = np.full(shape, -1, np.int8)
        self.alive, self.frozen = np.zeros(shape, bool), np.zeros(shape, bool)
        self._idm = IdmTables(
            np.zeros((self.num_worlds, self._num_idm, NUM_POINTS, 3), np.float32),
            np.full(shape, -1, np.int32),
            np.zeros(shape, np.float32),
        )
        self._heroes = HeroTables.zeros(self.num_worlds, self._num_heroes)
        self._plans = Plans(self.policies, *shape)
        if old is not None:
            self._keep(old)

    def _keep(self, old: dict[str, Any]) -> None:
        """Copy what the smaller arrays held into the larger ones."""
        for name in ("state", "before", "previous", "_plans"):
            _copy_corner(old[name].table, getattr(self, name).table)
        for f in fields(Events):
            _copy_corner(getattr(old["events"], f.name), getattr(self.events, f.name))
        for name in ("watch", "_idm", "_heroes"):
            for source, target in zip(old[name], getattr(self, name), strict=True):
                _copy_corner(source, target)
        for name in ("track", "controller", "policy_index", "alive", "frozen"):
            _copy_corner(old[name], getattr(self, name))

    def _place(self, b: int, scene: Scene, cast: Cast) -> None:
        num = len(cast.order)
        self.road[b], self._log[b] = road_of(scene, self.config.point_spacing), log_of(scene)
        self.road_rows[b], self._log_rows[b] = self.road[b].row, self._log[b].row
        self.step_index[b] = self.start_step[b] = cast.start
        self.end_step[b] = cast.end
        self.track[b, :num], self.track[b, num:] = cast.order, -1
        self.controller[b, :num], self.controller[b, num:] = cast.driver, Driver.NONE
        self.policy_index[b, :num], self.policy_index[b, num:] = cast.policy, -1
        self.alive[b], self.frozen[b] = self.controller[b] == Driver.EXTERNAL, False
        self.state.table[b, :num], self.state.table[b, num:] = cast.table, BLANK
        self.before.table[b] = BLANK
        watch = self.watch
        watch.goal[b, :num], watch.goal[b, num:] = cast.goal, 0
        watch.held[b], watch.lane[b] = 0, 0
        watch.watched[b] = self.controller[b] != Driver.NONE
        if not self.config.watch_log:
            watch.watched[b] &= self.controller[b] != Driver.LOG
        self._idm.path_of[b], self._idm.arc[b] = -1, 0.0
        self._idm.path_of[b, np.flatnonzero(cast.driver == Driver.IDM)] = np.arange(len(cast.paths))
        self._idm.path[b, : len(cast.paths)] = cast.paths
        self._heroes.constants[b, :, SLOT] = -1
        for h, hero in enumerate(cast.heroes):
            for table, row in zip(self._heroes, hero, strict=True):
                table[b, h] = row


def _copy_corner(source: np.ndarray, target: np.ndarray) -> None:
    target[tuple(slice(0, n) for n in source.shape)] = source


_EXTERNAL, _POLICY, _LOG, _IDM = int(Driver.EXTERNAL), int(Driver.POLICY), int(Driver.LOG), int(Driver.IDM)
_CONSTANT_VELOCITY, _HERO = int(Driver.CONSTANT_VELOCITY), int(Driver.HERO)


@njit(cache=True, error_model="numpy")
def _move(table, before, motion, step_index, running, driver, frozen, track, logs, lane):
    """Move every slot of the running worlds, but for those of IDM, by one step; `before` holds the states before."""
    motion = Motion(*motion)
    for b in range(table.shape[0]):
        if not running[b]:
            continue
        for n in range(table.shape[1]):
            who, slot, old = driver[b, n], table[b, n], before[b, n]
            if who == _LOG:
                replay(slot, logs[b], track[b, n], step_index[b] + 1)
                continue
            if old[PRESENT] == 0:
                continue
            if frozen[b, n]:
                slot[SPEED] = slot[VX] = slot[VY] = 0
            elif who == _EXTERNAL or who == _POLICY:
                slot[X], slot[Y], slot[YAW] = motion.x[b, n], motion.y[b, n], motion.yaw[b, n]
                slot[SPEED], slot[VX], slot[VY] = motion.speed[b, n], motion.vx[b, n], motion.vy[b, n]
            elif who == _CONSTANT_VELOCITY:
                slot[X] += np.float32(DT) * slot[VX]
                slot[Y] += np.float32(DT) * slot[VY]
            elif who == _IDM or who == _HERO:
                continue
            measure(slot, old)
            # The road's slope, one step late: what is under the box now is not known before it is there.
            slot[Z] += lane[b, n, RISE]


@njit(cache=True, error_model="numpy")
def _move_idm(table, before, step_index, running, roads, lane, idm, parameters):
    """Move the slots that IDM drives by one step."""
    idm, parameters = IdmTables(*idm), IdmParameters(*parameters)
    for b in range(table.shape[0]):
        if not running[b]:
            continue
        for n in range(table.shape[1]):
            if idm.path_of[b, n] < 0 or before[b, n, PRESENT] == 0:
                continue
            slot, path = table[b, n], idm.path[b, idm.path_of[b, n]]
            idm.arc[b, n] = drive_idm(slot, n, before[b], step_index[b], roads[b], path, idm.arc[b, n], parameters)
            measure(slot, before[b, n])
            slot[Z] += lane[b, n, RISE]


__all__ = ["World", "WorldConfig"]
