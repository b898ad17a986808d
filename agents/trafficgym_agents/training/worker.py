"""One of the processes that train together, and what they tell each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist

from trafficgym.errors import ConfigError
from trafficgym_agents.training.errors import WorkerLostError


@dataclass(frozen=True)
class Worker:
    """Rank and number of the processes; the default is one that works alone.

    Everything below must be called by all workers in the same order. Alone, nothing is sent and nothing changes.

    Raises (every method):
        WorkerLostError: another worker is gone.
    """

    rank: int = 0
    count: int = 1

    @classmethod
    def current(cls) -> Worker:
        """This process in the group that torch.distributed has, whoever made it (`run_workers`, torchrun, Ray)."""
        if dist.is_available() and dist.is_initialized():
            return cls(dist.get_rank(), dist.get_world_size())
        return cls()

    @property
    def is_first(self) -> bool:
        """This one writes files and prints."""
        return self.rank == 0

    def seed(self, seed: int) -> np.random.Generator:
        """Seed torch, and make a generator; other numbers in every worker."""
        if seed < 0:
            raise ConfigError(f"seed is {seed}; it must be 0 or more")
        sequence = np.random.SeedSequence([seed, self.rank])
        torch.manual_seed(int(sequence.generate_state(1, np.uint64)[0] >> 1))
        return np.random.default_rng(sequence.spawn(1)[0])

    def average_gradients(self, parameters: Iterable[torch.nn.Parameter], weight: float) -> float:
        """Replace each gradient by the mean over all workers, so that n workers do what one with all scenes would.

        Args:
            parameters: The same in all workers; a gradient that one lacks counts as 0, and one that all lack stays
                None.
            weight: Number of terms that this worker's loss is the mean of; 0 leaves its gradients out.

        Returns:
            The weights of all workers together.
        """
        if self.count == 1:
            return weight
        trained = [p for p in parameters if p.requires_grad]
        flat = _flatten(trained, weight)
        with _contact():
            dist.all_reduce(flat)
        total, has_gradient = float(flat[-1]), flat[-1 - len(trained) : -1] > 0
        means = (flat[: -1 - len(trained)] / (total or 1.0)).split([p.numel() for p in trained])
        for parameter, mean, has in zip(trained, means, has_gradient.tolist(), strict=True):
            if has:
                parameter.grad = mean.view_as(parameter).to(parameter.dtype)
        return total

    def means(self, values: Mapping[str, float], weight: float) -> dict[str, float]:
        """Means over all workers, weighted; NaN where all weights are 0."""
        if self.count == 1:
            return {name: float(value) for name, value in values.items()}
        rows = [(float(value) * weight if weight else 0.0) for value in values.values()]
        total = torch.tensor([*rows, weight], dtype=torch.float64)
        with _contact():
            dist.all_reduce(total)
        mean = (total[:-1] / total[-1]).tolist()
        return dict(zip(values, mean, strict=True))

    def largest(self, values: Sequence[float]) -> list[float]:
        """The largest of each value over all workers."""
        found = torch.tensor(values, dtype=torch.float64)
        if self.count > 1:
            with _contact():
                dist.all_reduce(found, dist.ReduceOp.MAX)
        return found.tolist()

    def broadcast(self, data: bytes) -> bytes:
        """The first worker's bytes, in all of them."""
        if self.count == 1:
            return data
        size = torch.tensor([len(data)])
        with _contact():
            dist.broadcast(size, 0)
            found = torch.empty(int(size), dtype=torch.uint8)
            if self.is_first:
                found = _as_tensor(data)
            dist.broadcast(found, 0)
        return found.numpy().tobytes()

    def gather(self, data: bytes) -> list[bytes]:
        """Everyone's bytes in the order of the ranks, in the first worker; the others get nothing."""
        if self.count == 1:
            return [data]
        with _contact():
            sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(self.count)]
            dist.all_gather(sizes, torch.tensor([len(data)]))
            padded = torch.zeros(int(max(sizes)), dtype=torch.uint8)
            padded[: len(data)] = _as_tensor(data)
            found = [torch.empty_like(padded) for _ in sizes] if self.is_first else None
            dist.gather(padded, found, 0)
        return [row[: int(size)].numpy().tobytes() for row, size in zip(found or [], sizes, strict=False)]


def _flatten(parameters: Sequence[torch.nn.Parameter], weight: float) -> torch.Tensor:
    """Weighted gradients, then for each parameter whether it has one, then the weight."""
    has = [float(p.grad is not None and weight > 0) for p in parameters]
    rows = [
        p.grad.reshape(-1) * weight if p.grad is not None and weight > 0 else torch.zeros_like(p).reshape(-1)
        for p in parameters
    ]
    flat = torch.cat([row.detach() for row in rows])
    flat = flat.to(torch.promote_types(flat.dtype, torch.float32))  # a weight of 300 does not fit 8 bits of bfloat16
    return torch.cat([flat, flat.new_tensor([*has, weight])])


def _as_tensor(data: bytes) -> torch.Tensor:
    return torch.from_numpy(np.frombuffer(data, np.uint8).copy())


@contextmanager
def _contact() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise WorkerLostError(f"lost contact with another worker: {error}") from error
