"""What the world finds in a log."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trafficgym.scene.scene import Scene
from trafficgym.world.casting import log_of, road_of
from trafficgym.world.config import WorldConfig
from trafficgym.world.events import Event, EventLimits, Events, Watch, detect

FAULTS = Event.COLLISION | Event.OFF_ROAD | Event.WRONG_WAY | Event.RED_LIGHT | Event.INFEASIBLE


def events_of(scene: Scene) -> NDArray[np.uint8]:
    """`Event` bits of every track at every step of the log, uint8 ``[A, T]``.

    The same as those of a world in which everybody follows the log (``WorldConfig(watch_log=True, start_step=0)``),
    in a tenth of the time; there are no goals.
    """
    table, count = log_of(scene).table, scene.num_agents
    rows = road_of(scene, WorldConfig().point_spacing).row[None]
    watch, events = Watch.zeros(1, count), Events.none(1, count)
    watch.watched[:] = True
    limits, running = tuple(EventLimits()), np.ones(1, bool)
    found = np.zeros((count, scene.num_steps), np.uint8)
    for step in range(scene.num_steps):
        at = np.array([step], np.int32)
        now, before = table[step][None], table[max(step - 1, 0)][None]
        detect(
            now,
            before,
            at,
            running,
            rows,
            tuple(watch),
            limits,
            events.state,
            events.onset,
            events.collision_with,
            events.at_fault,
            True,
        )
        found[:, step] = events.state[0]
    return found


def faults_of(scene: Scene) -> tuple[str, ...]:
    """Names of the events that a nominal log must not have, and has."""
    bits = Event(int(np.bitwise_or.reduce(events_of(scene), axis=None)))
    return tuple(str(event.name) for event in FAULTS if event in bits)
