"""Patterns of what frameworks spell out in small operators, each with the one operator of ONNX that means the same.

Written with the pattern language of onnxscript's rewriter, which tries both orders of Add and Mul. Its own rules for
LayerNormalization and RMSNormalization know fewer spellings. Every Add and Mul of a pattern doubles the orders to try,
so powers and the arguments of Erf are variables that are looked at afterwards. Alternatives bear a `tag_var`, because
without one they cannot be put in other orders.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import onnx_ir as ir
from onnxscript.rewriter import RewriteRuleClassBase, RewriteRuleSet, pattern

_FLOATS = frozenset({ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE})
_TANH_CUBE = 0.044715
_TANH_FACTOR = math.sqrt(2 / math.pi)
_NEAR = 1e-3
"""Relative error of constants: exporters round them, sometimes to half precision."""


class LayerNorm(RewriteRuleClassBase):  # type: ignore[misc]  # onnxscript has no types
    """scale * (x - mean) / sqrt(mean((x - mean)^2) + epsilon) + bias, over the last axis."""

    def pattern(self, op: Any, x: Any, scale: Any, bias: Any, epsilon: Any) -> Any:
        deviation = op.Sub(x, op.ReduceMean(x, [-1], _outputs=["mean"]))
        square = pattern.OrValue([op.Mul(deviation, deviation), op.Pow(deviation, 2)], tag_var="squared")
        spread = op.Sqrt(op.Add(op.ReduceMean(square, [-1], _outputs=["variance"]), epsilon))
        normal = pattern.OrValue(
            [op.Div(deviation, spread), op.Mul(deviation, op.Reciprocal(spread))], tag_var="divided"
        )
        return op.Add(op.Mul(normal, scale), bias)

    def check(
        self, context: Any, x: ir.Value, scale: ir.Value, bias: ir.Value, epsilon: ir.Value, **parts: Any
    ) -> bool:
        return _normalizes(x, (scale, bias), epsilon) and _keep_rank(parts)

    def rewrite(self, op: Any, x: ir.Value, scale: ir.Value, bias: ir.Value, epsilon: ir.Value, **_: Any) -> Any:
        return op.LayerNormalization(x, scale, bias, axis=-1, epsilon=_number(epsilon))


class RmsNorm(RewriteRuleClassBase):  # type: ignore[misc]  # onnxscript has no types
    """scale * x / sqrt(mean(x^2) + epsilon), over the last axis."""

    def pattern(self, op: Any, x: Any, scale: Any, epsilon: Any) -> Any:
        square = pattern.Var("square")
        spread = op.Sqrt(op.Add(op.ReduceMean(square, [-1], _outputs=["variance"]), epsilon))
        return op.Mul(pattern.OrValue([op.Div(x, spread), op.Mul(x, op.Reciprocal(spread))], tag_var="divided"), scale)

    def check(self, context: Any, x: ir.Value, scale: ir.Value, epsilon: ir.Value, **parts: Any) -> bool:
        return _is_power(parts["square"], x, 2) and _normalizes(x, (scale,), epsilon) and _keep_rank(parts)

    def rewrite(self, op: Any, x: ir.Value, scale: ir.Value, epsilon: ir.Value, **_: Any) -> Any:
        return op.RMSNormalization(x, scale, axis=-1, epsilon=_number(epsilon))


class _Gelu(RewriteRuleClassBase):  # type: ignore[misc]  # onnxscript has no types
    """x / 2 * (1 + inner(x)), in the orders in which frameworks multiply."""

    approximate = "none"

    def __init__(self, order: int) -> None:
        super().__init__(f"{type(self).__name__}{order}")
        self._order = order

    def pattern(self, op: Any, x: Any) -> Any:
        one_and = op.Add(self.inner(op, x), 1.0)
        match self._order:
            case 0:
                return op.Mul(op.Mul(x, one_and), 0.5)
            case 1:
                return op.Mul(op.Mul(x, 0.5), one_and)
            case _:
                return op.Mul(x, op.Mul(one_and, 0.5))

    def inner(self, op: Any, x: Any) -> Any:
        raise NotImplementedError

    def check(self, context: Any, x: ir.Value, **parts: Any) -> bool:
        return x.dtype in _FLOATS and self.holds(x, parts)

    def holds(self, x: ir.Value, parts: dict[str, Any]) -> bool:
        raise NotImplementedError

    def rewrite(self, op: Any, x: ir.Value, **_: Any) -> Any:
        return op.Gelu(x, approximate=self.approximate)


class ErfGelu(_Gelu):
    """inner = erf(x / sqrt(2)); Hendrycks and Gimpel, *Gaussian error linear units*, 2016."""

    def inner(self, op: Any, x: Any) -> Any:
        return op.Erf(pattern.Var("argument"))

    def holds(self, x: ir.Value, parts: dict[str, Any]) -> bool:
        node = parts["argument"].producer()
        if node is None or x not in node.inputs or node.op_type not in ("Div", "Mul"):
            return False
        first, other = node.inputs
        if node.op_type == "Div":
            return first is x and _is(other, math.sqrt(2))
        return _is(other if first is x else first, math.sqrt(0.5))


class TanhGelu(_Gelu):
    """inner = tanh(sqrt(2 / pi) (x + 0.044715 x^3)), the approximation of the same paper."""

    approximate = "tanh"

    def inner(self, op: Any, x: Any) -> Any:
        part = op.Mul(pattern.Var("cube"), pattern.Var("part"))
        return op.Tanh(op.Mul(op.Add(x, part), pattern.Var("factor")))

    def holds(self, x: ir.Value, parts: dict[str, Any]) -> bool:
        known = _is(parts["part"], _TANH_CUBE) and _is(parts["factor"], _TANH_FACTOR)
        return known and _is_power(parts["cube"], x, 3)


def rules(operator: str) -> RewriteRuleSet:
    """The patterns that become an operator of this name.

    Raises:
        KeyError: there are none.
    """
    found = {
        "LayerNormalization": [LayerNorm.rule()],
        "Gelu": [kind.rule(order) for kind in (ErfGelu, TanhGelu) for order in range(3)],
        "RMSNormalization": [RmsNorm.rule()],
    }[operator]
    return RewriteRuleSet(found, commute=True)


def _normalizes(x: ir.Value, parameters: tuple[ir.Value, ...], epsilon: ir.Value) -> bool:
    """Whether the parameters are one number for each entry of the last axis, and epsilon is a number."""
    if x.dtype not in _FLOATS or x.shape is None or not isinstance(x.shape[-1], int) or _number(epsilon) is None:
        return False
    return all(row.const_value is not None and row.const_value.shape == (x.shape[-1],) for row in parameters)


def _is_power(value: ir.Value, base: ir.Value, exponent: int) -> bool:
    """Whether a value is the base to this power, by Pow or by Mul."""
    if exponent == 1:
        return value is base
    node = value.producer()
    if node is None or len(node.inputs) != 2:
        return False
    first, other = node.inputs
    if node.op_type == "Pow":
        return first is base and _is(other, exponent)
    if node.op_type != "Mul" or first is None or other is None:
        return False
    return (first is base and _is_power(other, base, exponent - 1)) or (
        other is base and _is_power(first, base, exponent - 1)
    )


def _keep_rank(parts: Mapping[str, Any]) -> bool:
    """Whether no mean drops its axis; keeping it is the default, and need not be written."""
    producers = [parts[name].producer() for name in ("mean", "variance") if name in parts]
    return all(node.attributes.get_int("keepdims", 1) == 1 for node in producers)


def _number(value: ir.Value | None) -> float | None:
    """The one number of a constant."""
    if value is None or value.const_value is None or value.const_value.size != 1:
        return None
    return float(value.const_value.numpy().reshape(()))


def _is(value: ir.Value | None, wanted: float) -> bool:
    number = _number(value)
    return number is not None and math.isclose(number, wanted, rel_tol=_NEAR)
