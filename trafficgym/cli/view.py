"""``trafficgym view``: a window in which scenes are watched, or scenarios played."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    from trafficgym.viewer.playlist import Playlist


@dataclass(frozen=True)
class Args:
    """Watch scenes in a window: play, pause, step, scrub, zoom, follow. Press h in it for the keys.

    With --family or --scenario a scenario is played live: its hero follows its script, the arrow keys take over the
    ego, and one can go back only to what was played.
    """

    source: tyro.conf.Positional[str | None] = None
    """Store, file or folder of scenes; or give --family or --scenario."""
    family: str | None = None
    """Play a scenario of this family, such as cut-in; n and p in the window go to other seeds."""
    scenario: str | None = None
    """Play the scenario in this JSON file."""
    scene: str | None = None
    """Id of the scene of SOURCE to begin with, the beginning of an id, or its number; default the first."""
    policy: str | None = None
    """Who drives in scenes of SOURCE: log (the recording, the default), idm, constant_velocity, random, or a policy of
    an installed package, such as smart:CHECKPOINT."""
    background: str | None = None
    """Who drives everybody but the ego and the hero in a scenario: idm (the default), or any other policy. Agents
    of one that takes goals can be sent to them by clicks."""
    seed: int = 0
    """Seed of the rollouts, or of the scenario."""
    size: Annotated[tuple[int, int], tyro.conf.arg(metavar="W H")] = (1000, 800)
    """Size of the picture, px."""


def main(argv: Sequence[str]) -> int:
    """Open the window; return when it is closed.

    Raises:
        TrafficgymError: the source, the scene, the family or the policy is not there, options contradict each other,
            or there is no display.
    """
    args = tyro.cli(Args, prog="trafficgym view", args=list(argv))
    from trafficgym.viewer.player import play

    playlist, start = _playlist(args)
    play(playlist, scene=start, size=args.size)
    return 0


def _playlist(args: Args) -> tuple[Playlist, int]:
    """What to watch, and the number to begin with."""
    from trafficgym.errors import ConfigError
    from trafficgym.viewer.playlist import (
        find_scene,
        open_source,
        playlist_of,
        playlist_of_family,
        playlist_of_scenario,
    )

    given = [name for name in ("source", "family", "scenario") if getattr(args, name) is not None]
    if len(given) != 1:
        raise ConfigError(
            f"give one of SOURCE, --family and --scenario, not {' and '.join(given) if given else 'none of them'}"
        )
    if args.source is None:
        for option in ("scene", "policy"):
            if getattr(args, option) is not None:
                raise ConfigError(
                    f"--{option} is for scenes of a SOURCE; in --{given[0]} idm drives the ego, or your keys do, and "
                    "--background drives the others"
                )
        background = args.background or "idm"
        if args.family is not None:
            return playlist_of_family(args.family, background), args.seed
        return playlist_of_scenario(str(args.scenario), args.seed, background), 0
    if args.background is not None:
        raise ConfigError(
            "--background is for --family and --scenario; in scenes of a SOURCE --policy drives everybody"
        )
    scenes = open_source(args.source)
    start = 0 if args.scene is None else find_scene(scenes, args.scene)
    return playlist_of(scenes, args.policy or "log", args.seed), start
