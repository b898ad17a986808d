"""The worst scenes of an evaluation, drawn: every policy at the same moment, side by side."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trafficgym.metrics.infractions import first_step
from trafficgym.metrics.summary import SceneMeasures
from trafficgym.report.evaluation import Evaluation, EvaluationConfig, Outcome, roll_outs
from trafficgym.scene.scene import Scene
from trafficgym.viewer.camera import MAX_SCALE, Camera, fit
from trafficgym.viewer.frame import frame_of_rollout
from trafficgym.viewer.painter import Painter, Style
from trafficgym.viewer.record import record
from trafficgym.world.events import Event
from trafficgym.world.rollout import Rollout

BAD = Event.COLLISION | Event.OFF_ROAD
EVERY = 2
"""One picture for so many steps."""
FPS = 5.0
GAP = 4  # px between panels
MARGIN_M, REACH_M = 25.0, 60.0


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A picture of one bad scene; it moves where the file is a GIF."""

    scene_id: str
    caption: str
    path: Path


def worst_scenes(evaluation: Evaluation, num: int) -> list[Outcome]:
    """The scenes in which most agents collide or leave the road, less those that do in the log too (parked cars)."""

    def badness(outcome: Outcome) -> tuple[float, float, str]:
        driven = [one for one in outcome.measures if one.policy != "log"] or list(outcome.measures)
        excess = float(np.mean([_share_bad(one) for one in driven]))
        excess -= sum(_share_bad(one) for one in outcome.measures if one.policy == "log")
        return -excess, -float(np.mean([one.value("ade") or 0.0 for one in driven])), outcome.scene_id

    return sorted((outcome for outcome in evaluation.outcomes if outcome.measures), key=badness)[:num]


def _share_bad(one: SceneMeasures) -> float:
    return sum(one.value(key) or 0.0 for key in ("collision", "off_road"))


def draw_worst(evaluation: Evaluation, num: int, folder: Path) -> list[Clip]:
    """Drive the `num` worst scenes again and record each to `folder`, as GIF, or as PNG where Pillow is missing."""
    if num == 0:
        return []
    chosen = worst_scenes(evaluation, num)
    return [
        _draw(evaluation.scenes[outcome.index], outcome, evaluation.config, folder / f"worst-{rank}")
        for rank, outcome in enumerate(chosen, start=1)
    ]


def _draw(scene: Scene, outcome: Outcome, config: EvaluationConfig, path: Path) -> Clip:
    rollouts = [_worst_of(roll_outs(scene, policy, config)) for policy in config.policies]
    low, high = _region(scene, rollouts)
    size, columns = _panels(low, high, len(rollouts))
    scale = float(np.clip(np.min(np.array(size) / (high - low)), 0.5, MAX_SCALE))
    camera = Camera(tuple(((low + high) / 2).tolist()), scale)
    painter = Painter(size, Style(legend=False))
    if _can_gif():
        frames = _frames(scene, rollouts, camera, painter, columns, range(0, rollouts[0].num_steps, EVERY))
        (file,) = record(frames, path.with_suffix(".gif"), FPS)
    else:
        moment = _bad_moment(rollouts)
        (file,) = record(_frames(scene, rollouts, camera, painter, columns, [moment]), path.with_suffix(".png"), FPS)
    return Clip(scene_id=scene.id, caption=_caption(outcome), path=file)


def _worst_of(rollouts: Sequence[Rollout]) -> Rollout:
    return max(rollouts, key=lambda rollout: len(_bad_points(rollout)))


def _region(scene: Scene, rollouts: Sequence[Rollout]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Corners of what is shown: where things went wrong, at most `REACH_M` around their middle; else everything."""
    xy = np.concatenate([_bad_points(rollout) for rollout in rollouts])
    if not len(xy):
        camera = fit(scene)
        half = np.array([400.0, 400.0]) / camera.scale
        return np.array(camera.center) - half, np.array(camera.center) + half
    middle = np.median(xy, axis=0)
    low = np.maximum(xy.min(axis=0) - MARGIN_M, middle - REACH_M)
    high = np.minimum(xy.max(axis=0) + MARGIN_M, middle + REACH_M)
    return low, high


def _bad_points(rollout: Rollout) -> NDArray[np.float64]:
    """Where agents first collide or leave the road, ``[n, 2]`` m; without those that start so, as parked cars do."""
    step, happened = first_step(rollout, BAD)
    chosen = np.flatnonzero(happened & (step > 0) & rollout.is_simulated)
    return np.stack([rollout.x[chosen, step[chosen]], rollout.y[chosen, step[chosen]]], axis=1).astype(np.float64)


def _panels(low: NDArray[np.float64], high: NDArray[np.float64], num: int) -> tuple[tuple[int, int], int]:
    """Size of a panel (width, height) in px and number of columns: long regions are stacked, others two by two."""
    width, height = high - low
    if width > 2 * height:
        return (640, int(np.clip(640 * height / width, 120, 240))), 1
    if height > 2 * width:
        return (int(np.clip(480 * width / height, 140, 240)), 480), num
    return (320, 320), min(2, num)


def _bad_moment(rollouts: Sequence[Rollout]) -> int:
    """The step at which half of what goes wrong has gone wrong."""
    steps = [step[happened & (step > 0)] for step, happened in (first_step(rollout, BAD) for rollout in rollouts)]
    together = np.concatenate(steps)
    return int(np.median(together)) if len(together) else rollouts[0].num_steps // 2


def _frames(
    scene: Scene,
    rollouts: Sequence[Rollout],
    camera: Camera,
    painter: Painter,
    columns: int,
    steps: Sequence[int],
) -> Iterator[NDArray[np.uint8]]:
    for step in steps:
        panels = [
            painter.paint(scene, replace(frame_of_rollout(rollout, step), text=(rollout.policy,)), camera)
            for rollout in rollouts
        ]
        yield _tile(panels, columns)


def _tile(panels: Sequence[NDArray[np.uint8]], columns: int) -> NDArray[np.uint8]:
    """Panels of one size in rows from the upper left, with a gap between."""
    height, width, _ = panels[0].shape
    rows = math.ceil(len(panels) / columns)
    picture = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), 255, np.uint8)
    for number, panel in enumerate(panels):
        y, x = number // columns * (height + GAP), number % columns * (width + GAP)
        picture[y : y + height, x : x + width] = panel
    return picture


def _can_gif() -> bool:
    try:
        import PIL.Image  # noqa: F401
    except ImportError:
        return False
    return True


def _caption(outcome: Outcome) -> str:
    def share(one: SceneMeasures, key: str) -> str:
        value = one.value(key)
        return "?" if value is None else f"{100 * value:.0f} %"

    return "; ".join(
        f"{one.policy}: {share(one, 'collision')} collide, {share(one, 'off_road')} off-road"
        for one in outcome.measures
    )
