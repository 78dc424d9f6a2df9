"""Predicates of settings, as in ``tp == 16 and tokens < 1024`` or ``system.link.bandwidth > '100 GB/s'``.

A small part of Python's expressions, read by Python's parser and evaluated here: names of settings, numbers, texts,
lists, comparisons, ``and``, ``or``, ``not`` and arithmetic. Quantities with units compare as quantities.
"""

import ast
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from t3sim import units

_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda item, items: item in items,
    ast.NotIn: lambda item, items: item not in items,
}
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_MOST_CHARACTERS = 1000
_KNOWN_NODES = (
    *(ast.Expression, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.BinOp, ast.Compare),
    *(ast.Name, ast.Attribute, ast.Load, ast.Constant, ast.List, ast.Tuple, *_COMPARE, *_ARITHMETIC),
)


class Predicate:
    """A condition that settings meet or not; raises ``ValueError`` for text that is none."""

    def __init__(self, text: str) -> None:
        self.text = text
        if len(text) > _MOST_CHARACTERS:
            raise ValueError(f"a condition of {len(text)} characters; at most {_MOST_CHARACTERS} are accepted")
        try:
            self._tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise ValueError(f"{text!r} is no condition: {getattr(error, 'msg', error)}") from None
        for node in ast.walk(self._tree):
            if not isinstance(node, _KNOWN_NODES):
                raise ValueError(  # noqa: TRY004 - the text is wrong, not its type
                    f"{text!r} is no condition: {type(node).__name__} is not understood"
                )
        self.names = frozenset(_names(self._tree))
        """The settings that the condition names."""

    def holds(self, settings: Mapping[str, Any]) -> bool:
        """Say whether the condition holds. Raises ``ValueError`` for values that cannot be compared."""
        try:
            return bool(self._value(self._tree, settings))
        except (TypeError, ZeroDivisionError) as error:
            raise ValueError(f"the condition {self.text!r} fails: {error}") from None

    def _value(self, node: ast.expr, settings: Mapping[str, Any]) -> Any:  # noqa: PLR0911 - one for each kind
        match node:
            case ast.Constant(value=value):
                return _comparable(value)
            case ast.Name() | ast.Attribute():
                return _comparable(settings.get(_dotted(node)))
            case ast.List(elts=items) | ast.Tuple(elts=items):
                return [self._value(item, settings) for item in items]
            case ast.BoolOp(op=ast.And(), values=parts):
                return all(self._value(part, settings) for part in parts)
            case ast.BoolOp(values=parts):
                return any(self._value(part, settings) for part in parts)
            case ast.UnaryOp(op=op, operand=operand):
                value = self._value(operand, settings)
                return not value if isinstance(op, ast.Not) else -value
            case ast.BinOp(left=left, op=op, right=right):
                return _ARITHMETIC[type(op)](self._value(left, settings), self._value(right, settings))
            case ast.Compare():
                return self._compared(node, settings)
        raise TypeError(f"{type(node).__name__} has no value")

    def _compared(self, node: ast.Compare, settings: Mapping[str, Any]) -> bool:
        left = self._value(node.left, settings)
        for op, right_node in zip(node.ops, node.comparators, strict=True):
            right = self._value(right_node, settings)
            if not _COMPARE[type(op)](left, right):
                return False
            left = right
        return True


def _names(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Name | ast.Attribute):
        yield _dotted(node)
        return
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            yield from _names(child)


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    if isinstance(node, ast.Name):
        return node.id
    raise ValueError("only names of settings have dots in them")


def _comparable(value: Any) -> Any:
    """Return quantities in base units, so that '1 us' and '1000 ns' are equal."""
    if isinstance(value, str):
        try:
            return units.dimension_of(value).parse(value)
        except ValueError:
            return value
    return value
