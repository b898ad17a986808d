"""The Arrow layout of recorded rollouts: one row a rollout, each column a number, a text, or a list of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trafficgym.world.recorded_rollouts import STATES, RecordedRollouts

FORMAT = "trafficgym rollouts"
FORMAT_VERSION = 1
"""Raised whenever the columns or their meaning change."""

SCHEMA = pa.schema(
    [
        pa.field("scene_id", pa.utf8(), nullable=False),
        pa.field("policy", pa.utf8(), nullable=False),
        pa.field("rollout", pa.int32(), nullable=False),
        pa.field("seed", pa.int64(), nullable=False),
        pa.field("start_step", pa.int32(), nullable=False),
        pa.field("num_steps", pa.int32(), nullable=False),
        pa.field("origin", pa.list_(pa.float64(), 3), nullable=False),
        pa.field("object_id", pa.list_(pa.int64()), nullable=False),
        pa.field("is_simulated", pa.list_(pa.bool_()), nullable=False),
        *(pa.field(name, pa.list_(pa.float32()), nullable=False) for name in STATES),
        pa.field("present", pa.list_(pa.bool_()), nullable=False),
    ],
    metadata={"trafficgym.format": FORMAT, "trafficgym.format_version": str(FORMAT_VERSION)},
)

WRITE_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
READ_OPTIONS = pa.ipc.IpcReadOptions(use_threads=False)


def to_batch(rollouts: RecordedRollouts) -> pa.RecordBatch:
    """Lay rollouts out as one row each."""
    num = rollouts.num_rollouts
    texts = [pa.array([text] * num, pa.utf8()) for text in (rollouts.scene_id, rollouts.policy)]
    steps = [np.full(num, value, np.int32) for value in (rollouts.start_step, rollouts.num_steps)]
    numbers = [rollouts.rollout.astype(np.int32), rollouts.seed.astype(np.int64), *steps]
    origin = np.tile(rollouts.origin.astype(np.float64), num)
    lists = [np.tile(rollouts.object_id.astype(np.int64), (num, 1)), rollouts.is_simulated]
    lists += [rollouts.motion[..., i].astype(np.float32, copy=False) for i in range(len(STATES))]
    arrays = [
        *texts,
        *map(pa.array, numbers),
        pa.FixedSizeListArray.from_arrays(pa.array(origin), 3),
        *(_lists(values.reshape(num, -1)) for values in (*lists, rollouts.present)),
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def _lists(values: NDArray[Any]) -> pa.ListArray:
    """One list a row."""
    offsets = np.arange(len(values) + 1, dtype=np.int32) * np.int32(values.shape[1])
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(np.ascontiguousarray(values).reshape(-1)))


def from_batch(batch: pa.RecordBatch) -> RecordedRollouts:
    """Return the rollouts of a record batch.

    Raises:
        ValueError: the columns do not fit together.
    """
    batch.validate(full=True)
    num = batch.num_rows

    def same(name: str) -> Any:
        values = set(batch.column(name).to_pylist())
        if len(values) != 1:
            raise ValueError(f"{name} differs among its rollouts: {sorted(values)}")
        return values.pop()

    def rows(name: str) -> NDArray[Any]:
        column = batch.column(name)
        lengths = np.diff(column.offsets.to_numpy())
        if (lengths != lengths[0]).any():
            raise ValueError(f"{name} differs in length among its rollouts")
        return column.flatten().to_numpy(zero_copy_only=False).reshape(num, -1)

    object_id = rows("object_id")
    if (object_id != object_id[0]).any():
        raise ValueError("the object ids differ among its rollouts")
    shape = (num, object_id.shape[1], same("num_steps"))
    return RecordedRollouts(
        scene_id=same("scene_id"),
        policy=same("policy"),
        rollout=batch.column("rollout").to_numpy().copy(),
        seed=batch.column("seed").to_numpy().copy(),
        start_step=same("start_step"),
        origin=batch.column("origin").flatten().to_numpy().reshape(num, 3)[0].copy(),
        object_id=object_id[0].copy(),
        is_simulated=rows("is_simulated"),
        motion=np.stack([rows(name).reshape(shape) for name in STATES], -1),
        present=rows("present").reshape(shape),
    )


def join(parts: Sequence[RecordedRollouts]) -> RecordedRollouts:
    """Put parts of the same scene and policy together, by ascending number.

    Raises:
        ValueError: they do not fit together.
    """
    first = parts[0]
    for part in parts:
        if not np.array_equal(part.object_id, first.object_id):
            raise ValueError("the object ids differ among its rollouts")
        if (part.start_step, part.num_steps) != (first.start_step, first.num_steps):
            raise ValueError("the steps differ among its rollouts")
        if not np.array_equal(part.origin, first.origin):
            raise ValueError("the origin differs among its rollouts")
    rollout = np.concatenate([part.rollout for part in parts])
    order = np.argsort(rollout, kind="stable")

    def joined(name: str) -> NDArray[Any]:
        if len(parts) == 1 and (order[1:] > order[:-1]).all():
            return getattr(first, name)
        return np.concatenate([getattr(part, name) for part in parts])[order]

    return RecordedRollouts(
        scene_id=first.scene_id,
        policy=first.policy,
        rollout=rollout[order],
        seed=joined("seed"),
        start_step=first.start_step,
        origin=first.origin,
        object_id=first.object_id,
        is_simulated=joined("is_simulated"),
        motion=joined("motion"),
        present=joined("present"),
    )
