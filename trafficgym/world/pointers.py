"""Arrays that kernels reach by address, so that worlds can share them without copies.

Whoever writes an address into a row keeps the array alive as long as the row is used.
"""

from __future__ import annotations

from typing import Any

from numba import carray, njit, types
from numba.extending import intrinsic


@intrinsic
def _pointer_f32(_context: Any, address: Any) -> Any:
    return _pointer(types.CPointer(types.float32), address)


@intrinsic
def _pointer_i32(_context: Any, address: Any) -> Any:
    return _pointer(types.CPointer(types.int32), address)


@intrinsic
def _pointer_i8(_context: Any, address: Any) -> Any:
    return _pointer(types.CPointer(types.int8), address)


def _pointer(result: Any, address: Any) -> Any:
    def codegen(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(result))

    return result(address), codegen


@njit(cache=True, inline="always")
def floats(address, shape):
    """View the float32 array at `address`."""
    return carray(_pointer_f32(address), shape)


@njit(cache=True, inline="always")
def ints(address, shape):
    """View the int32 array at `address`."""
    return carray(_pointer_i32(address), shape)


@njit(cache=True, inline="always")
def bytes_(address, shape):
    """View the int8 array at `address`."""
    return carray(_pointer_i8(address), shape)
