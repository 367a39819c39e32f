"""What LLVM offers and Numba does not spell: asking memory for what is needed next."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

READ, LOW_LOCALITY, DATA = 0, 2, 1

tools: Any = cgutils  # which Numba has not annotated


def _prefetch(typing_context: Any, array: Any, row: Any, column: Any) -> Any:
    """The type and the code of `prefetch`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = signature.args[0]
        data = context.make_array(kind)(context, builder, arguments[0])
        address = tools.get_item_pointer(
            context, builder, kind, data, arguments[1:], wraparound=False, boundscheck=False
        )
        byte, integer = ir.IntType(8).as_pointer(), ir.IntType(32)
        function = tools.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [byte, integer, integer, integer]),
            "llvm.prefetch.p0",
        )
        flags = [ir.Constant(integer, flag) for flag in (READ, LOW_LOCALITY, DATA)]
        builder.call(function, [builder.bitcast(address, byte), *flags])
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp), generate


prefetch: Any = intrinsic(_prefetch)
"""``prefetch(array, row, column)`` asks for a cache line, without waiting for it."""
