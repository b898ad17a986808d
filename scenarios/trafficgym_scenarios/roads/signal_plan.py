"""Traffic signals that repeat a fixed plan."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trafficgym.scene.scene import SignalState


@dataclass(frozen=True, kw_only=True)
class SignalPhase:
    """One stretch of green."""

    duration: float  # s of green; yellow and all-red follow
    green: tuple[int, ...]  # lane features that have it
    walk: tuple[str, ...] = ()  # crosswalks that pedestrians may begin to cross meanwhile


@dataclass(frozen=True, kw_only=True)
class SignalPlan:
    """Phases in turn, each followed by yellow and by red for all; who is green in the next phase too stays green."""

    phases: tuple[SignalPhase, ...]
    lanes: tuple[int, ...]  # signalled lane features; each signal stands where its lane begins
    arrows: tuple[bool, ...]  # whether the signal of each lane shows arrows
    yellow: float = 3.5  # s
    all_red: float = 1.5  # s

    @property
    def cycle(self) -> float:
        """s until everything repeats."""
        return sum(phase.duration for phase in self.phases) + len(self.phases) * (self.yellow + self.all_red)

    def states(self, time: ArrayLike) -> NDArray[np.int8]:
        """What each of `lanes` shows at each `time` ``[T]`` s of the plan: `SignalState`, int8 ``[S, T]``."""
        stop, caution, go = (
            np.where(self.arrows, arrow, plain)
            for arrow, plain in (
                (SignalState.ARROW_STOP, SignalState.STOP),
                (SignalState.ARROW_CAUTION, SignalState.CAUTION),
                (SignalState.ARROW_GO, SignalState.GO),
            )
        )
        ends, rows = [], []
        for phase, following in zip(self.phases, (*self.phases[1:], self.phases[0]), strict=True):
            now = np.isin(self.lanes, phase.green)
            stays = now & np.isin(self.lanes, following.green)
            rows += [np.where(now, go, stop), np.where(stays, go, np.where(now, caution, stop))]
            rows.append(np.where(stays, go, stop))
            ends += [phase.duration, self.yellow, self.all_red]
        at = np.searchsorted(np.cumsum(ends)[:-1], np.asarray(time, np.float64) % self.cycle, side="right")
        return np.ascontiguousarray(np.array(rows, np.int8)[at].T)

    def walk(self, crosswalk: str, time: ArrayLike) -> NDArray[np.bool_]:
        """Whether pedestrians may begin to cross at each `time` ``[T]`` s of the plan, bool ``[T]``."""
        starts = np.cumsum([0.0] + [phase.duration + self.yellow + self.all_red for phase in self.phases])
        now = np.asarray(time, np.float64) % self.cycle
        walks = np.zeros(now.shape, bool)
        for phase, start in zip(self.phases, starts[:-1], strict=True):
            if crosswalk in phase.walk:
                walks |= (start <= now) & (now < start + phase.duration)
        return walks
