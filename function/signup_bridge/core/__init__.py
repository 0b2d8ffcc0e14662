"""Words and arithmetic that all other parts use. It imports no other part."""

from __future__ import annotations

from typing import ClassVar


class Value:
    """Equals another object of its class with the same attributes. Its repr omits those in ``hidden``.

    A frozen dataclass also forbids assignments, but generating its methods takes 0.5 ms of a cold start for each class.
    Here the attributes are declared ``Final``, which mypy checks.
    """

    hidden: ClassVar[tuple[str, ...]] = ()

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((type(self), *vars(self).values()))

    def __repr__(self) -> str:
        shown = (f"{name}={value!r}" for name, value in vars(self).items() if name not in self.hidden)
        return f"{type(self).__name__}({', '.join(shown)})"
