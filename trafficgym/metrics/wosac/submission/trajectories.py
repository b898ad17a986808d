"""From recorded rollouts to what is submitted: every object that is there at step 10, at steps 11 to 90."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trafficgym.metrics.wosac.gaps import fill_gaps
from trafficgym.metrics.wosac.log import in_source
from trafficgym.metrics.wosac.submission.messages import NUM_STEPS
from trafficgym.metrics.wosac.submission.problems import SubmissionError, some
from trafficgym.metrics.wosac.submission.simulated import CURRENT_STEP, Ids, simulated_ids
from trafficgym.scene.scene import Scene
from trafficgym.world.recorded_rollouts import RecordedRollouts

_FIRST = CURRENT_STEP + 1
_END = _FIRST + NUM_STEPS


def submitted_trajectories(rollouts: RecordedRollouts, scene: Scene) -> tuple[Ids, NDArray[np.float32]]:
    """The trajectories that a submission holds.

    An object that a rollout loses goes on from its last state, at the latest that of the log at step 10, at constant
    velocity (`fill_gaps`). Objects that are not there at step 10 are left out.

    Args:
        rollouts: Of `scene`, from step 11 or earlier to step 90 or later.
        scene: Says which objects to simulate, and where they are at step 10.

    Returns:
        Object ids ``[N]``, ascending, and (x, y, z, yaw) in the source's coordinates, float32 ``[R, N, 80, 4]``, m
        and rad: the scene frame's float32 plus the origin in float64, rounded once.

    Raises:
        SubmissionError: the rollouts lack steps or objects, or hold numbers that are not finite.
        SceneError: the scene's current step is not 10.
    """
    ids = simulated_ids(scene)
    absent = np.setdiff1d(ids, rollouts.object_id)
    if len(absent):
        raise SubmissionError(
            f"scene {scene.id!r}: the rollouts lack {len(absent)} of {len(ids)} objects that are valid at step "
            f"{CURRENT_STEP}: {some(absent)}; simulate all of them"
        )
    begin, end = _FIRST - rollouts.start_step, _END - rollouts.start_step
    if begin < 0 or end > rollouts.num_steps:
        last = rollouts.start_step + rollouts.num_steps - 1
        raise SubmissionError(
            f"scene {scene.id!r}: the rollouts go from step {rollouts.start_step} to {last}; a submission needs the "
            f"{NUM_STEPS} steps from {_FIRST} to {_END - 1}"
        )
    rows = _rows(rollouts.object_id, ids)
    start = _log_at_current_step(scene, ids, rollouts.origin)
    motion = np.concatenate(
        [np.broadcast_to(start, (rollouts.num_rollouts, *start.shape)), rollouts.motion[:, rows, begin:end]], 2
    )
    present = np.ones(motion.shape[:-1], bool)
    present[..., 1:] = rollouts.present[:, rows, begin:end]
    _check_finite(scene.id, rollouts, ids, motion, present)
    filled = fill_gaps(motion, present)[..., 1:, :]
    position = in_source(filled[..., :3], rollouts.origin)
    return ids, np.concatenate([position, filled[..., 3:].astype(np.float32)], -1)


def _rows(object_id: Ids, ids: Ids) -> NDArray[np.intp]:
    """Where each of `ids` is among `object_id`, in which all of them are."""
    order = np.argsort(object_id)
    return order[np.searchsorted(object_id, ids, sorter=order)]


def _log_at_current_step(scene: Scene, ids: Ids, origin: NDArray[np.float64]) -> NDArray[np.float32]:
    """States of the log in the frame of `origin`, ``[N, 1, 6]``."""
    tracks, rows = scene.tracks, _rows(scene.tracks.id, ids)
    position = [getattr(tracks, axis)[rows, CURRENT_STEP] for axis in "xyz"]
    shifted = [values + shift for values, shift in zip(position, scene.origin - origin, strict=True)]
    rest = [getattr(tracks, name)[rows, CURRENT_STEP] for name in ("yaw", "vx", "vy")]
    return np.stack([*shifted, *rest], -1).astype(np.float32)[:, None]


def _check_finite(
    scene_id: str, rollouts: RecordedRollouts, ids: Ids, motion: NDArray[np.float32], present: NDArray[np.bool_]
) -> None:
    bad = present & ~np.isfinite(motion).all(-1)
    if bad.any():
        rollout, agent, step = (int(i) for i in np.argwhere(bad)[0])
        raise SubmissionError(
            f"scene {scene_id!r}: rollout {rollouts.rollout[rollout]} has numbers that are not finite for object "
            f"{ids[agent]} at step {CURRENT_STEP + step}"
        )
