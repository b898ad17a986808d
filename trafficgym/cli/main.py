"""The `trafficgym` command: it finds the subcommand, and turns what goes wrong into one line and a status.

Exit status: 0 done, 1 the command found something wrong, 2 wrong use or unusable input, 130 interrupted.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from trafficgym.errors import ConfigError, TrafficgymError, nearest_key

COMMANDS = {
    "convert": "read scenes in any known format and write a scene store",
    "info": "say what a scene store, or a file of scenes, holds",
    "evaluate": "drive scenes with one or more policies; table, JSON, report, GIFs",
    "wosac": "realism as the Waymo Open Sim Agents Challenge measures it; check and pack submissions",
    "view": "open a window on a scene: play, step, scrub, zoom, follow",
    "record": "write a scene or a closed-loop run as GIF, MP4 or PNG",
    "doctor": "versions, display, data path, and the fix for what is wrong",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``trafficgym ARGV`` (default: the process's own arguments) and return the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        status = _dispatch(arguments)
        sys.stdout.flush()  # so that a reader that went away shows up here, not at exit
        return status
    except TrafficgymError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        _silence_stdout()
        return 0


def _dispatch(arguments: list[str]) -> int:
    name = arguments[0] if arguments else "--help"
    if name in ("-h", "--help", "help"):
        print(_help())
        return 0
    if name in ("-V", "--version", "version"):
        print(f"trafficgym {_version()}")
        return 0
    if name not in COMMANDS:
        raise ConfigError(f"there is no command {name!r}; {nearest_key(name, COMMANDS)}")
    command = importlib.import_module(f"trafficgym.cli.{name}")
    return int(command.main(arguments[1:]))


def _help() -> str:
    lines = [f"  {name:<10}{purpose}" for name, purpose in COMMANDS.items()]
    return "\n".join(
        ["usage: trafficgym COMMAND [ARGUMENTS]", "", "commands:", *lines, "", "trafficgym COMMAND --help says more."]
    )


def _version() -> str:
    try:
        return version("trafficgym")
    except PackageNotFoundError:
        return "(not installed: run from a checkout)"


def _silence_stdout() -> None:
    """Point stdout at nothing, so that the interpreter's own flush at exit does not complain about a closed pipe."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
