"""``trafficgym record``: a scene as a GIF, an MP4, or PNGs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
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

    paths: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(name="", metavar="[SOURCE] OUT")] = ()
    """SOURCE: store, file or folder of scenes, unless --family or --scenario is given. OUT: file to write; its suffix
    says what."""
    family: str | None = None
    """Record a scenario of this family, such as cut-in: its hero follows its script."""
    scenario: str | None = None
    """Record the scenario in this JSON file, likewise."""
    scene: str | None = None
    """Id of the scene of SOURCE, the beginning of an id, or its number; default the first."""
    policy: str | None = None
    """Who drives: log (the recording, the default), idm, constant_velocity, random, or a policy of an installed
    package, such as smart:CHECKPOINT; in a scenario the ego alone, idm by default."""
    background: str | None = None
    """Who drives everybody but the ego and the hero in a scenario: idm (the default), or any other policy."""
    seed: int = 0
    """Seed of the rollout, or of the scenario."""
    size: Annotated[tuple[int, int], tyro.conf.arg(metavar="W H")] = (800, 800)
    """Size of the picture, px."""
    fps: float = 10.0
    """Pictures per second; the scene has 10 per second."""
    follow: str | None = None
    """Track id to keep in the middle, sdc, or none to show everything that moves; default sdc in a scenario, else
    none."""
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
    from trafficgym.errors import ConfigError
    from trafficgym.viewer.record import record

    is_scenario = args.family is not None or args.scenario is not None
    if len(args.paths) != (1 if is_scenario else 2):
        wanted = "OUT alone, a scenario being named" if is_scenario else "SOURCE and OUT, or --family and OUT"
        raise ConfigError(f"give {wanted}; got {' '.join(args.paths) or 'neither'}")
    args = replace(args, follow=args.follow or ("sdc" if is_scenario else "none"))
    written = record(_pictures(_clip(args), args), args.paths[-1], args.fps)
    print(written[0] if len(written) == 1 else f"{written[0]} ... {written[-1].name} ({len(written)} pictures)")
    return 0


def _clip(args: Args) -> Clip:
    from trafficgym.errors import ConfigError
    from trafficgym.viewer.live import clip_of_scenario
    from trafficgym.viewer.playlist import clip_of, find_scene, open_source, scenario_of

    scene = scenario_of(args.family, args.scenario, args.seed)
    if scene is not None:
        if args.scene is not None:
            raise ConfigError("--scene is for scenes of a SOURCE")
        return clip_of_scenario(scene, args.policy or "idm", background=args.background or "idm", seed=args.seed)
    if args.background is not None:
        raise ConfigError(
            "--background is for --family and --scenario; in scenes of a SOURCE --policy drives everybody"
        )
    scenes = open_source(args.paths[0])
    scene = scenes[0 if args.scene is None else find_scene(scenes, args.scene)]
    return clip_of(scene, args.policy or "log", args.seed)


def _pictures(clip: Clip, args: Args) -> Iterator[NDArray[np.uint8]]:
    import numpy as np

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
        for here in np.flatnonzero((frame.id == target) & frame.present):
            camera = camera.at(frame.x[here], frame.y[here])
        yield painter.paint(clip.scene, frame, camera)


def _first_camera(clip: Clip, args: Args) -> Camera:
    from trafficgym.viewer.camera import fit

    camera = fit(clip.scene, args.size)
    scale = args.scale if args.scale is not None else camera.scale if args.follow == "none" else 8.0
    return replace(camera, scale=scale)


def _target(clip: Clip, follow: str | None) -> int | None:
    """Id of the track to follow."""
    from trafficgym.errors import ConfigError

    if follow is None or follow == "none":
        return None
    if follow == "sdc":
        if clip.scene.sdc is None:
            raise ConfigError(
                f"--follow sdc: scene {clip.scene.id!r} does not say which track the SDC is; give a track id"
            )
        return int(clip.scene.tracks.id[clip.scene.sdc])
    ids = [str(number) for number in clip.scene.tracks.id]
    if follow not in ids:
        raise ConfigError(
            f"--follow {follow}: scene {clip.scene.id!r} has the tracks {', '.join(ids)}, or say sdc or none"
        )
    return int(follow)
