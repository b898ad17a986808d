"""What the names ``"smart"`` and ``"smart:path/to/checkpoint.safetensors"`` of drivers stand for."""

from __future__ import annotations

from trafficgym.errors import ConfigError
from trafficgym_agents.policies.smart.checkpoint import SHIPPED
from trafficgym_agents.policies.smart.policy import SmartPolicy


def smart(argument: str | None) -> SmartPolicy:
    """The policy of a checkpoint.

    Args:
        argument: Path of a checkpoint, or the name of a shipped one (`SHIPPED`); None for ``"micro"``.

    Raises:
        ConfigError: there is no such file, or it is of no use.
    """
    path = argument or "micro"
    if path in SHIPPED and not SHIPPED[path].is_file():
        raise ConfigError(
            f"the checkpoint {path!r} has not been installed ({SHIPPED[path]} is missing); install the package anew, "
            "or give one of your own, as in smart:path/to/checkpoint.safetensors"
        )
    return SmartPolicy.load(path, name="smart" if argument is None else f"smart:{argument}")
