"""What is to be drawn at one moment, wherever it comes from: a world, a recorded rollout, or the log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trafficgym.world.state import Driver

if TYPE_CHECKING:
    from trafficgym.scene.scene import Scene
    from trafficgym.world.rollout import Rollout
    from trafficgym.world.world import World

Float = NDArray[np.float32]
Bool = NDArray[np.bool_]

TRAIL_STEPS = 20  # two seconds


@dataclass(frozen=True, kw_only=True, eq=False)
class Ghosts:
    """Where the log had each of the ``N`` objects at this moment."""

    x: Float  # (N,) m, box centre, scene frame
    y: Float
    yaw: Float  # rad
    valid: Bool  # (N,) the log has it, and it is worth drawing


@dataclass(frozen=True, kw_only=True, eq=False)
class Lamps:
    """The ``S`` signals at this moment."""

    state: NDArray[np.int8]  # (S,) SignalState
    stop: Float  # (S, 3) m, scene frame
    lane: NDArray[np.int32]  # (S,) map feature, -1 where unknown
    valid: Bool  # (S,)


@dataclass(frozen=True, kw_only=True, eq=False)
class Trails:
    """Where the ``N`` objects were in the last ``K`` steps, oldest first, now included."""

    xy: Float  # (N, K, 2) m, scene frame
    valid: Bool  # (N, K)


@dataclass(frozen=True, kw_only=True, eq=False)
class Goals:
    """Where some of the ``N`` objects are to go."""

    xy: Float  # (N, 2) m, scene frame
    valid: Bool  # (N,) the object has a goal
    taken: Bool  # (N,) its driver takes goals


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """One moment of ``N`` objects in the scene frame."""

    x: Float  # (N,) m, box centre
    y: Float
    yaw: Float  # rad, counter-clockwise from +x
    length: Float  # m
    width: Float  # m
    type: NDArray[np.int8]  # AgentType
    present: Bool  # only these are drawn
    controller: NDArray[np.int8]  # Driver
    state: NDArray[np.uint8]  # Event bits that hold now
    id: NDArray[np.int64]  # what is written beside it
    time_s: float
    lamps: Lamps | None = None
    trails: Trails | None = None
    ghosts: Ghosts | None = None
    goals: Goals | None = None
    selected: int | None = None  # the object that gets the next goal
    focus: int | None = None  # the object to point out: ego, SDC, or the one that is followed
    text: tuple[str, ...] = ()  # lines for the upper left corner
    driver_labels: Mapping[Driver, str] = field(default_factory=dict)  # words for the legend other than the usual ones


def frame_of_log(scene: Scene, step: int) -> Frame:
    """The recorded state of `scene` at `step`; every object is log-driven and no event is known."""
    tracks, num = scene.tracks, scene.num_agents
    columns = _history(step)
    return Frame(
        x=tracks.x[:, step],
        y=tracks.y[:, step],
        yaw=tracks.yaw[:, step],
        length=tracks.length[:, step],
        width=tracks.width[:, step],
        type=tracks.type,
        present=tracks.valid[:, step],
        controller=np.full(num, Driver.LOG, np.int8),
        state=np.zeros(num, np.uint8),
        id=tracks.id,
        time_s=float(scene.timestamps[step]),
        lamps=_lamps(scene, step),
        trails=_trails(tracks.x, tracks.y, tracks.valid, columns),
        focus=scene.sdc,
        text=(f"{scene.id}  log",),
    )


def frame_of_rollout(rollout: Rollout, t: int) -> Frame:
    """State `t` of a recorded rollout, with trails, and the log's own poses of the simulated agents as ghosts."""
    scene, step = rollout.scene, rollout.start_step + t
    return Frame(
        x=rollout.x[:, t],
        y=rollout.y[:, t],
        yaw=rollout.yaw[:, t],
        length=rollout.length,
        width=rollout.width,
        type=scene.tracks.type,
        present=rollout.present[:, t],
        controller=rollout.controller,
        state=rollout.state[:, t],
        id=scene.tracks.id,
        time_s=_time(scene, step),
        lamps=_lamps(scene, step),
        trails=_trails(rollout.x, rollout.y, rollout.present, _history(t)),
        ghosts=_ghosts(scene, step, np.arange(scene.num_agents), rollout.is_simulated),
        focus=scene.sdc,
        text=(f"{scene.id}  {rollout.policy}",),
    )


def frame_of_world(world: World, b: int = 0) -> Frame:
    """World `b` as it is now; a slot without a track is written with its own number."""
    scene, state, step = world.scenes[b], world.state, int(world.step_index[b])
    track = np.asarray(world.track[b])
    known = np.maximum(track, 0)
    controller = np.array(world.controller[b], np.int8)
    simulated = (track >= 0) & (controller != Driver.LOG) & (controller != Driver.NONE)
    focus = np.flatnonzero(track == scene.sdc) if scene.sdc is not None else np.zeros(0, int)
    # Copies: the world goes on writing into its own arrays.
    return Frame(
        x=state.x[b].copy(),
        y=state.y[b].copy(),
        yaw=state.yaw[b].copy(),
        length=state.length[b].copy(),
        width=state.width[b].copy(),
        type=state.type[b].copy(),
        present=state.present[b].copy(),
        controller=controller,
        state=world.events.state[b].copy(),
        id=np.where(track >= 0, scene.tracks.id[known], np.arange(len(track))),
        time_s=_time(scene, step),
        lamps=_lamps(scene, step),
        ghosts=_ghosts(scene, step, known, simulated),
        focus=int(focus[0]) if len(focus) else None,
        text=(scene.id,),
    )


def _history(t: int) -> slice:
    return slice(max(0, t - TRAIL_STEPS + 1), t + 1)


def _trails(x: Float, y: Float, valid: Bool, columns: slice) -> Trails:
    return Trails(xy=np.stack([x[:, columns], y[:, columns]], axis=-1), valid=valid[:, columns])


def _ghosts(scene: Scene, step: int, track: NDArray, wanted: Bool) -> Ghosts | None:
    if not 0 <= step < scene.num_steps:
        return None
    tracks = scene.tracks
    return Ghosts(
        x=tracks.x[track, step],
        y=tracks.y[track, step],
        yaw=tracks.yaw[track, step],
        valid=tracks.valid[track, step] & wanted,
    )


def _lamps(scene: Scene, step: int) -> Lamps | None:
    signals = scene.signals
    if not (signals.num_signals and 0 <= step < scene.num_steps):
        return None
    return Lamps(
        state=signals.state[:, step], stop=signals.stop[:, step], lane=signals.lane, valid=signals.valid[:, step]
    )


def _time(scene: Scene, step: int) -> float:
    last = scene.num_steps - 1
    return float(scene.timestamps[min(step, last)]) + 0.1 * max(0, step - last)
