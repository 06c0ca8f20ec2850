"""Vectors of 16 floats inside numba: the few operations that a sampler spends its time in, as LLVM instructions.

Numba's own loops keep sums in memory and never vectorise an exponential. These emit <16 x float> and let LLVM split it
into whatever the machine has (AVX-512, AVX2, NEON), so no compiler is needed at install. Arrays are flat float32; a
position counts floats; nothing is checked.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 16
_FLOAT = ir.FloatType()
_VECTOR = ir.VectorType(_FLOAT, LANES)
_INTS = ir.VectorType(ir.IntType(32), LANES)
_FAST = ("contract",)  # a product and a sum may become one instruction; nothing is reordered


def _constant(value: float) -> ir.Constant:
    return ir.Constant(_VECTOR, [value] * LANES)


def _pointer(context: Any, builder: Any, kind: Any, array: Any, position: Any) -> Any:
    data = context.make_array(kind)(context, builder, value=array).data
    return builder.gep(data, [position])


def _load(builder: Any, pointer: Any) -> Any:
    return builder.load(builder.bitcast(pointer, _VECTOR.as_pointer()), align=4)


def _store(builder: Any, value: Any, pointer: Any) -> None:
    builder.store(value, builder.bitcast(pointer, _VECTOR.as_pointer()), align=4)


def _splat(builder: Any, scalar: Any) -> Any:
    one = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(one, ir.Constant(_VECTOR, ir.Undefined), ir.Constant(_INTS, [0] * LANES))


def _multiply_add(builder: Any, a: Any, b: Any, c: Any) -> Any:
    return builder.fadd(builder.fmul(a, b, flags=_FAST), c, flags=_FAST)


def _clamp(builder: Any, x: Any, low: float, high: float) -> Any:
    x = builder.select(builder.fcmp_ordered("<", x, _constant(low)), _constant(low), x)
    return builder.select(builder.fcmp_ordered(">", x, _constant(high)), _constant(high), x)


def _exp(builder: Any, x: Any) -> Any:
    """Return e^x for x in -87..88, to about one unit in the last place.

    x = n ln 2 + r with |r| <= ln 2 / 2; e^r by its Taylor series to r^7 (the rest is below 6e-9); 2^n by its bits.
    """
    module = builder.module
    nearest = cgutils.get_or_insert_function(module, ir.FunctionType(_VECTOR, [_VECTOR]), "llvm.nearbyint.v16f32")
    n = builder.call(nearest, [builder.fmul(x, _constant(1.4426950408889634))])
    r = _multiply_add(builder, n, _constant(-0.693145751953125), x)  # ln 2 in two parts: the first has few bits
    r = _multiply_add(builder, n, _constant(-1.42860677e-06), r)
    y = _constant(1 / 5040)
    for coefficient in (1 / 720, 1 / 120, 1 / 24, 1 / 6, 0.5, 1.0, 1.0):
        y = _multiply_add(builder, y, r, _constant(coefficient))
    bits = builder.add(builder.fptosi(n, _INTS), ir.Constant(_INTS, [127] * LANES))
    power = builder.bitcast(builder.shl(bits, ir.Constant(_INTS, [23] * LANES)), _VECTOR)
    return builder.fmul(y, power)


def _instruction(function: Callable[..., Any]) -> Any:
    """Make an intrinsic; a plain Any to type checkers, which numba's decorator leaves in the wrong shape."""
    return intrinsic(prefer_literal=True)(function)


@_instruction
def product(  # type: ignore[no-untyped-def]
    typing_context, w, w_at, x, x_at, x_step, inputs, y, y_at, y_step, panel, rows
):
    """Add to y[r, :16 panel] the sum over j < inputs of w[j, :16 panel] x[r, j], for `rows` rows r.

    w is packed: the 16 * panel outputs of input 0, those of input 1, ...; rows of x and y lie x_step and y_step apart.
    panel and rows are constants; all sums stay in registers.
    """
    if not (isinstance(panel, types.IntegerLiteral) and isinstance(rows, types.IntegerLiteral)):
        return None
    panels, count = panel.literal_value, rows.literal_value

    def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        w, w_at, x, x_at, x_step, inputs, y, y_at, y_step = arguments[:9]
        w_first = _pointer(context, builder, signature.args[0], w, w_at)
        integer = inputs.type
        x_rows, y_rows, sums = [], [], []
        for r in range(count):
            row = ir.Constant(integer, r)
            x_rows.append(_pointer(context, builder, signature.args[2], x, builder.add(x_at, builder.mul(row, x_step))))
            y_rows.append(_pointer(context, builder, signature.args[6], y, builder.add(y_at, builder.mul(row, y_step))))
            sums.append([cgutils.alloca_once(builder, _VECTOR) for _ in range(panels)])
            for p in range(panels):
                builder.store(_load(builder, builder.gep(y_rows[r], [ir.Constant(integer, p * LANES)])), sums[r][p])
        with cgutils.for_range(builder, inputs) as loop:
            here = builder.gep(w_first, [builder.mul(loop.index, ir.Constant(integer, panels * LANES))])
            weights = [_load(builder, builder.gep(here, [ir.Constant(integer, p * LANES)])) for p in range(panels)]
            for r in range(count):
                value = _splat(builder, builder.load(builder.gep(x_rows[r], [loop.index])))
                for p in range(panels):
                    builder.store(_multiply_add(builder, weights[p], value, builder.load(sums[r][p])), sums[r][p])
        for r in range(count):
            for p in range(panels):
                _store(builder, builder.load(sums[r][p]), builder.gep(y_rows[r], [ir.Constant(integer, p * LANES)]))
        return context.get_dummy_value()

    at = types.int64
    return types.void(w, at, x, at, at, at, y, at, at, panel, rows), codegen


@_instruction
def gate(typing_context, x, x_at, c, c_at, half, y, y_at):  # type: ignore[no-untyped-def]
    """Write tanh(a) * sigmoid(b) of 16 floats to y[y_at:], where a = x[x_at:] + c[c_at:], and b the same `half` later.

    With E = e^2a and F = e^-b it is (E - 1) / ((E + 1) (1 + F)): one division. Clamped where float32 saturates.
    """

    def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        x, x_at, c, c_at, half, y, y_at = arguments
        kind_x, kind_c, kind_y = signature.args[0], signature.args[2], signature.args[5]

        def summed(shift: Any) -> Any:
            left = _load(builder, _pointer(context, builder, kind_x, x, builder.add(x_at, shift)))
            return builder.fadd(left, _load(builder, _pointer(context, builder, kind_c, c, builder.add(c_at, shift))))

        a, b = summed(ir.Constant(half.type, 0)), summed(half)
        e = _exp(builder, _clamp(builder, builder.fmul(a, _constant(2.0)), -20.0, 20.0))
        f = _exp(builder, _clamp(builder, builder.fmul(b, _constant(-1.0)), -60.0, 60.0))
        one = _constant(1.0)
        below = builder.fmul(builder.fadd(e, one), builder.fadd(one, f))
        z = builder.fdiv(builder.fsub(e, one), below)
        _store(builder, z, _pointer(context, builder, kind_y, y, y_at))
        return context.get_dummy_value()

    at = types.int64
    return types.void(x, at, c, at, at, y, at), codegen


@_instruction
def exponentials(typing_context, x, x_at, minus, times, y, y_at):  # type: ignore[no-untyped-def]
    """Write exp((x[x_at:] - minus) * times) of 16 floats to y[y_at:], and return their sum."""

    def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        x, x_at, minus, times, y, y_at = arguments
        value = _load(builder, _pointer(context, builder, signature.args[0], x, x_at))
        value = builder.fmul(builder.fsub(value, _splat(builder, minus)), _splat(builder, times))
        value = _exp(builder, _clamp(builder, value, -87.0, 88.0))
        _store(builder, value, _pointer(context, builder, signature.args[4], y, y_at))
        width = LANES
        while width > 1:  # halves onto each other, so that the order of the sum is fixed
            width //= 2
            order = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [(i + width) % LANES for i in range(LANES)])
            value = builder.fadd(value, builder.shuffle_vector(value, ir.Constant(_VECTOR, ir.Undefined), order))
        return builder.extract_element(value, ir.Constant(ir.IntType(32), 0))

    return types.float32(x, types.int64, types.float32, types.float32, y, types.int64), codegen


def _lanewise(operation: Callable[[Any, Any, Any], Any]) -> Any:
    """Make an intrinsic f(x, x_at, y, y_at, count) that overwrites y with operation(builder, x, y), 16 at a time."""

    @_instruction
    def lanewise(typing_context, x, x_at, y, y_at, count):  # type: ignore[no-untyped-def]
        def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            x, x_at, y, y_at, count = arguments
            lanes = ir.Constant(count.type, LANES)
            with cgutils.for_range(builder, builder.sdiv(count, lanes)) as loop:
                here = builder.mul(loop.index, lanes)
                source = _pointer(context, builder, signature.args[0], x, builder.add(x_at, here))
                target = _pointer(context, builder, signature.args[2], y, builder.add(y_at, here))
                _store(builder, operation(builder, _load(builder, source), _load(builder, target)), target)
            return context.get_dummy_value()

        return types.void(x, types.int64, y, types.int64, types.int64), codegen

    return lanewise


copy = _lanewise(lambda builder, x, y: x)
add = _lanewise(lambda builder, x, y: builder.fadd(x, y))
rectify = _lanewise(
    lambda builder, x, y: builder.select(builder.fcmp_ordered(">", x, _constant(0.0)), x, _constant(0.0))
)
