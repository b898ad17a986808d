"""Processes to kill, forked from one that has loaded torch: starting them is quick."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from typing import Any

import pytest


@pytest.fixture(scope="session")
def start_process() -> Callable[..., BaseProcess]:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "torch._dynamo", "torch.distributed", "trafficgym_agents.training.run"])

    def start(target: Callable[..., None], *args: Any) -> BaseProcess:
        process = context.Process(target=target, args=args)
        process.start()
        return process

    return start
