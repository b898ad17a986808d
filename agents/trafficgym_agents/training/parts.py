"""State of what a training changes: modules, optimizers, generators, plain dicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from trafficgym_agents.training.errors import TrainingError
from trafficgym_agents.training.tensors import difference, not_finite


def is_shared(part: Any) -> bool:
    """Whether all workers hold the same: modules and optimizers do, generators and dicts are each worker's own."""
    return hasattr(part, "state_dict")


def state_of(part: Any) -> Any:
    """What `set_state` needs, in values that can be packed."""
    if isinstance(part, np.random.Generator):
        return part.bit_generator.state
    if isinstance(part, torch.Generator):
        return part.get_state()
    return part.state_dict() if is_shared(part) else part


def set_state(name: str, part: Any, state: Any) -> None:
    """Make a part what it was.

    Raises:
        TrainingError: a module has other tensors than were saved.
    """
    if isinstance(part, np.random.Generator):
        part.bit_generator.state = state
    elif isinstance(part, torch.Generator):
        part.set_state(state)
    elif isinstance(part, torch.nn.Module):
        if differs := difference(state, part.state_dict()):
            raise TrainingError(f"the saved {name} {differs}; the program changed: train anew in another folder")
        part.load_state_dict(state)
    elif is_shared(part):
        part.load_state_dict(state)
    else:
        part.clear()
        part.update(state)


def torch_random_state() -> dict[str, Any]:
    """Of torch's own generators, which dropout draws from."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def set_torch_random_state(state: Mapping[str, Any]) -> None:
    torch.set_rng_state(state["cpu"])
    if state["cuda"] and torch.cuda.device_count() == len(state["cuda"]):
        torch.cuda.set_rng_state_all(state["cuda"])


def reseed(parts: Mapping[str, Any], entropy: Sequence[int]) -> None:
    """Seed torch and all generators anew."""
    for index, part in enumerate(parts.values()):
        sequence = np.random.SeedSequence([*entropy, index])
        if isinstance(part, np.random.Generator):
            part.bit_generator.state = type(part.bit_generator)(sequence).state
        elif isinstance(part, torch.Generator):
            part.manual_seed(int(sequence.generate_state(1)[0]))
    torch.manual_seed(int(np.random.SeedSequence([*entropy, len(parts)]).generate_state(1)[0]))


def check_finite(parts: Mapping[str, Any]) -> None:
    """Raise TrainingError where a module holds NaN or an infinite number."""
    for name, part in parts.items():
        if isinstance(part, torch.nn.Module) and (tensor := not_finite(part.state_dict())):
            raise TrainingError(f"{name} has weights that are not finite, in {tensor!r}")
