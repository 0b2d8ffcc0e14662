"""Domain types and calculations that all other sub-packages use. It imports none of them."""

from __future__ import annotations

from typing import ClassVar


class Value:
    """Base class of immutable values, which are compared by their attributes. The repr omits those in ``hidden``.

    A frozen dataclass also forbids assignments, but generating its methods adds 0.5 ms per class to a cold start. The
    attributes of these classes are declared ``Final`` instead, which mypy checks.
    """

    hidden: ClassVar[tuple[str, ...]] = ()

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((type(self), *vars(self).values()))

    def __repr__(self) -> str:
        shown = (f"{name}={value!r}" for name, value in vars(self).items() if name not in self.hidden)
        return f"{type(self).__name__}({', '.join(shown)})"
