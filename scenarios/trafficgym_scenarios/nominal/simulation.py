"""Nominal traffic made from a seed: road, drivers, and every state that they went through."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from trafficgym.scene.scene import AgentType, Signals
from trafficgym_scenarios.nominal.columns import DT, NUM_STATE
from trafficgym_scenarios.nominal.config import NominalConfig
from trafficgym_scenarios.nominal.drivers import Drivers
from trafficgym_scenarios.nominal.law import NUM_NOISE, step
from trafficgym_scenarios.nominal.network import Network, network_of
from trafficgym_scenarios.nominal.placing import place
from trafficgym_scenarios.roads import Road

Array = NDArray[np.float64]

WARM_UP = 30  # steps before the first recorded one, in which drivers find their distances


@dataclass(kw_only=True, eq=False)
class Traffic:
    """Road users of one scene under the drivers' law; `advance` is the law."""

    net: Network
    drivers: Drivers
    signals: Signals
    """Of all steps that may come, from step 0 of the warm-up."""
    walks: NDArray[np.int8]
    """(W, T) for each pedestrian way: 1 if its signal lets pedestrians set out, 0 if not, -1 without signals."""
    agents: Array
    """(N, NUM_STATE) now."""
    order: NDArray[np.int8]
    """(N, N) who goes first where routes meet."""
    tick: int = 0
    """Steps since the start of the warm-up."""

    def advance(self, noise: Array, driven: NDArray[np.bool_] | None = None) -> None:
        """Move the road users in `driven` (default: all) by 0.1 s; `noise` is standard normal, ``[N, NUM_NOISE]``."""
        at = min(self.tick, self.signals.state.shape[1] - 1)
        step(
            self.agents,
            self.drivers.table,
            self.net.tables,
            self.order,
            self.tick,
            noise,
            np.ascontiguousarray(self.signals.state[:, at]),
            np.ascontiguousarray(self.walks[:, at]),
            self.net.num_routes,
            np.ones(len(self.agents), bool) if driven is None else driven,
        )
        self.tick += 1

    @property
    def noise_shape(self) -> tuple[int, int]:
        return len(self.agents), NUM_NOISE


@dataclass(kw_only=True, eq=False)
class Run:
    """What happened, over the steps of the scene."""

    road: Road
    traffic: Traffic
    states: Array  # (T + 1, N, NUM_STATE), the first one step before the scene begins
    orders: NDArray[np.int8]  # (T + 1, N, N)
    noise_seed: int  # of the noise after the current step
    rejections: Counter[str] = field(default_factory=Counter)


def run(road: Road, config: NominalConfig, rng: Generator, current_step: int) -> Run | None:
    """Let traffic drive on a road; None where there is no room for the fewest road users."""
    steps = WARM_UP + config.num_steps
    net = network_of(road)
    agents, traits = place(road, net, config, steps * DT, rng)
    if len(agents) < config.num_agents.low or not (traits[:, 0] == AgentType.VEHICLE).any():
        return None
    traffic = make_traffic(road, net, agents, Drivers(traits), steps, rng)
    noise_seed = int(rng.integers(2**63))
    states = np.empty((config.num_steps + 1, len(agents), NUM_STATE))
    orders = np.empty((config.num_steps + 1, len(agents), len(agents)), np.int8)
    early, late = rng, np.random.default_rng(noise_seed)
    for k in range(steps - 1):
        if k >= WARM_UP - 1:
            states[k - WARM_UP + 1], orders[k - WARM_UP + 1] = traffic.agents, traffic.order
        noise = early if k < WARM_UP + current_step else late
        traffic.advance(noise.standard_normal(traffic.noise_shape))
    states[-1], orders[-1] = traffic.agents, traffic.order
    return Run(road=road, traffic=traffic, states=states, orders=orders, noise_seed=noise_seed)


def make_traffic(road: Road, net: Network, agents: Array, drivers: Drivers, steps: int, rng: Generator) -> Traffic:
    """Traffic at the start of its warm-up; the signals begin anywhere in their cycle."""
    plan = road.signal_plan
    begin = 0.0 if plan is None else float(rng.uniform(0.0, plan.cycle))
    time = begin + DT * np.arange(steps)
    walks = np.full((len(net.walks), steps), -1, np.int8)
    if plan is not None:
        signalled = {name for phase in plan.phases for name in phase.walk}
        for w, name in enumerate(net.walks):
            if name in signalled:
                walks[w] = plan.walk(name, time)
    return Traffic(
        net=net,
        drivers=drivers,
        signals=road.signals(steps, begin),
        walks=walks,
        agents=agents.copy(),
        order=np.zeros((len(agents), len(agents)), np.int8),
    )
