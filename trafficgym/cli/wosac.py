"""`trafficgym wosac`: the metric and the submissions of the Waymo Open Sim Agents Challenge."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from trafficgym.errors import ConfigError, nearest_key

COMMANDS = {
    "evaluate": "score a policy, or recorded rollouts, by the realism meta-metric",
    "validate": "check a submission: every problem with the scenario and the reason",
    "pack": "pack recorded rollouts into the archive that is uploaded",
}


def main(argv: Sequence[str]) -> int:
    """Run ``trafficgym wosac ARGV`` and return the exit status."""
    name, *rest = argv or ["--help"]
    if name in ("-h", "--help", "help"):
        print(_help())
        raise SystemExit(0)
    if name not in COMMANDS:
        raise ConfigError(f"there is no command `trafficgym wosac {name}`; {nearest_key(name, COMMANDS)}")
    command = importlib.import_module(f"trafficgym.cli.wosac_{name}")
    return int(command.main(rest))


def _help() -> str:
    lines = [f"  {name:<10}{purpose}" for name, purpose in COMMANDS.items()]
    return "\n".join(
        [
            "usage: trafficgym wosac COMMAND [ARGUMENTS]",
            "",
            "The Waymo Open Sim Agents Challenge (WOSAC): its metric and its submissions.",
            "",
            "commands:",
            *lines,
            "",
            "trafficgym wosac COMMAND --help says more.",
        ]
    )
