"""Expressions of drawn values: ``0.4 * link.gripper.mass``, ``friction < 2 * restitution``.

They are written as in Python and read by a whitelist of what may stand in them: numbers,
addresses, ``+ - * / **``, comparisons, ``and or not``, a few functions. Nothing else is
understood, so nothing else can run. One tree is walked in three algebras:

- values: NumPy arrays, one number a world;
- bounds: intervals, so that a file is refused before a value out of range is ever drawn;
- units: a sum of kilograms and metres is a fault, and so is a mass that comes out in seconds.

A name is a whole address (``joint.elbow.armature``), or a quantity of the same object
(``coulomb_friction``); names that Python cannot read stand in quotes (``'link.left-arm.mass'``).
A bare number has no unit in a product and any unit in a sum or comparison; ``si(0.01, 'm^2')``
gives it one.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from sim2real_core.addresses import QUANTITIES, parse_address
from sim2real_core.errors import Fault, InputError

Interval = tuple[float, float]
Unit = Mapping[str, float]
Look = Callable[[str], Any]
LONGEST = 1000
_ARITHMETIC: dict[type[ast.AST], str] = {
    ast.Add: '+', ast.Sub: '-', ast.Mult: '*', ast.Div: '/', ast.Pow: '**',
}  # fmt: skip
_COMPARISONS: dict[type[ast.AST], str] = {
    ast.Lt: '<', ast.LtE: '<=', ast.Gt: '>', ast.GtE: '>=', ast.Eq: '==', ast.NotEq: '!=',
}  # fmt: skip
_FUNCTIONS = ('min', 'max', 'abs', 'sqrt', 'exp', 'log', 'sin', 'cos')
_NAMED = {'pi': math.pi}
_HOW = (
    f'write numbers, addresses, + - * / **, comparisons, and, or, not, {", ".join(_FUNCTIONS)}, '
    "nominal(address), si(number, 'unit')"
)


class _WrongError(Exception):
    """What is wrong with an expression; becomes a Fault that quotes the whole of it."""


@dataclass(frozen=True)
class Expression:
    """An expression that was read. Make it with :func:`parse`.

    Attributes:
        text: as written.
        object: the object that bare quantities belong to (``joint.elbow``), or ``''``.
        addresses: the drawn values it depends on.
        nominals: the addresses whose nominal value it uses.
    """

    text: str
    object: str = ''
    addresses: tuple[str, ...] = field(init=False, compare=False)
    nominals: tuple[str, ...] = field(init=False, compare=False)
    _tree: ast.expr = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        if len(self.text) > LONGEST:
            raise InputError(Fault('expression', self.text[:60], 'too long; make it simpler'))
        try:
            tree = ast.parse(self.text.strip(), mode='eval').body
            names = _Names(self.object)
            _walk(tree, names)
        except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError) as error:
            mend = f'cannot be read ({error}); names that Python cannot read stand in quotes'
            raise InputError(Fault('expression', self.text, mend)) from error
        except _WrongError as error:
            raise InputError(Fault('expression', self.text, str(error))) from error
        object.__setattr__(self, '_tree', tree)
        object.__setattr__(self, 'addresses', tuple(dict.fromkeys(names.of_drawn)))
        object.__setattr__(self, 'nominals', tuple(dict.fromkeys(names.of_nominal)))

    def value(self, drawn: Look, nominal: Callable[[str], float]) -> Any:
        """Its value, a number or an array (of truth values, for a condition).

        Args:
            drawn: drawn value or values of an address.
            nominal: nominal value of an address.
        """
        with np.errstate(all='ignore'):  # who asks looks at what came out
            return _walk(self._tree, _Values(self.object, drawn, nominal))

    def bounds(
        self, drawn: Callable[[str], Interval], nominal: Callable[[str], float]
    ) -> Interval:
        """Two numbers that its value lies between; for a condition (0, 0), (0, 1) or (1, 1).

        An address that occurs twice counts as if it were two, so that they may be far apart.

        Args:
            drawn: smallest and largest drawn value of an address.
            nominal: nominal value of an address.
        """
        low, high = _walk(self._tree, _Bounds(self.object, drawn, nominal))
        return float(low), float(high)

    def check_unit(self, unit_of: Callable[[str], str], expected: str | None) -> None:
        """See that units agree.

        Args:
            unit_of: unit of an address.
            expected: unit of the result; None for a condition.

        Raises:
            InputError: they do not.
        """
        try:
            found = _walk(self._tree, _Units(self.object, unit_of))
            if (found is _TRUTH) != (expected is None):
                raise _WrongError(
                    'compare something, as in a <= b' if expected is None else 'give a number'
                )
            if expected is not None and not _agree(found, unit(expected)):
                raise _WrongError(
                    f"is in {_written(found)}, must be in {expected}; si(1, 'unit') helps"
                )
        except _WrongError as error:
            raise InputError(Fault('expression', self.text, str(error))) from error


@lru_cache(maxsize=4096)
def parse(text: str, object: str = '') -> Expression:
    """Read an expression. See :class:`Expression`.

    Raises:
        InputError: it cannot be read, or has something in it that may not stand there.
    """
    return Expression(text, object)


def _walk(node: ast.expr, algebra: Any) -> Any:
    """The value of a tree in an algebra."""
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            return algebra.drawn(algebra.address(node.value))
        return algebra.number(_number(node))
    if isinstance(node, ast.Name) and node.id in _NAMED:
        return algebra.number(_NAMED[node.id])
    if isinstance(node, (ast.Name, ast.Attribute)):
        return algebra.drawn(algebra.address(_dotted(node)))
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        left = _walk(node.left, algebra)
        if isinstance(node.op, ast.Pow):
            return algebra.power(left, _number(node.right))
        return algebra.arithmetic(_ARITHMETIC[type(node.op)], left, _walk(node.right, algebra))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd, ast.Not)):
        operand = _walk(node.operand, algebra)
        if isinstance(node.op, ast.Not):
            return algebra.negate(operand)
        return algebra.minus(operand) if isinstance(node.op, ast.USub) else operand
    if isinstance(node, ast.Compare) and all(type(op) in _COMPARISONS for op in node.ops):
        terms = [_walk(term, algebra) for term in (node.left, *node.comparators)]
        return algebra.together(
            'and',
            [
                algebra.compare(_COMPARISONS[type(op)], left, right)
                for op, left, right in zip(node.ops, terms, terms[1:])
            ],
        )
    if isinstance(node, ast.BoolOp):
        how = 'and' if isinstance(node.op, ast.And) else 'or'
        return algebra.together(how, [_walk(value, algebra) for value in node.values])
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        return _call(node.func.id, node.args, algebra)
    raise _WrongError(_HOW)


def _call(name: str, arguments: list[ast.expr], algebra: Any) -> Any:
    if name == 'nominal' and len(arguments) == 1:
        return algebra.nominal(algebra.address(_dotted(arguments[0])))
    if name == 'si' and len(arguments) == 2:
        number, text = arguments
        if isinstance(text, ast.Constant) and isinstance(text.value, str):
            return algebra.measure(_number(number), text.value)
    if name not in _FUNCTIONS or not arguments or (len(arguments) > 1) != (name in ('min', 'max')):
        raise _WrongError(f'{name}(...): {_HOW}')
    return algebra.function(name, [_walk(argument, algebra) for argument in arguments])


def _dotted(node: ast.expr) -> str:
    """``a.b.c`` or ``'a.b.c'`` as text."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        raise _WrongError(_HOW)
    return '.'.join([node.id, *reversed(parts)])


def _number(node: ast.expr) -> float:
    """A plain, finite number, where nothing else may stand."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_number(node.operand)
    if (
        isinstance(node, ast.Constant)
        and isinstance(node.value, (int, float))
        and not isinstance(node.value, bool)
        and math.isfinite(node.value)
    ):
        return float(node.value)
    raise _WrongError('an exponent, and the number of si(), must be a plain, finite number')


class _Algebra:
    """What all algebras share: what a name means. By itself it computes nothing."""

    def __init__(self, object: str) -> None:
        self._object = object

    def address(self, name: str) -> str:
        """The whole address of a name."""
        whole = name.partition('.')[0] in QUANTITIES
        if not whole and not self._object:
            raise _WrongError(f'{name}: give a whole address')
        try:
            return str(parse_address(name if whole else f'{self._object}.{name}'))
        except InputError as error:
            raise _WrongError(f'{name}: {error.faults[0].mend}') from error

    def _nothing(self, *_: Any) -> Any:
        return None

    number = measure = drawn = nominal = _nothing
    arithmetic = power = minus = function = compare = together = negate = _nothing


class _Names(_Algebra):
    """Which addresses occur."""

    def __init__(self, object: str) -> None:
        super().__init__(object)
        self.of_drawn: list[str] = []
        self.of_nominal: list[str] = []

    def drawn(self, address: str) -> None:
        self.of_drawn.append(address)

    def nominal(self, address: str) -> None:
        self.of_nominal.append(address)


_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    '+': operator.add, '-': operator.sub, '*': operator.mul, '/': np.divide,
    '<': operator.lt, '<=': operator.le, '>': operator.gt, '>=': operator.ge,
    '==': operator.eq, '!=': operator.ne,
}  # fmt: skip


class _Values(_Algebra):
    """Numbers, by NumPy."""

    def __init__(self, object: str, drawn: Look, nominal: Look) -> None:
        super().__init__(object)
        self._drawn, self._nominal = drawn, nominal

    def number(self, value: float) -> float:
        return value

    def measure(self, value: float, _: str) -> float:
        return value

    def drawn(self, address: str) -> Any:
        return self._drawn(address)

    def nominal(self, address: str) -> float:
        return self._nominal(address)

    def arithmetic(self, how: str, left: Any, right: Any) -> Any:
        return _OPERATORS[how](left, right)

    def compare(self, how: str, left: Any, right: Any) -> Any:
        return _OPERATORS[how](left, right)

    def power(self, base: Any, exponent: float) -> Any:
        return np.power(base, exponent)

    def minus(self, value: Any) -> Any:
        return -value

    def function(self, name: str, values: list[Any]) -> Any:
        if name in ('min', 'max'):
            both = np.minimum if name == 'min' else np.maximum
            result = values[0]
            for value in values[1:]:
                result = both(result, value)
            return result
        return getattr(np, name)(values[0])

    def together(self, how: str, values: list[Any]) -> Any:
        both = np.logical_and if how == 'and' else np.logical_or
        result = values[0]
        for value in values[1:]:
            result = both(result, value)
        return result

    def negate(self, value: Any) -> Any:
        return np.logical_not(value)


class _Bounds(_Algebra):
    """Intervals; of a condition: 0 for false, 1 for true."""

    def __init__(self, object: str, drawn: Look, nominal: Look) -> None:
        super().__init__(object)
        self._drawn, self._nominal = drawn, nominal

    def number(self, value: float) -> Interval:
        return value, value

    def measure(self, value: float, _: str) -> Interval:
        return value, value

    def drawn(self, address: str) -> Interval:
        return self._drawn(address)

    def nominal(self, address: str) -> Interval:
        return self.number(self._nominal(address))

    def arithmetic(self, how: str, left: Interval, right: Interval) -> Interval:
        if how == '/' and right[0] <= 0 <= right[1]:
            return -math.inf, math.inf
        with np.errstate(all='ignore'):
            ends = [float(_OPERATORS[how](x, y)) for x in left for y in right]
        if any(map(math.isnan, ends)):  # both are without bounds
            return -math.inf, math.inf
        return min(ends), max(ends)

    def power(self, base: Interval, exponent: float) -> Interval:
        low, high = base
        whole = exponent == int(exponent)
        if (low < 0 and not whole) or (low <= 0 <= high and exponent < 0):
            return -math.inf, math.inf
        with np.errstate(over='ignore'):
            ends = [float(np.power(end, exponent)) for end in base]
        if low < 0 < high and whole:
            ends.append(0.0)
        return min(ends), max(ends)

    def minus(self, value: Interval) -> Interval:
        return -value[1], -value[0]

    def function(self, name: str, values: list[Interval]) -> Interval:
        low, high = values[0]
        if name in ('min', 'max'):
            one = min if name == 'min' else max
            return one(v[0] for v in values), one(v[1] for v in values)
        if name == 'abs':
            least = 0.0 if low <= 0 <= high else min(abs(low), abs(high))
            return least, max(abs(low), abs(high))
        if name in ('sin', 'cos'):
            return -1.0, 1.0
        if (name == 'sqrt' and low < 0) or (name == 'log' and low <= 0):
            return -math.inf, math.inf
        with np.errstate(over='ignore'):
            return float(getattr(np, name)(low)), float(getattr(np, name)(high))

    def compare(self, how: str, left: Interval, right: Interval) -> Interval:
        if how in ('>', '>='):
            left, right = right, left
            how = how.replace('>', '<')
        if how in ('<', '<='):
            less = _OPERATORS[how]
            return float(less(left[1], right[0])), float(less(left[0], right[1]))
        apart = left[1] < right[0] or right[1] < left[0]
        same = left[0] == left[1] == right[0] == right[1]
        equal = (float(same), float(not apart))
        return equal if how == '==' else self.negate(equal)

    def together(self, how: str, values: list[Interval]) -> Interval:
        one = min if how == 'and' else max
        return one(v[0] for v in values), one(v[1] for v in values)

    def negate(self, value: Interval) -> Interval:
        return 1.0 - value[1], 1.0 - value[0]


_ANY: Unit | None = None
"""Of a bare number: what the other side has."""
_TRUTH: dict[str, float] = {'truth': 1.0}
"""What a comparison gives."""
_DERIVED = {
    '1': {}, 'rad': {}, 'N': {'kg': 1.0, 'm': 1.0, 's': -2.0}, 'Hz': {'s': -1.0},
    'J': {'kg': 1.0, 'm': 2.0, 's': -2.0}, 'W': {'kg': 1.0, 'm': 2.0, 's': -3.0},
}  # fmt: skip


def unit(text: str) -> Unit | None:
    """A unit such as ``N*m*s/rad`` as powers of base units; angles have none.

    None where it is not known: of a sensor that the profile does not describe.
    """
    if text == 'SI':
        return _ANY
    powers: dict[str, float] = {}
    sign = 1.0
    for part in re.split(r'([*/])', text.replace(' ', '')):
        if part in ('*', '/'):
            sign = 1.0 if part == '*' else -1.0
            continue
        symbol, _, exponent = part.partition('^')
        if not re.fullmatch(r'1|[A-Za-z]+', symbol) or not re.fullmatch(r'(-?\d+)?', exponent):
            raise _WrongError(f"{text!r} is no unit; write e.g. 'kg*m^2'")
        powers = _times(powers, _DERIVED.get(symbol, {symbol: 1.0}), sign * float(exponent or 1))
    return powers


def _times(left: Unit, right: Unit, exponent: float) -> dict[str, float]:
    powers = {s: left.get(s, 0.0) + exponent * right.get(s, 0.0) for s in {**left, **right}}
    return {symbol: power for symbol, power in powers.items() if power}


def _agree(left: Unit | None, right: Unit | None) -> bool:
    return left is _ANY or right is _ANY or left == right


def _written(found: Unit | None) -> str:
    parts = [f'{s}^{p:g}' if p != 1 else s for s, p in sorted((found or {}).items())]
    return '*'.join(parts) or '1'


class _Units(_Algebra):
    """Powers of base units."""

    def __init__(self, object: str, unit_of: Callable[[str], str]) -> None:
        super().__init__(object)
        self._unit_of = unit_of

    def number(self, value: float) -> Unit | None:
        return _ANY

    def measure(self, value: float, text: str) -> Unit | None:
        return unit(text)

    def drawn(self, address: str) -> Unit | None:
        return unit(self._unit_of(address))

    nominal = drawn

    def arithmetic(self, how: str, left: Unit | None, right: Unit | None) -> Unit | None:
        self._numbers(left, right)
        if how in '+-':
            return self._same(left, right)
        if left is _ANY and right is _ANY:
            return _ANY
        return _times(left or {}, right or {}, 1.0 if how == '*' else -1.0)

    def power(self, base: Unit | None, exponent: float) -> Unit | None:
        self._numbers(base)
        return None if base is None else _times({}, base, exponent)

    def minus(self, value: Unit | None) -> Unit | None:
        self._numbers(value)
        return value

    def function(self, name: str, values: list[Unit | None]) -> Unit | None:
        self._numbers(*values)
        if name in ('min', 'max'):
            result = values[0]
            for value in values[1:]:
                result = self._same(result, value)
            return result
        if name == 'abs':
            return values[0]
        if name == 'sqrt':
            return self.power(values[0], 0.5)
        if not _agree(values[0], {}):
            raise _WrongError(
                f'{name}() of {_written(values[0])}: only a number without unit has one'
            )
        return {}

    def compare(self, how: str, left: Unit | None, right: Unit | None) -> Unit | None:
        self._numbers(left, right)
        self._same(left, right)
        return _TRUTH

    def together(self, how: str, values: list[Unit | None]) -> Unit | None:
        if any(value is not _TRUTH for value in values):
            raise _WrongError('and, or, not stand between comparisons')
        return _TRUTH

    def negate(self, value: Unit | None) -> Unit | None:
        return self.together('and', [value])

    def _same(self, left: Unit | None, right: Unit | None) -> Unit | None:
        if not _agree(left, right):
            raise _WrongError(f'{_written(left)} and {_written(right)} do not go together')
        return right if left is _ANY else left

    def _numbers(self, *units: Unit | None) -> None:
        if any(found is _TRUTH for found in units):
            raise _WrongError('a comparison is no number')
