"""``trafficgym view``: a window in which scenes are watched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Args:
    """Watch scenes in a window: play, pause, step, scrub, zoom, follow. Press h in it for the keys."""

    source: tyro.conf.Positional[str]
    """Store, file or folder of scenes."""
    scene: str | None = None
    """Id of the scene to begin with, the beginning of an id, or its number; default the first."""
    policy: str = "log"
    """Who drives: log (the recording), idm, constant_velocity or random."""
    seed: int = 0
    """Seed of the rollouts."""
    size: Annotated[tuple[int, int], tyro.conf.arg(metavar="W H")] = (1000, 800)
    """Size of the picture, px."""


def main(argv: Sequence[str]) -> int:
    """Open the window; return when it is closed.

    Raises:
        TrafficgymError: the source, the scene or the policy is not there, or there is no display.
    """
    args = tyro.cli(Args, prog="trafficgym view", args=list(argv))
    from trafficgym.viewer.player import play
    from trafficgym.viewer.playlist import find_scene, open_source, playlist_of

    scenes = open_source(args.source)
    start = 0 if args.scene is None else find_scene(scenes, args.scene)
    play(playlist_of(scenes, args.policy, args.seed), scene=start, size=args.size)
    return 0
