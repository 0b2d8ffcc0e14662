"""Test that JSON is parsed strictly, and without recursion near Python's limit."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from typing import Any

import pytest
from signup_bridge.core import strict_json
from signup_bridge.core.strict_json import MAX_NESTING


@pytest.fixture
def finalizer_depths() -> Iterator[list[int]]:
    """Record each garbage collection that has fewer than 100 free frames, and let collections run often.

    A collection runs the finalizers of unrelated objects, which must not fail.
    """
    failures: list[int] = []

    def callback(_phase: str, _info: dict[str, int]) -> None:
        try:
            _recurse(100)
        except RecursionError:
            failures.append(1)

    before = gc.get_threshold()
    gc.callbacks.append(callback)
    gc.set_threshold(1)
    yield failures
    gc.set_threshold(*before)
    gc.callbacks.remove(callback)


def _recurse(depth: int) -> None:
    if depth:
        _recurse(depth - 1)


def nested(depth: int, inner: Any = 5, *, as_object: bool = False) -> Any:
    value = inner
    for _ in range(depth):
        value = {"a": value} if as_object else [value]
    return value


@pytest.mark.parametrize("as_object", [False, True])
@pytest.mark.parametrize("inner", [5, "[[[", '{"\\'])
def test_loads_and_dumps_nested_to_the_limit_return_the_value(inner: Any, *, as_object: bool) -> None:
    value = nested(MAX_NESTING, inner, as_object=as_object)
    assert json.loads(strict_json.dumps(value)) == strict_json.loads(json.dumps(value).encode()) == value


@pytest.mark.parametrize("as_object", [False, True])
@pytest.mark.parametrize("inner", [5, [], {}])
def test_loads_and_dumps_nested_past_the_limit_raise(inner: Any, *, as_object: bool) -> None:
    value = nested(MAX_NESTING + (inner == 5), inner, as_object=as_object)
    with pytest.raises(ValueError, match="not JSON"):
        strict_json.dumps(value)
    with pytest.raises(ValueError, match="not JSON"):
        strict_json.loads(json.dumps(value).encode())


def test_loads_of_many_brackets_that_do_not_nest_returns_the_value() -> None:
    value = [[], {}, "[" * 200, '\\"{'] * 200
    assert strict_json.loads(json.dumps(value).encode()) == value


HOSTILE = [b"[" * 100_000, b'{"a":' * 100_000, b'"' + b'\\"[' * 100_000, b"]" * 500 + b"[" * 500]


@pytest.mark.parametrize("text", HOSTILE)
def test_loads_of_hostile_text_raises_without_deep_recursion(finalizer_depths: list[int], text: bytes) -> None:
    with pytest.raises(ValueError, match="not JSON"):
        strict_json.loads(text)
    assert not finalizer_depths


@pytest.fixture
def very_deep() -> list[Any]:
    """Build the values before garbage collections run often."""
    return [nested(100_000, as_object=as_object) for as_object in (False, True)]


def test_dumps_of_a_very_deep_value_raises_without_deep_recursion(
    very_deep: list[Any], finalizer_depths: list[int]
) -> None:
    for value in very_deep:
        with pytest.raises(ValueError, match="not JSON"):
            strict_json.dumps(value)
    assert not finalizer_depths


@pytest.mark.parametrize("value", [b"187", {1, 2}, object(), {"a": b"187"}, {("a",): 1}])
def test_dumps_of_no_json_value_raises_without_the_value(value: object) -> None:
    with pytest.raises(ValueError, match=r"^not JSON$"):
        strict_json.dumps(value)


def test_dumps_of_a_value_within_itself_raises() -> None:
    value: dict[str, Any] = {}
    value |= {"a": value, "b": value}
    with pytest.raises(ValueError, match="not JSON"):
        strict_json.dumps(value)


def test_dumps_of_lone_surrogates_returns_bytes() -> None:
    assert strict_json.dumps("é\ud800") == '"é'.encode() + b"\xed\xa0\x80" + b'"'
