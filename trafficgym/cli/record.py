"""``trafficgym record``: a scene as a GIF, an MP4, or PNGs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from trafficgym.viewer.camera import Camera
    from trafficgym.viewer.clip import Clip


@dataclass(frozen=True)
class Args:
    """Record one scene to OUT: .gif, .mp4, or .png (a numbered sequence, or one picture with --step)."""

    source: tyro.conf.Positional[str]
    """Store, file or folder of scenes."""
    out: tyro.conf.Positional[str]
    """File to write; its suffix says what."""
    scene: str | None = None
    """Id of the scene, the beginning of an id, or its number; default the first."""
    policy: str = "log"
    """Who drives: log (the recording), idm, constant_velocity or random."""
    seed: int = 0
    """Seed of the rollout."""
    size: Annotated[tuple[int, int], tyro.conf.arg(metavar="W H")] = (800, 800)
    """Size of the picture, px."""
    fps: float = 10.0
    """Pictures per second; the scene has 10 per second."""
    follow: str = "none"
    """Track id to keep in the middle, sdc, or none to show everything that moves."""
    scale: float | None = None
    """Zoom in px/m; default 8 when following, else what shows everything."""
    step: int | None = None
    """Only this step."""
    ids: bool = False
    """Write the track ids."""
    theme: Literal["dark", "light"] = "dark"
    """Colours."""


def main(argv: Sequence[str]) -> int:
    """Write the film and say where.

    Raises:
        TrafficgymError: the source, the scene, the policy, the track or the step is not there, or the format cannot
            be written.
    """
    args = tyro.cli(Args, prog="trafficgym record", args=list(argv))
    from trafficgym.viewer.playlist import clip_of, find_scene, open_source
    from trafficgym.viewer.record import record

    scenes = open_source(args.source)
    scene = scenes[0 if args.scene is None else find_scene(scenes, args.scene)]
    written = record(_pictures(clip_of(scene, args.policy, args.seed), args), args.out, args.fps)
    print(written[0] if len(written) == 1 else f"{written[0]} ... {written[-1].name} ({len(written)} pictures)")
    return 0


def _pictures(clip: Clip, args: Args) -> Iterator[NDArray[np.uint8]]:
    from trafficgym.errors import ConfigError
    from trafficgym.viewer.painter import Painter, Style
    from trafficgym.viewer.palette import DARK, LIGHT

    if args.step is not None and not 0 <= args.step < clip.num_steps:
        raise ConfigError(f"--step {args.step}: scene {clip.scene.id!r} has steps 0 to {clip.num_steps - 1} here")
    painter = Painter(args.size, Style(palette=DARK if args.theme == "dark" else LIGHT, ids=args.ids))
    camera = _first_camera(clip, args)
    target = _target(clip, args.follow)
    for step in range(clip.num_steps) if args.step is None else (args.step,):
        frame = clip.frame(step)
        if target is not None and frame.present[target]:
            camera = camera.at(frame.x[target], frame.y[target])
        yield painter.paint(clip.scene, frame, camera)


def _first_camera(clip: Clip, args: Args) -> Camera:
    from dataclasses import replace

    from trafficgym.viewer.camera import fit

    camera = fit(clip.scene, args.size)
    scale = args.scale if args.scale is not None else camera.scale if args.follow == "none" else 8.0
    return replace(camera, scale=scale)


def _target(clip: Clip, follow: str) -> int | None:
    """Index of the track to follow."""
    from trafficgym.errors import ConfigError

    if follow == "none":
        return None
    if follow == "sdc":
        if clip.scene.sdc is None:
            raise ConfigError(
                f"--follow sdc: scene {clip.scene.id!r} does not say which track the SDC is; give a track id"
            )
        return clip.scene.sdc
    ids = [str(number) for number in clip.scene.tracks.id]
    if follow not in ids:
        raise ConfigError(
            f"--follow {follow}: scene {clip.scene.id!r} has the tracks {', '.join(ids)}, or say sdc or none"
        )
    return ids.index(follow)
