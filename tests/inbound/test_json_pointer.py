"""Test JSON Pointers with the examples of RFC 6901 and with arbitrary ones."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from signup_bridge.inbound import json_pointer

RFC: dict[str, Any] = {
    "foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, 'k"l': 6, " ": 7, "m~n": 8,
}  # fmt: skip
"""The document of RFC 6901, section 5."""


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("/foo", ["bar", "baz"]),
        ("/foo/0", "bar"),
        ("/", 0),
        ("/a~1b", 1),
        ("/c%d", 2),
        ("/e^f", 3),
        ("/g|h", 4),
        ("/i\\j", 5),
        ('/k"l', 6),
        ("/ ", 7),
        ("/m~0n", 8),
    ],
)
def test_pointer_examples_of_the_rfc_are_resolved(pointer: str, value: object) -> None:
    assert json_pointer.resolve(RFC, json_pointer.parse(pointer)) == value


def test_empty_pointer_is_the_whole_document() -> None:
    assert json_pointer.resolve(RFC, ()) is RFC
    assert json_pointer.to_string(()) == "#"


def test_escaped_token_is_unescaped_once() -> None:
    assert json_pointer.parse("/~01") == ("~1",)
    assert json_pointer.resolve({"~1": 5}, ("~1",)) == 5


@pytest.mark.parametrize(
    "pointer",
    ["/foo/2", "/foo/-", "/foo/-1", "/foo/00", "/foo/01", "/foo/+1", "/foo/1.0", "/foo/٠", "/foo/x", "/foo/0/0",
     "/foo/ 0", "/foo/" + "9" * 5000, "/bar", "//", "/a/b", "/ /7"],
)  # fmt: skip
def test_pointer_to_nothing_raises(pointer: str) -> None:
    with pytest.raises(LookupError):
        json_pointer.resolve(RFC, json_pointer.parse(pointer))


@pytest.mark.parametrize("text", ["", "foo", "#/foo", "foo/bar", "/~", "/~2", "/a~", "/a/~b/c"])
def test_invalid_pointer_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="must be a JSON Pointer"):
        json_pointer.parse(text)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
tokens = st.lists(st.sampled_from(["0", "1", "-", "~", "/", "~1", ""]) | st.text(max_size=4), min_size=1, max_size=4)


@given(path=tokens)
def test_pointer_is_written_as_it_was_parsed(path: list[str]) -> None:
    assert json_pointer.parse(json_pointer.to_string(tuple(path))[1:]) == tuple(path)


@given(document=anything, path=tokens)
def test_any_pointer_is_resolved_or_raises_lookup_error(document: Any, path: list[str]) -> None:
    try:
        found = json_pointer.resolve(document, tuple(path))
    except LookupError:
        return
    for token in path:
        document = document[int(token)] if isinstance(document, list) else document[token]
    assert found is document


@given(text=st.text(alphabet="/~01aé\n") | st.text())
def test_any_string_is_parsed_or_rejected(text: str) -> None:
    try:
        assert json_pointer.to_string(json_pointer.parse(text)) == f"#{text}"
    except ValueError:
        assert not text.startswith("/") or "~" in text
