"""Generate the mutants of a module's source. Each differs in one place and behaves differently.

Cosmic Ray's operators change operators, numbers, conditions and keywords. `StringReplacer` changes short strings, which
are header names, schemes and codes in this project.
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from cosmic_ray.mutating import MutationVisitor
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator, operator_names
from parso.tree import Leaf

_OF_VARIABLES = ("core/VariableReplacer", "core/VariableInserter")  # they require names of variables
_PROSE = re.compile(r"[A-Za-z]{2,},? [A-Za-z`]")


class Mutant(NamedTuple):
    """A change of one ``line`` in a function, class or name (``where``), and the new line that it ``becomes``."""

    module: str
    where: str
    line: str
    becomes: str
    source: str

    def __str__(self) -> str:
        return f"{self.module}, {self.where}: {self.line}\n    becomes: {self.becomes}"


class StringReplacer(Operator):  # type: ignore[misc]  # the base class has no types
    """Change strings that are not prose. No test depends on the wording of prose."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        if getattr(node, "type", "") in ("string", "fstring_string") and not _PROSE.search(node.value):
            yield node.start_pos, node.end_pos

    def mutate(self, node: Leaf, index: int) -> Leaf:
        text = node.value
        end = len(text) - (1 if node.type == "string" else 0)
        node.value = f"{text[:end]}X{text[end:]}"
        return node

    @classmethod
    def examples(cls) -> tuple[()]:
        return ()


def mutants_of(module: str, source: str) -> Iterator[Mutant]:
    """Yield each mutant once, without invalid Python and changes of annotations only, which have no effect."""
    seen = {_meaning(source)}
    known = [get_operator(name) for name in operator_names() if name not in _OF_VARIABLES]
    for operator in (*known, StringReplacer):
        for mutated in _by(operator(), source):
            try:
                meaning = _meaning(mutated)
            except SyntaxError:
                continue
            if meaning not in seen:
                seen.add(meaning)
                yield _described(module, source, mutated)


def _by(operator: Operator, source: str) -> Iterator[str]:
    occurrence = 0
    while mutated := MutationVisitor.mutate_code(source, operator, occurrence):
        yield mutated
        occurrence += 1


class _WithoutAnnotations(ast.NodeTransformer):
    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.annotation = ast.Constant("")
        return self.generic_visit(node)


def _meaning(source: str) -> str:
    return ast.dump(_WithoutAnnotations().visit(ast.parse(source)))


def _described(module: str, source: str, mutated: str) -> Mutant:
    before, after = source.splitlines(), mutated.splitlines()
    _, start, end, new_start, new_end = next(
        change for change in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
        if change[0] != "equal"
    )  # fmt: skip
    line, becomes = (" ".join(one.strip() for one in part) for part in (before[start:end], after[new_start:new_end]))
    where = next(_name(part) for part in ast.parse(source).body if start < (part.end_lineno or 0))
    return Mutant(module, where, line, becomes, mutated)


def _name(part: ast.stmt) -> str:
    if isinstance(part, (ast.FunctionDef, ast.ClassDef)):
        return part.name
    target = part.targets[0] if isinstance(part, ast.Assign) else getattr(part, "target", part)
    return ast.unparse(target)
