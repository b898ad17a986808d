"""`trafficgym wosac pack`: from recorded rollouts to the archive that is uploaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from trafficgym.cli.wosac_validate import print_problems
from trafficgym.errors import ConfigError
from trafficgym.metrics.wosac.submission import Metadata, PackConfig, RefusedError, pack
from trafficgym.scene.sources import open_scenes
from trafficgym.world.rollout_file import RolloutFile

SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class Args:
    """Pack recorded rollouts into a submission: 150 shards in one flat `.tar.gz`.

    Status 1 where the server would refuse it; then nothing is written.
    """

    rollouts: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="ROLLOUTS...")]
    """Files of rollouts, as `trafficgym evaluate --save-rollouts` and `RolloutWriter` make them; 32 of each scene."""
    scenes: Path
    """All scenes of the split, a store or files; they say which objects are to be simulated."""
    account_name: str
    """The e-mail address that is registered at waymo.com/open."""
    method_name: str
    """Short, unique name of the method, for the leaderboard."""
    authors: tuple[str, ...]
    """Authors, each in quotes."""
    num_model_parameters: str
    """A whole number and K, M, B or T, such as 7M; 0K for none."""
    affiliation: str = ""
    """Of the authors."""
    description: str = ""
    """The method in a few words."""
    method_link: str = ""
    """Of a paper or page."""
    uses_lidar_data: bool = False
    """The model uses WOMD's lidar data."""
    uses_camera_data: bool = False
    """The model uses WOMD's camera data."""
    public_models: tuple[str, ...] = ()
    """Public models that it was pre-trained with, by name; none by default."""
    closed_loop: bool = False
    """Acknowledge that the method simulates in closed loop at 10 Hz, as the rules ask for; needed."""
    policy: str | None = None
    """Whose rollouts, where the files hold those of several policies."""
    num_shards: int = 150
    """How many shards."""
    out: Path = Path("submission.tar.gz")
    """The archive; replaced when the new one is complete."""


def main(argv: Sequence[str]) -> int:
    """Pack; return 0, or 1 where the submission would be refused."""
    args = tyro.cli(Args, prog="trafficgym wosac pack", args=list(argv))
    if not args.rollouts:
        raise ConfigError("trafficgym wosac pack needs a file of rollouts")
    if not args.closed_loop:
        raise ConfigError(
            "the challenge takes methods that simulate in closed loop at 10 Hz only; pass --closed-loop to say that "
            "yours does"
        )
    config = PackConfig(policy=args.policy, num_shards=args.num_shards)
    files, scenes = [RolloutFile(path) for path in args.rollouts], open_scenes(args.scenes)
    try:
        with _progress() as on_scenario:
            packed = pack(files, scenes, _metadata(args), args.out, config, on_scenario=on_scenario)
    except RefusedError as refused:
        print_problems("error", refused.problems, SHOWN)
        print(f"{args.out}: not written, since the server would refuse it")
        return 1
    print_problems("warning", packed.warnings, SHOWN)
    print(
        f"wrote {packed.path}: {packed.num_scenarios} scenarios in {packed.num_shards} shards, "
        f"{packed.num_bytes / 1e6:.1f} MB"
    )
    return 0


def _metadata(args: Args) -> Metadata:
    return Metadata(
        account_name=args.account_name,
        unique_method_name=args.method_name,
        authors=args.authors,
        affiliation=args.affiliation or None,
        description=args.description or None,
        method_link=args.method_link or None,
        uses_lidar_data=args.uses_lidar_data,
        uses_camera_data=args.uses_camera_data,
        uses_public_model_pretraining=bool(args.public_models),
        public_model_names=args.public_models,
        num_model_parameters=args.num_model_parameters,
        acknowledge_complies_with_closed_loop_requirement=args.closed_loop,
    )


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr that goes when it is done; nothing where stderr is no terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("scenes packed"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, num: bar.update(task, completed=done, total=num)
