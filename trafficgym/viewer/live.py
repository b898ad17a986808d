"""A scene that is played while it is watched."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from trafficgym.metrics.criticality import conflicts
from trafficgym.metrics.trajectories import Trajectories
from trafficgym.viewer.clip import Clip
from trafficgym.viewer.ego_driver import BICYCLE, EgoDriver
from trafficgym.viewer.frame import TRAIL_STEPS, Frame, Goals, Trails, frame_of_world
from trafficgym.viewer.goals import ClickedGoals
from trafficgym.viewer.palette import DRIVER_LABELS, EVENT_BADGES
from trafficgym.world.config import WorldConfig
from trafficgym.world.controllers import Control, Policy, select
from trafficgym.world.roll_out import check_policy
from trafficgym.world.state import Driver
from trafficgym.world.world import World

if TYPE_CHECKING:
    from trafficgym.scene.scene import Scene


class LiveRun:
    """One episode of a scene that goes on as far as its frames are asked for.

    Heroes follow their scripts.

    Args:
        scene: The scene.
        ego: Who drives the ego, by the name of a policy that `roll_out` knows; an `EgoDriver` leaves it to keys.
        background: Who drives the others but the heroes, likewise; one that takes goals (`GoalDriver`) gets those of
            `send`.
        seed: Of the world.

    Attributes:
        num_steps: States of the whole episode.
        ego: Slot of the ego.
        driver: Of the ego, where keys may drive it.

    Raises:
        ConfigError: no policy of that name.
    """

    def __init__(self, scene: Scene, ego: str | Policy, *, background: str | Policy = "idm", seed: int = 0) -> None:
        for policy in (ego, background):
            if isinstance(policy, str):
                check_policy(policy)
        self.scene, self.driver = scene, ego if isinstance(ego, EgoDriver) else None
        self._goals = ClickedGoals(background)
        control: Control = {"all": self._goals.driver, "ego": ego}
        config = WorldConfig(watch_log=True)  # an ego that follows its log is judged like any other
        self._world = World([scene], dynamics=BICYCLE, control=control, config=config, seeds=[seed])
        self.num_steps = int(self._world.end_step[0] - self._world.step_index[0]) + 1
        track = int(select(scene, "ego", int(self._world.step_index[0])).argmax())
        self.ego = int(np.flatnonzero(self._world.track[0] == track)[0])
        self._least_ttc = math.inf
        self._infractions: dict[str, float] = {}
        self._frames: list[Frame] = []
        self._add()

    @property
    def num_played(self) -> int:
        """How many states there are so far."""
        return len(self._frames)

    @property
    def goals(self) -> Goals:
        """Who is sent where, and whose driver takes goals."""
        return self._goals.marks(self._world)

    def send(self, slot: int, goal: tuple[float, float] | None) -> None:
        """Give a slot a goal, (x, y) m in the scene frame, or None, from the next decision of its driver on."""
        self._goals.put(slot, goal)

    def frame(self, step: int) -> Frame:
        """State `step`, from 0; the run is played up to there."""
        while len(self._frames) <= step:
            self._world.step()
            self._add()
        return self._frames[step]

    def _add(self) -> None:
        frame = frame_of_world(self._world)
        frame = replace(frame, focus=self.ego, ghosts=None)
        by_keys = self.driver is not None and self.driver.by_keys
        if self.driver is not None:
            frame.controller[self.ego] = Driver.EXTERNAL if by_keys else Driver.IDM
        past = [*self._frames[-TRAIL_STEPS + 1 :], frame]
        trails = Trails(
            xy=np.stack([np.stack([one.x, one.y], -1) for one in past], 1),
            valid=np.stack([one.present for one in past], 1),
        )
        labels = {Driver.EXTERNAL: "you"}
        self._frames.append(replace(frame, trails=trails, driver_labels=labels, text=self._text(frame, by_keys)))

    def _text(self, frame: Frame, by_keys: bool) -> tuple[str, ...]:
        """Who drives the ego and how fast, what heroes do, how close it came, and what went wrong when."""
        world = self._world
        speed, ttc = float(world.state.speed[0, self.ego]), self._ttc()
        self._least_ttc = min(self._least_ttc, ttc)
        for event, (_, word) in EVENT_BADGES.items():
            if frame.state[self.ego] & event:
                self._infractions.setdefault(word, frame.time_s)
        driver = "you drive" if by_keys else f"{DRIVER_LABELS[Driver(int(frame.controller[self.ego]))]} drives the ego"
        lines = [self.scene.id, driver, f"{speed:.1f} m/s   {3.6 * speed:.0f} km/h"]
        phases = world.hero_phase[0]
        for slot in np.flatnonzero(phases >= 0).tolist():
            script = self.scene.scripts[int(world.track[0, slot])]
            lines.append(f"hero {frame.id[slot]}: {script.phases[phases[slot]].name}")
        ways = self._goals.watch(world.state.x[0], world.state.y[0], frame.time_s)
        lines += [f"agent {frame.id[slot]}: {words}" for slot, words in ways]
        lines.append(f"TTC {_seconds(ttc)}   least {_seconds(self._least_ttc)}")
        return (*lines, *(f"{word} at {time:.1f} s" for word, time in self._infractions.items()))

    def _ttc(self) -> float:
        """Time to collision of the ego with anybody now, s, inf where there is no conflict."""
        state = self._world.state
        names = ("x", "y", "z", "yaw", "vx", "vy")
        motion = Trajectories(
            **{name: getattr(state, name)[0, :, None].astype(np.float64) for name in names},
            **{name: getattr(state, name)[0].astype(np.float64) for name in ("length", "width", "height")},
            present=state.present[0, :, None],
        )
        return float(conflicts(motion, np.arange(len(motion.x)) == self.ego)[0][self.ego, 0])


def _seconds(time: float) -> str:
    return f"{time:.1f} s" if math.isfinite(time) else "-"


def live_clip(scene: Scene, *, title: str = "", background: str | Policy = "idm", seed: int = 0) -> Clip:
    """The scene as a run that keys can join; see `LiveRun`."""
    run = LiveRun(scene, EgoDriver(), background=background, seed=seed)
    return Clip(scene=scene, num_steps=run.num_steps, frame=run.frame, title=title, run=run)


def clip_of_scenario(scene: Scene, ego: str, *, background: str = "idm", seed: int = 0) -> Clip:
    """The scene as a run without keys; see `LiveRun`.

    Raises:
        ConfigError: there is no such policy.
    """
    run = LiveRun(scene, ego, background=background, seed=seed)
    return Clip(scene=scene, num_steps=run.num_steps, frame=run.frame)
