"""Decoding thousands of small serialized messages at once, without a Python loop over their fields.

The states and points of a scene are messages of fixed-width fields only, so that messages of the same
length with the same tags have every field at the same place: they are decoded as columns of one byte
matrix. Whatever does not fit that picture goes through protobuf, one message at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from numpy.typing import NDArray

# Wire type, width in bytes and NumPy type of each kind of field that can be decoded in bulk.
_KINDS = {
    FieldDescriptor.TYPE_DOUBLE: (1, 8, "<f8"),
    FieldDescriptor.TYPE_FLOAT: (5, 4, "<f4"),
    FieldDescriptor.TYPE_BOOL: (0, 1, "u1"),
}
# WOMD has two layouts per message; a file that has more of one length is not worth grouping.
_MAX_LAYOUTS = 8


@dataclass(frozen=True, kw_only=True)
class _Field:
    """Where one field lies in a message of known layout."""

    column: int
    start: int  # of the value; the tag is the byte before
    width: int
    dtype: str


class FixedLayoutDecoder:
    """Turns serialized messages of one type into a matrix with one column per field.

    Args:
        message: A protobuf message class whose fields are all double, float or bool, numbered below 16.
    """

    def __init__(self, message: type[Message]) -> None:
        fields = cast("Sequence[FieldDescriptor]", message.DESCRIPTOR.fields)
        self._message = message
        self._names = [field.name for field in fields]
        self._by_tag = {}
        for column, field in enumerate(fields):
            wire_type, width, dtype = _KINDS[field.type]
            self._by_tag[field.number << 3 | wire_type] = (column, width, dtype)

    def __call__(self, messages: Sequence[bytes]) -> NDArray[np.float64]:
        """Decode `messages` to float64 ``[n, fields]`` in the order of the declaration; absent fields are 0.

        Raises:
            google.protobuf.message.DecodeError: a message is damaged.
        """
        lengths = list(map(len, messages))
        kinds = set(lengths)
        if len(kinds) == 1 and 0 not in kinds:
            return self._decode_block(_stack(messages))
        out = np.zeros((len(messages), len(self._names)))
        for length in kinds - {0}:
            rows = np.flatnonzero(np.array(lengths) == length)
            out[rows] = self._decode_block(_stack([messages[row] for row in rows.tolist()]))
        return out

    def _decode_block(self, block: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Decode messages of equal length, one per row of `block`, to float64 ``[n, fields]``."""
        out = np.zeros((len(block), len(self._names)))
        todo = np.ones(len(block), bool)
        for _ in range(_MAX_LAYOUTS):
            first = block[np.argmax(todo)]
            layout = self._layout(first)
            if layout is None:
                break
            same = _has_layout(block, first, layout)
            chosen: slice | NDArray[np.bool_] = slice(None) if same.all() else same
            for field in layout:
                values = block[:, field.start : field.start + field.width].view(field.dtype)[:, 0]
                out[chosen, field.column] = values[chosen]
            todo &= ~same
            if not todo.any():
                return out
        for row in np.flatnonzero(todo):
            parsed = self._message.FromString(block[row].tobytes())
            out[row] = [getattr(parsed, name) for name in self._names]
        return out

    def _layout(self, message: NDArray[np.uint8]) -> list[_Field] | None:
        """Read the tags of one message; None where it holds anything but the declared fields, each at its width."""
        layout, at = [], 0
        while at < len(message):
            if int(message[at]) not in self._by_tag:
                return None
            column, width, dtype = self._by_tag[int(message[at])]
            layout.append(_Field(column=column, start=at + 1, width=width, dtype=dtype))
            at += 1 + width
        fits = at == len(message) and all(message[f.start] <= 1 for f in layout if f.dtype == "u1")
        return layout if fits else None


def _stack(messages: Sequence[bytes]) -> NDArray[np.uint8]:
    """Messages of equal length as the rows of a matrix."""
    return np.frombuffer(b"".join(messages), np.uint8).reshape(len(messages), -1)


def _has_layout(block: NDArray[np.uint8], first: NDArray[np.uint8], layout: list[_Field]) -> NDArray[np.bool_]:
    """Which messages have the tags of `first`, and booleans that fill one byte, bool ``[n]``."""
    same = np.ones(len(block), bool)
    for field in layout:
        same &= block[:, field.start - 1] == first[field.start - 1]
        if field.dtype == "u1":
            same &= block[:, field.start] <= 1
    return same
