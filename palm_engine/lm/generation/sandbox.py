"""jinja2's sandbox with a budget: what a template makes is counted before or as it is made."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

# Letters (and elements of lists) that one rendering may make.
MOST_MADE = 20_000_000
# Width, count or power that a template may ask for.
MOST_NUMBER = 100_000
# What makes more than it is given, at worst a product of its arguments.
EXPANDING = frozenset(
    ["replace", "join", "translate", "indent", "wordwrap", "tojson", "batch", "slice", "expandtabs"]
)
FORMATTING = frozenset(["%", "format", "format_map", "strftime_now"])
_WIDTH = re.compile(r"\d{6,}|%[-+ #0]*\*|\.\*|\{[^}]*\{")
_left = threading.local()


@contextmanager
def budget() -> Iterator[None]:
    """Give what this thread renders within it a budget of MOST_MADE letters."""
    _left.made = MOST_MADE
    try:
        yield
    finally:
        del _left.made


def _spend(amount: int) -> None:
    """Take what is about to be made from the rendering's budget.

    Raises:
        SecurityError: it is used up.
    """
    left = getattr(_left, "made", MOST_MADE) - amount
    if left < 0:
        raise SecurityError(
            f"it makes more than {MOST_MADE:,} letters, which no template needs; give another"
            " (template.text)"
        )
    if hasattr(_left, "made"):
        _left.made = left


def _size(value: Any) -> int:
    """Letters and elements of a value of a template."""
    if isinstance(value, (str, bytes)):
        return len(value)
    if isinstance(value, (list, tuple, set, frozenset)):
        return sum(1 + _size(v) for v in value)
    if isinstance(value, dict):
        return sum(1 + _size(k) + _size(v) for k, v in value.items())
    return value.bit_length() // 32 if isinstance(value, int) else 1


def _check_call(name: str, values: list[Any]) -> None:
    """Refuse a call that could make too much of its arguments before its result is counted.

    Args:
        name: of the filter, method or operator.
        values: what it is asked with; the text that it works on first.

    Raises:
        SecurityError: it could.
    """
    numbers = [abs(v) for v in values[1:] if isinstance(v, int)]
    if max(numbers, default=0) > MOST_NUMBER and name != "%":
        raise SecurityError(f"it asks {name} for {max(numbers):.3g} of something")
    if name in FORMATTING and any(_WIDTH.search(v) for v in values[:1] if isinstance(v, str)):
        raise SecurityError("it formats to a width that it computes, or of 100,000 or more")
    if name in EXPANDING:
        sizes = sorted([*map(_size, values), *numbers])
        if len(sizes) > 1 and sizes[-1] * sizes[-2] > 5 * MOST_MADE:
            raise SecurityError(f"it puts a long text into a long one ({name})")


def _bounded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter whose arguments and result are counted."""
    context = int(hasattr(function, "jinja_pass_arg"))

    @wraps(function)
    def counted(*given: Any, **named: Any) -> Any:
        _check_call(name, [*given[context:], *named.values()])
        found = function(*given, **named)
        _spend(_size(found))
        return found

    return counted


class _Filters(dict[str, Callable[..., Any]]):
    """Filters of a template, counted whoever adds them."""

    def __setitem__(self, name: str, function: Callable[..., Any]) -> None:
        super().__setitem__(name, _bounded(name, function))


def _repeated(left: Any, right: Any) -> int:
    """Letters, elements or digits of a product."""
    for value, times in ((left, right), (right, left)):
        if isinstance(value, (str, bytes, list, tuple)) and isinstance(times, int):
            return _size(value) * max(times, 0)
    return _size(left) + _size(right)


class _Joined(NodeTransformer):
    """`a ~ b` as `[a, b] | join`, which is counted."""

    def visit_Concat(self, node: nodes.Concat) -> nodes.Filter:
        self.generic_visit(node)
        parts = nodes.List(node.nodes, lineno=node.lineno)
        return nodes.Filter(parts, "join", [], [], None, None, lineno=node.lineno)


class CountingSandbox(ImmutableSandboxedEnvironment):
    """jinja2's sandbox with a budget for what a template makes."""

    intercepted_binops = frozenset(["+", "*", "**", "%"])

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        own = self.filters
        self.filters = _Filters()
        for name, function in own.items():
            self.filters[name] = function
        self.globals.pop("lipsum", None)

    def _parse(self, *given: Any, **named: Any) -> nodes.Template:
        found: nodes.Template = _Joined().visit(super()._parse(*given, **named))
        return found

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """An operator, counted; powers are refused.

        Raises:
            SecurityError: it would make too much.
        """
        if operator == "**":
            raise SecurityError("it takes powers")
        if operator == "*":
            _spend(_repeated(left, right))
        elif operator == "+":
            _spend(_size(left) + _size(right))
        elif isinstance(left, (str, bytes)):
            _check_call("%", [left])
        found = super().call_binop(context, operator, left, right)
        if operator == "%":
            _spend(_size(found))
        return found

    def call(self, context: Any, obj: Any, *given: Any, **named: Any) -> Any:
        """A call, its result counted; a text's methods as filters."""
        receiver = getattr(obj, "__self__", None)
        name = getattr(obj, "__name__", "")
        texts = [receiver] if isinstance(receiver, (str, bytes)) else []
        first = [""] if not texts and name != "strftime_now" else texts
        _check_call(name, [*first, *given, *named.values()])
        found = super().call(context, obj, *given, **named)
        _spend(_size(found))
        return found

    @staticmethod
    def concat(parts: Iterable[str]) -> str:
        """The output's parts as one text, counted before it is made."""
        whole = []
        for part in parts:
            _spend(len(part))
            whole.append(part)
        return "".join(whole)
