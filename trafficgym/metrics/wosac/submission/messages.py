"""The messages of a submission as arrays, both ways, without a Python loop over numbers.

A joint scene that was written as usual has trajectories whose bytes are laid out alike, and is decoded as one
matrix of bytes. Any other goes through protobuf, one trajectory at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from trafficgym.metrics.wosac import sim_agents_pb2
from trafficgym.metrics.wosac.submission.problems import SubmissionError

NUM_ROLLOUTS = 32
NUM_STEPS = 80
_FIELDS = ("center_x", "center_y", "center_z", "heading")
_LARGEST_MESSAGE = 2**31 - 1  # protobuf's own limit
_LENGTH_DELIMITED = 2
_FIXED_WIDTH = {1: 8, 5: 4}

_VALUES = 4 * NUM_STEPS  # bytes of one packed field
_HEADERS = [bytes([number << 3 | _LENGTH_DELIMITED, _VALUES & 0x7F | 0x80, _VALUES >> 7]) for number in (2, 3, 4, 5)]
_STRIDE = len(_HEADERS[0]) + _VALUES
_BODY = len(_HEADERS) * _STRIDE
_ID_TAG = 6 << 3


@dataclass(frozen=True, kw_only=True, eq=False)
class JointScene:
    """One rollout of all objects as it was submitted, right or wrong."""

    object_id: NDArray[np.int64]  # (n,)
    lengths: NDArray[np.int64]  # (n, 4) numbers in center_x, center_y, center_z, heading
    values: NDArray[np.float32]  # those numbers, one trajectory after another, field after field; m, rad

    @property
    def is_regular(self) -> bool:
        """Whether every field of every trajectory has 80 numbers."""
        return bool((self.lengths == NUM_STEPS).all())

    def trajectories(self) -> NDArray[np.float32]:
        """(x, y, z, yaw) in the source's coordinates, ``[n, 80, 4]``; only of a joint scene that is regular."""
        return self.values.reshape(-1, len(_FIELDS), NUM_STEPS).swapaxes(1, 2)


@dataclass(frozen=True, kw_only=True, eq=False)
class ScenarioRollouts:
    """All joint scenes of one scenario as they were submitted, right or wrong."""

    scenario_id: str  # empty where it is not set
    joint_scenes: tuple[JointScene, ...]

    def trajectories(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Object ids ``[N]``, ascending, and (x, y, z, yaw) in the source's coordinates, ``[R, N, 80, 4]`` m, rad.

        Raises:
            SubmissionError: a field has not 80 numbers, or the joint scenes hold different objects.
        """
        if not self.joint_scenes:
            raise SubmissionError(f"scenario {self.scenario_id!r} has no joint scenes")
        orders = [np.argsort(one.object_id, kind="stable") for one in self.joint_scenes]
        ids = [one.object_id[order] for one, order in zip(self.joint_scenes, orders, strict=True)]
        for number, one in enumerate(self.joint_scenes):
            if not one.is_regular or not np.array_equal(ids[number], ids[0]):
                raise SubmissionError(
                    f"scenario {self.scenario_id!r}: joint scene {number} has other objects than the first one, or not "
                    f"{NUM_STEPS} steps; `trafficgym wosac validate` says which"
                )
        ordered = [one.trajectories()[order] for one, order in zip(self.joint_scenes, orders, strict=True)]
        return ids[0], np.stack(ordered)


def decode(message: bytes) -> ScenarioRollouts:
    """Read a serialized ScenarioRollouts.

    Raises:
        SubmissionError: it is damaged.
    """
    try:
        found = sim_agents_pb2.ScenarioRollouts.FromString(message)
        joint_scenes = tuple(_decode_joint_scene(one.simulated_trajectories) for one in found.joint_scenes)
        return ScenarioRollouts(scenario_id=found.scenario_id, joint_scenes=joint_scenes)
    except (DecodeError, UnicodeDecodeError) as error:
        raise SubmissionError(f"is no ScenarioRollouts message: {error}") from error


def encode(scenario_id: str, object_id: NDArray[np.integer], trajectories: NDArray[np.float32]) -> bytes:
    """Serialize a ScenarioRollouts, to the bytes that protobuf would write.

    Args:
        object_id: Ids of the objects, ``[N]``, each a 32-bit number.
        trajectories: (x, y, z, yaw) in the source's coordinates, ``[R, N, 80, 4]``, m and rad.
    """
    num_rollouts, num_objects = trajectories.shape[:2]
    body = np.empty((num_rollouts, num_objects, _BODY), np.uint8)
    packed = np.ascontiguousarray(trajectories.swapaxes(2, 3), "<f4").view(np.uint8)
    for field, header in enumerate(_HEADERS):
        begin = field * _STRIDE
        body[..., begin : begin + len(header)] = np.frombuffer(header, np.uint8)
        body[..., begin + len(header) : begin + _STRIDE] = packed[:, :, field]
    id_fields = [bytes([_ID_TAG]) + varint(int(id)) for id in object_id]
    out = _delimited(1, scenario_id.encode())
    for rollout in body:
        messages = [_delimited(1, row.tobytes() + id) for row, id in zip(rollout, id_fields, strict=True)]
        out += _delimited(2, b"".join(messages))
    return out


def fields(stream: BinaryIO) -> Iterator[tuple[int, bytes, bytes]]:
    """The fields of a serialized message, one at a time: number, payload, and the field's own bytes before it.

    Of a field of bytes the payload comes without its length; of a number the payload is empty, and its bytes
    are among those before it.

    Raises:
        SubmissionError: the message is cut off, or is no protobuf message.
    """
    while True:
        head = _read_varint(stream, may_end=True)
        if not head:
            return
        tag = _value(head)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            head += _read_varint(stream)
        elif kind in _FIXED_WIDTH:
            head += _read(stream, _FIXED_WIDTH[kind])
        elif kind == _LENGTH_DELIMITED:
            length = _read_varint(stream)
            yield number, _read(stream, _value(length)), head + length
            continue
        if number == 0 or kind not in (0, *_FIXED_WIDTH):
            raise SubmissionError("is no SimAgentsChallengeSubmission message")
        yield number, b"", head


def varint(value: int) -> bytes:
    """A whole number in protobuf's variable width; negative ones take ten bytes."""
    value &= 2**64 - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _decode_joint_scene(messages: Sequence[bytes]) -> JointScene:
    bodies = [message[:_BODY] for message in messages]
    ids = [_own_id(message) for message in messages]
    if None not in ids and bodies:
        rows = np.frombuffer(b"".join(bodies), np.uint8).reshape(len(bodies), len(_HEADERS), _STRIDE)
        width = len(_HEADERS[0])
        if (rows[:, :, :width] == np.frombuffer(b"".join(_HEADERS), np.uint8).reshape(-1, width)).all():
            return JointScene(
                object_id=np.array(ids, np.int64),
                lengths=np.full((len(rows), len(_FIELDS)), NUM_STEPS),
                values=rows[:, :, width:].reshape(-1).view("<f4"),
            )
    parsed = [sim_agents_pb2.SimulatedTrajectory.FromString(message) for message in messages]
    columns = [np.array(getattr(one, name), np.float32) for one in parsed for name in _FIELDS]
    return JointScene(
        object_id=np.array([one.object_id for one in parsed], np.int64),
        lengths=np.array([len(column) for column in columns], np.int64).reshape(-1, len(_FIELDS)),
        values=np.concatenate(columns) if columns else np.zeros(0, np.float32),
    )


def _own_id(message: bytes) -> int | None:
    """The id at the end of a trajectory of the usual layout, None for any other layout."""
    tail = message[_BODY:]
    if len(tail) < 2 or len(tail) > 6 or tail[0] != _ID_TAG or tail[-1] > 0x7F or any(b < 0x80 for b in tail[1:-1]):
        return None
    value = _value(tail[1:])
    return value if value < 2**31 else None


def _value(varint: bytes) -> int:
    return sum((byte & 0x7F) << 7 * place for place, byte in enumerate(varint))


def _delimited(number: int, payload: bytes) -> bytes:
    return bytes([number << 3 | _LENGTH_DELIMITED]) + varint(len(payload)) + payload


def _read_varint(stream: BinaryIO, *, may_end: bool = False) -> bytes:
    """The bytes of a varint; none where the stream ends before it and may."""
    out = b""
    while not out or out[-1] > 0x7F:
        byte = stream.read(1)
        if not byte and not out and may_end:
            return out
        if not byte:
            raise SubmissionError("is cut off in the middle of a message")
        out += byte
        if len(out) > 10:
            raise SubmissionError("is no SimAgentsChallengeSubmission message")
    return out


def _read(stream: BinaryIO, length: int) -> bytes:
    if length > _LARGEST_MESSAGE:
        raise SubmissionError("is no SimAgentsChallengeSubmission message")
    data = stream.read(length)
    if len(data) < length:
        raise SubmissionError("is cut off in the middle of a message")
    return data
