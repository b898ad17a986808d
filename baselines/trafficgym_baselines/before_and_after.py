"""A film of a scene in which agents crash before a fine-tuning and don't after it, side by side.

    python -m trafficgym_baselines.before_and_after --before a.safetensors --after b.safetensors --out out/film.gif

Both sides begin alike and draw with the same seed. The scene is picked because it looks well, and so proves nothing:
how many rollouts crash on either side is printed beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pygame
import torch
import tyro
from numpy.typing import NDArray

from trafficgym.errors import ConfigError, TrafficgymError
from trafficgym.scene.scene import Scene
from trafficgym.viewer.camera import Camera
from trafficgym.viewer.frame import TRAIL_STEPS, Frame, Trails, frame_of_log
from trafficgym.viewer.painter import Painter, Style
from trafficgym.viewer.record import record
from trafficgym.viewer.surface import surface_of
from trafficgym.viewer.text import render
from trafficgym.world.events import Event
from trafficgym.world.state import DT, Driver
from trafficgym_agents.policies.smart.sampling import Sampling
from trafficgym_baselines.crashes import SHOWN_AFTER, CrashPair, Search, find_crash_pair
from trafficgym_baselines.evaluate_simulators import load_simulator, simulated
from trafficgym_baselines.sources import held_out_scenes

Picture = NDArray[np.uint8]

STRIP, GAP = 40, 6  # px, height of the titles and space between the sides
HELD = 12  # frames that the last one stays


@dataclass(frozen=True, kw_only=True)
class Args:
    """Film a scene in which the first checkpoint crashes and the second doesn't."""

    before: str
    """Checkpoint, or micro."""
    after: str
    """Checkpoint, or micro."""
    scenes: Path | None = None
    """Store, file or folder of scenes, every fifth of which is used; generated ones by default."""
    num_scenes: int = 20
    rollouts: int = 8
    """Of each scene."""
    sampling: Sampling = field(default_factory=Sampling)
    """How tokens are drawn."""
    seed: int = 0
    size: int = 440
    """Width and height of each side, px."""
    out: Path = Path("out/before_after.gif")
    """GIF, MP4 or PNG."""


def rollouts_of_both(args: Args) -> Iterator[tuple[Scene, NDArray[np.float32], NDArray[np.float32]]]:
    """Scenes with rollouts of both checkpoints, as `find_crash_pair` takes them."""
    sides = [load_simulator(path, args.sampling) for path in (args.before, args.after)]
    for scene in held_out_scenes(args.scenes, args.num_scenes)[0]:
        before, after = (simulated(scene, *side, num=args.rollouts, seed=args.seed) for side in sides)
        yield scene, before, after


def film(pair: CrashPair, path: Path, *, size: int = 440, titles: tuple[str, str] = ("before", "after")) -> Path:
    """Write the pair side by side; see `trafficgym.viewer.record.record`.

    Args:
        pair: What is shown, until 2 s after the crash.
        path: GIF, MP4 or PNG.
        size: Width and height of each side, px.
        titles: Of the sides.
    """
    record(_pictures(pair, size, titles), path, fps=10)
    return path


def _pictures(pair: CrashPair, size: int, titles: tuple[str, str]) -> Iterator[Picture]:
    painters = [Painter((size, size), Style(legend=False)) for _ in titles]
    camera = _camera(pair, size)
    last = min(pair.crash.step + 1 + SHOWN_AFTER, pair.before.shape[1])
    picture = np.zeros((size + STRIP, 2 * size + GAP, 3), np.uint8)
    picture[:] = painters[0].style.palette.panel
    for k, title in enumerate(titles):
        text = render(title, 34, painters[0].style.palette.text)
        middle = k * (size + GAP) + size / 2
        surface_of(picture).blit(text, (round(middle - text.get_width() / 2), round((STRIP - text.get_height()) / 2)))
    for t in range(last + 1):
        for k, painter in enumerate(painters):
            left = k * (size + GAP)
            picture[STRIP:, left : left + size] = painter.paint(pair.scene, _frame(pair, t, is_before=k == 0), camera)
        for _ in range(HELD if t == last else 1):
            yield picture.copy()


def _camera(pair: CrashPair, size: int) -> Camera:
    """A view of the crash and of how the two come to it and would go on; at least 45 m, at most 90 m wide."""
    first, last = max(pair.crash.step - 30, 0), pair.crash.step
    ways = np.concatenate([side[list(pair.crash.agents), first : last + 10, :2] for side in (pair.before, pair.after)])
    points = ways.reshape(-1, 2).astype(np.float64)
    x, y = pair.before[list(pair.crash.agents), last, :2].mean(0)
    extent = 2.2 * np.abs(points - (x, y)).max()
    return Camera((float(x), float(y)), size / float(np.clip(extent, 45.0, 90.0)))


def _frame(pair: CrashPair, t: int, *, is_before: bool) -> Frame:
    """State `t` of a side; 0 is the current step of the log. The two of the crash have a colour of their own."""
    scene, crash, motion = pair.scene, pair.crash, pair.before if is_before else pair.after
    tracks, now = scene.tracks, scene.current_step
    start = np.stack([getattr(tracks, name)[:, now] for name in ("x", "y", "z", "yaw")], -1)[:, None]
    states = np.concatenate([start, motion[:, :t]], 1)
    past, here = states[:, -TRAIL_STEPS:], tracks.valid[:, now]
    state, controller = np.zeros(scene.num_agents, np.uint8), np.full(scene.num_agents, Driver.POLICY, np.int8)
    controller[list(crash.agents)] = Driver.EXTERNAL
    words = "no collision"
    if is_before and t > crash.step:
        state[list(crash.agents)] = Event.COLLISION
        words = f"collision at {DT * (crash.step + 1):.1f} s"
    return replace(
        frame_of_log(scene, min(now + t, scene.num_steps - 1)),
        x=states[:, -1, 0],
        y=states[:, -1, 1],
        yaw=states[:, -1, 3],
        length=tracks.length[:, now],
        width=tracks.width[:, now],
        present=here,
        controller=controller,
        state=state,
        time_s=DT * t,
        trails=Trails(xy=past[..., :2], valid=np.broadcast_to(here[:, None], past.shape[:2])),
        focus=None,
        text=(words,),
    )


def before_and_after(args: Args) -> Search:
    """Look for a pair and film it.

    Raises:
        ConfigError: a checkpoint is of no use, or there is no such pair.
    """
    torch.set_num_threads(1)
    pygame.font.init()
    search = find_crash_pair(rollouts_of_both(args))
    if search.pair is None:
        raise ConfigError(str(search))
    film(search.pair, args.out, size=args.size)
    return search


def main() -> None:
    args = tyro.cli(Args, prog="before_and_after")
    print(f"{before_and_after(args)}\n{args.out}: {args.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    try:
        main()
    except TrafficgymError as error:
        raise SystemExit(f"error: {error}") from None
