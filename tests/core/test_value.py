from __future__ import annotations

from signup_bridge.core import Value


class Size(Value):
    def __init__(self, width: int, height: int) -> None:
        self.width = width
        self.height = height


class Area(Size):
    hidden = ("height",)


def test_values_of_one_class_are_equal_by_their_attributes() -> None:
    assert Size(1, 2) == Size(1, 2)
    assert Size(1, 2) != Size(1, 3)
    assert Size(1, 2) != Area(1, 2)
    assert len({Size(1, 2), Size(1, 2), Area(1, 2)}) == 2


def test_repr_omits_hidden_attributes() -> None:
    assert repr(Size(1, 2)) == "Size(width=1, height=2)"
    assert repr(Area(1, 2)) == "Area(width=1)"
