"""Small changes of the code, made from its syntax trees.

Each change is one place: a weight that is not used, a comparison, sign, index or constant that is
another one, a branch that is always or never taken. Messages, annotations, defaults and the tuning
constants of modules are left as they are: no property says what they must be.
"""

from __future__ import annotations

import ast
import hashlib
import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple


class Mutant(NamedTuple):
    """A change of one place of a file."""

    file: str  # relative to the repository
    line: int
    begin: int  # offsets in the text of the file
    end: int
    old: str
    new: str
    kind: str

    @property
    def name(self) -> str:
        """A short name that stays the same while the file and the change do."""
        text = f"{self.file}|{self.old}|{self.new}|{self.kind}|{self.begin}"
        return hashlib.sha1(text.encode()).hexdigest()[:8]

    def __str__(self) -> str:
        old, new = (" ".join(text.split()) for text in (self.old, self.new))
        return f"{self.name} {self.file}:{self.line} {self.kind}: {old} -> {new}"


COMPARISONS = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
}

OPERATORS = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"),
}

NAMES = {
    "minimum": "maximum",
    "maximum": "minimum",
    "argmin": "argmax",
    "argmax": "argmin",
    "min": "max",
    "max": "min",
    "any": "all",
    "all": "any",
    "zeros": "ones",
    "zeros_like": "ones_like",
    "logsumexp": "np.max",
}

# Functions whose two arguments may change places.
SYMMETRIC = {"maximum", "minimum", "max", "min", "array_equal", "logaddexp", "hypot"}

# Rows, columns or experts in another order, or all of them.
INDICES = {"order", "columns", "kept", "index", "rows", "train", "test", "chosen", "present"}

# Arguments that say how work is done and not what comes of it.
MANNERS = {"stacklevel", "verbose", "n_jobs", "n_threads", "kind", "dtype", "optimize"}

# What a picture looks like, as keywords and as keys of dicts: no property asks for line widths.
LOOKS = {"linewidth", "linewidths", "markersize", "markeredgewidth", "zorder", "layout", "figsize"}
LOOKS |= {
    "s",
    "alpha",
    "bbox_to_anchor",
    "borderpad",
    "frameon",
    "labelpad",
    "rotation",
    "fontsize",
    "constrained",
    "length",
    "borderaxespad",
    "elinewidth",
    "capsize",
    "line_width",
    "min_border_right",
    "labelsize",
}


class _Visitor(ast.NodeVisitor):
    def __init__(self, file: str, source: str) -> None:
        self.file, self.source = file, source
        starts = [0]
        for text in source.encode().splitlines(keepends=True):
            starts.append(starts[-1] + len(text))
        self.starts = starts
        self.found: list[Mutant] = []
        self.inside = 0  # functions around

    # --- places ---

    def _offset(self, line: int, column: int) -> int:
        """Offset in characters; columns of the tree count bytes."""
        return len(self.source.encode()[: self.starts[line - 1] + column].decode())

    def _span(self, node: ast.AST) -> tuple[int, int]:
        begin = self._offset(node.lineno, node.col_offset)  # type: ignore[attr-defined]
        return begin, self._offset(node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]

    def _add(self, begin: int, end: int, new: str, kind: str) -> None:
        if self.inside:
            line = self.source.count("\n", 0, begin) + 1
            old = self.source[begin:end]
            self.found.append(Mutant(self.file, line, begin, end, old, new, kind))

    def _replace(self, node: ast.AST, new: str, kind: str) -> None:
        self._add(*self._span(node), new, kind)

    def _between(self, left: ast.AST, right: ast.AST, old: str, new: str, kind: str) -> None:
        begin, end = self._span(left)[1], self._span(right)[0]
        at = self.source.find(old, begin, end)
        if at >= 0:
            self._add(at, at + len(old), new, kind)

    # --- what is left as it is ---

    def visit_Raise(self, node: ast.Raise) -> None:
        """Messages."""

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Texts."""

    def visit_Assert(self, node: ast.Assert) -> None:
        """What types cannot say."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self.inside += 1
        for statement in node.body:
            self.visit(statement)
        self.inside -= 1

    # --- changes ---

    def visit_Compare(self, node: ast.Compare) -> None:
        sides = [node.left, *node.comparators]
        for left, operator, right in zip(sides, node.ops, node.comparators, strict=False):
            old, new = COMPARISONS[type(operator)]
            self._between(left, right, old, new, "comparison")
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        texts = any(isinstance(side, ast.JoinedStr) for side in (node.left, node.right))
        if type(node.op) in OPERATORS and not texts:
            self._between(node.left, node.right, *OPERATORS[type(node.op)], "operator")
        for side in (node.left, node.right):
            self._drop_weight(side)
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        self._between(node.values[0], node.values[1], old, new, "and/or")
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not | ast.USub):
            begin, _ = self._span(node)
            self._add(begin, self._span(node.operand)[0], "", "sign")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        value = node.value
        if isinstance(value, bool):
            self._replace(node, str(not value), "flag")
        elif isinstance(value, int):
            self._replace(node, str(1 - value) if value in (0, 1) else str(value + 1), "constant")
        elif isinstance(value, float):
            self._replace(node, repr(2.0 * value) if value else "1.0", "constant")

    def _branch(self, test: ast.expr) -> None:
        for value in ("True", "False"):
            self._replace(test, value, "branch")

    def visit_If(self, node: ast.If) -> None:
        only_raises = all(isinstance(statement, ast.Raise) for statement in node.body)
        if only_raises and not node.orelse:
            self._replace(node.test, "False", "refusal")
        else:
            self._branch(node.test)
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self._branch(node.test)
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._replace(node, "pass", "statement")
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if isinstance(node.ctx, ast.Load):
            parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            names = [part.id for part in parts if isinstance(part, ast.Name)]
            if INDICES & set(names):
                begin, end = self._span(node.value)[1], self._span(node)[1]
                self._add(begin, end, "", "index")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        function = node.func
        name = getattr(function, "attr", getattr(function, "id", ""))
        if name in ("warn", "warn_user"):
            return
        if name in NAMES:
            end = self._span(function)[1]
            self._add(end - len(name), end, NAMES[name].removeprefix("np."), "function")
        for argument in node.args if name != "len" else ():  # there are as many ones as weights
            self._drop_weight(argument)
        if len(node.args) == 2 and not any(isinstance(a, ast.Starred) for a in node.args):
            (a, b), (c, d) = (self._span(argument) for argument in node.args)
            first, middle, second = (self.source[i:j] for i, j in ((a, b), (b, c), (c, d)))
            both = isinstance(node.args[0], ast.Name) and isinstance(node.args[1], ast.Name)
            if both and first != second and name not in SYMMETRIC:
                self._add(a, d, second + middle + first, "arguments")
        for keyword in node.keywords:
            if keyword.arg in ("sample_weight", "weights", "weight"):
                self._replace(keyword.value, "None", "weight")
        self.visit(function)
        for argument in node.args:
            self.visit(argument)
        for keyword in node.keywords:
            if keyword.arg not in MANNERS | LOOKS:
                self.visit(keyword.value)

    def visit_Dict(self, node: ast.Dict) -> None:
        for key, value in zip(node.keys, node.values, strict=True):
            if not (isinstance(key, ast.Constant) and key.value in LOOKS):
                self.visit(value)

    def _drop_weight(self, node: ast.expr) -> None:
        """Weights of one in the place of weights."""
        name = getattr(node, "id", getattr(node, "attr", ""))
        if isinstance(node, ast.Name | ast.Attribute) and name.endswith("weight"):
            self._replace(node, f"np.ones_like({ast.unparse(node)})", "weight")


def mutants_of(root: Path, path: Path) -> list[Mutant]:
    """All changes of a file."""
    source = path.read_text()
    visitor = _Visitor(path.relative_to(root).as_posix(), source)
    visitor.visit(ast.parse(source))
    return visitor.found


def apply(source: str, mutant: Mutant) -> str:
    """The text of a file with a change."""
    assert source[mutant.begin : mutant.end] == mutant.old
    return source[: mutant.begin] + mutant.new + source[mutant.end :]


def _parses(source: str) -> bool:
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True


def sample(root: Path, number: int, seed: int, part: str = "") -> Iterator[Mutant]:
    """Changes of all modules in turn whose path has a part, in an order of the seed."""
    paths = sorted((root / "skmoe").rglob("*.py"))
    files = [path for path in paths if part in path.relative_to(root).as_posix()]
    sources = {path.relative_to(root).as_posix(): path.read_text() for path in files}

    def draw(mutant: Mutant) -> float:
        """A uniform number that is the same while the line of the change is."""
        line = sources[mutant.file].splitlines()[mutant.line - 1].strip()
        text = f"{seed}|{mutant.file}|{line}|{mutant.old}|{mutant.new}|{mutant.kind}"
        return random.Random(text).random()

    # A module is met as often as it has changes, to the power of one half: large ones more often.
    pool = []
    for path in files:
        pile = sorted((draw(mutant), mutant) for mutant in mutants_of(root, path))
        pool += [((i + u) / len(pile) ** 0.5, mutant) for i, (u, mutant) in enumerate(pile)]
    pool.sort(key=lambda entry: entry[0])
    programs = (m for _, m in pool if _parses(apply(sources[m.file], m)))
    yield from islice(programs, number)
