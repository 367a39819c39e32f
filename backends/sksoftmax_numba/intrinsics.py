"""LLVM instructions that Numba does not offer: prefetching, and counters shared by threads."""

from __future__ import annotations

from typing import Any

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_FEATURES: Any = binding.get_host_cpu_features()
MANY_REGISTERS = bool(_FEATURES.get("avx512vl")) or not _FEATURES.get("sse2")
"""Whether there are 32 vector registers, as on all but processors of x86 without AVX-512."""

PREFETCHES = MANY_REGISTERS
"""Whether asking ahead for rows pays. It does on an AMD Zen 4; a Zen 3 waits where it has too
many requests, and an epoch took a fifth longer. The line between them is a guess."""

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


def _atomic_add(typing_context: Any, counter: Any, number: Any) -> Any:
    """The type and the code of `atomic_add`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.atomic_rmw("add", data, arguments[1], "acq_rel")

    return types.int64(counter, types.int64), generate


atomic_add: Any = intrinsic(_atomic_add)
"""``atomic_add(counter, number)`` adds to counter[0], once all that precedes is written."""


def _atomic_load(typing_context: Any, counter: Any) -> Any:
    """The type and the code of `atomic_load`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.load_atomic(data, "acquire", align=8)

    return types.int64(counter), generate


atomic_load: Any = intrinsic(_atomic_load)
"""``atomic_load(counter)`` returns counter[0], before anything that follows is read."""
