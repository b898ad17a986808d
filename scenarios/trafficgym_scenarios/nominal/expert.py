"""The perfect simulator: the law that made a nominal log, driving again with other noise."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trafficgym.errors import ConfigError
from trafficgym.scene.scene import AgentType, Scene
from trafficgym.world.dynamics import Body, Motion, TargetPose
from trafficgym.world.world import World
from trafficgym_scenarios.nominal import columns as c
from trafficgym_scenarios.nominal.config import NominalConfig
from trafficgym_scenarios.nominal.following import project
from trafficgym_scenarios.nominal.scenes import run_of, shift_of
from trafficgym_scenarios.nominal.simulation import WARM_UP, Run, Traffic

Array = NDArray[np.float64]
Bool = NDArray[np.bool_]

SAME_M, SAME_RAD = 1.0, 0.2
"""An agent of the expert's that is no further than this from its plan stays with that; dynamics may lag behind it."""
LOST_M = 2.4
"""An agent this far beside its route is on another one."""


def expert_policy(scene: Scene, seed: int | Literal["log"] = 0, config: NominalConfig | None = None) -> ExpertPolicy:
    """The drivers of a nominal scene: same law, same hidden traits, fresh noise.

    It drives any of the agents, together with others, to whom it reacts. With `TargetPose` it is exact::

        roll_out(scene, expert_policy(scene, seed=3), dynamics=TargetPose())

    With other dynamics it takes the action that comes nearest to where the law wants to be.

    Args:
        scene: By `nominal_scene`, or the same read back from a store.
        seed: Of the noise; ``"log"`` for that of the log, which drives the log again.
        config: That of the scene; needed only if it is neither the default nor was used in this process.

    Raises:
        SceneError: the scene is no nominal scene, was changed, or comes from another version.
        ConfigError: another `config` is needed.
    """
    run = run_of(scene, config)
    return ExpertPolicy(scene, run, run.noise_seed if seed == "log" else seed)


class ExpertPolicy:
    """See `expert_policy`. Every episode of a world has the same noise, and every world of a batch noise of its own."""

    name = "expert"

    def __init__(self, scene: Scene, run: Run, seed: int) -> None:
        self.scene, self.run, self.seed = scene, run, seed
        self._shift = shift_of(run, scene.sdc)
        self._copies: dict[int, _Copy] = {}

    def act(self, world: World, mask: Bool) -> NDArray[np.floating]:
        """See `trafficgym.world.controllers.Policy.act`.

        Raises:
            ConfigError: a world holds another scene.
        """
        after = {name: getattr(world.state, name).astype(np.float64) for name in Motion._fields}
        for b in np.flatnonzero(mask.any(1)).tolist():
            if world.scenes[b].id != self.scene.id:
                raise ConfigError(
                    f"this is the expert of scene {self.scene.id!r}, not of {world.scenes[b].id!r}: make one for each"
                )
            self._drive(b, world, mask[b], after)
        if isinstance(world.dynamics, TargetPose):
            return np.stack([after["x"], after["y"], after["yaw"]], -1)
        now = Motion(*(getattr(world.state, name).astype(np.float64) for name in Motion._fields))
        body = Body(world.state.length.astype(np.float64), world.state.type)
        actions: NDArray[np.floating] = world.dynamics.inverse(now, Motion(**after), body)
        return actions

    def _drive(self, b: int, world: World, slots: Bool, after: dict[str, Array]) -> None:
        step = int(world.step_index[b])
        copy = self._copies.get(b)
        if copy is None or copy.step != step:
            copy = self._copies[b] = _Copy(
                self.run, step, np.random.default_rng(self.seed if b == 0 else [self.seed, b])
            )
        tracks = world.track[b]
        here = np.flatnonzero((tracks >= 0) & world.state.present[b])
        driven = np.zeros(len(copy.traffic.agents), bool)
        driven[tracks[np.flatnonzero(slots & (tracks >= 0))]] = True
        copy.look(world, b, here, self._shift, driven)
        before = copy.traffic.agents[:, [c.X, c.Y]].copy()
        steps = world.dynamics.steps_per_action
        for k in range(steps):
            copy.advance(driven, first=k == 0)
        chosen = np.flatnonzero(slots & (tracks >= 0))
        agents = copy.traffic.agents[tracks[chosen]]
        moved = (agents[:, [c.X, c.Y]] - before[tracks[chosen]]) / (steps * c.DT)
        after["x"][b, chosen], after["y"][b, chosen] = (agents[:, [c.X, c.Y]] - self._shift).T
        after["yaw"][b, chosen], after["speed"][b, chosen] = agents[:, c.YAW], agents[:, c.SPEED]
        after["vx"][b, chosen], after["vy"][b, chosen] = moved.T


class _Copy:
    """The traffic of one world of a batch."""

    def __init__(self, run: Run, step: int, rng: np.random.Generator) -> None:
        at = 1 + min(step, len(run.states) - 2)
        self.step, self.rng = step, rng
        self.traffic: Traffic = replace(
            run.traffic, agents=run.states[at].copy(), order=run.orders[at].copy(), tick=WARM_UP + step
        )

    def look(self, world: World, b: int, here: NDArray[np.intp], shift: Array, driven: Bool) -> None:
        """Take over from the world where the others are, and whoever could not follow the law."""
        state, agents = world.state, self.traffic.agents
        rows = world.track[b, here]
        agents[:, c.PRESENT] = 0.0
        agents[rows, c.PRESENT] = 1.0
        x, y = state.x[b, here] + shift[0], state.y[b, here] + shift[1]
        yaw, speed = state.yaw[b, here], state.speed[b, here]
        turned = np.abs((yaw - agents[rows, c.YAW] + np.pi) % (2 * np.pi) - np.pi)
        away = np.hypot(x - agents[rows, c.X], y - agents[rows, c.Y])
        for k in np.flatnonzero(~driven[rows] | (away > SAME_M) | (turned > SAME_RAD)):
            agent = agents[rows[k]]
            agent[[c.X, c.Y, c.YAW, c.SPEED]] = x[k], y[k], yaw[k], max(speed[k], 0.0)
            self._find_route(int(rows[k]))
        for i in np.flatnonzero(~driven):
            agents[i, c.WAIT] = agents[i, c.WAIT] + c.DT if agents[i, c.SPEED] < 0.3 else 0.0
            agents[i, c.WALKING] = agents[i, c.SPEED] > 0.3

    def _find_route(self, i: int) -> None:
        """Where agent i is on its route, or on another if it has left that."""
        net, agent, traits = self.traffic.net, self.traffic.agents[i], self.traffic.drivers.table[i]
        walks = traits[c.KIND] == AgentType.PEDESTRIAN
        lead = 0.0 if walks else c.AXLE * traits[c.LENGTH]
        x, y = agent[c.X] + lead * np.cos(agent[c.YAW]), agent[c.Y] + lead * np.sin(agent[c.YAW])

        def place(route: int) -> tuple[float, float, float]:
            way = net.points[net.start[route] : net.start[route + 1]]
            s, d, yaw = project(way, 0.0, c.FAR, x, y)
            return s, d, abs(float(np.sin((agent[c.YAW] - yaw) / 2)))

        route = int(agent[c.ROUTE])
        s, d, _ = place(route)
        if not walks and abs(d) > LOST_M:
            places = [place(r) for r in range(net.num_routes)]
            route = min(range(net.num_routes), key=lambda r: abs(places[r][1]) + 10.0 * places[r][2])
            s, d, _ = places[route]
        agent[[c.ROUTE, c.S, c.D]] = route, s, d
        # Back to the middle of the lane, as if it were changing into it.
        agent[c.WANDER] = np.clip(d, -0.5, 0.5) if not walks else d
        agent[c.FROM] = d - agent[c.WANDER]
        agent[c.PROGRESS] = 1.0 if abs(agent[c.FROM]) < 1e-6 else 0.0

    def advance(self, driven: Bool, first: bool) -> None:
        """One step of the law; in the further steps of a decision the others go straight on."""
        if not first:
            others = self.traffic.agents[~driven]
            others[:, c.X] += c.DT * others[:, c.SPEED] * np.cos(others[:, c.YAW])
            others[:, c.Y] += c.DT * others[:, c.SPEED] * np.sin(others[:, c.YAW])
            others[:, c.S] += c.DT * others[:, c.SPEED]
            self.traffic.agents[~driven] = others
        self.traffic.advance(self.rng.standard_normal(self.traffic.noise_shape), driven)
        self.step += 1
