"""From sqlglot's tree to the typed one: a whitelist of node types, each comparison checked against its fact."""

from collections.abc import Mapping
from typing import Final

from sqlglot import exp

from engine.errors import Place, Problem
from engine.facts import Fact
from engine.literals import Literal, read_literal
from engine.source import Text
from engine.tree import All, Any, Condition, Leaf, Named, Op, negated

_OPS: Final[Mapping[type[exp.Expr], Op]] = {
    exp.EQ: "=",
    exp.NEQ: "!=",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
}
_MIRRORED: Final[Mapping[Op, Op]] = {"=": "=", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_NOTHING: Final = All(())


class Reader:
    """Turns one text's sqlglot tree into ours; every kind of node that is not named here is refused."""

    def __init__(
        self,
        text: Text,
        facts: Mapping[str, Fact],
        defines: Mapping[str, Condition],
        currency: str | None,
        problems: list[Problem],
    ) -> None:
        self._text = text
        self._facts = facts
        self._defines = defines
        self._currency = currency
        self._problems = problems

    def condition(self, tree: exp.Expr) -> Condition:
        """The typed condition; after appending problems, a stand-in without parts."""
        match tree:
            case exp.Paren():
                return self.condition(tree.this)
            case exp.Not():
                return negated(self.condition(tree.this))
            case exp.And() | exp.Or():
                parts = tuple(self.condition(part) for part in _chain(tree))
                return All(parts) if isinstance(tree, exp.And) else Any(parts)
            case exp.Boolean():
                return All(()) if tree.this else Any(())
            case exp.Column():
                return self._name(tree)
        fact = self._fact(tree)
        if fact is None:
            return _NOTHING
        leaf = self._leaf(tree, fact)
        return leaf if leaf is not None else _NOTHING

    def _refuse(self, what: str, mend: str, at: Place) -> None:
        self._problems.append(Problem(what, mend, at))

    def _at(self, node: exp.Expr) -> Place:
        starts = [found.meta["start"] for found in node.walk() if "start" in found.meta]
        return self._text.spot(min(starts)) if starts else self._text.at

    def _name(self, column: exp.Column) -> Condition:
        name = column.name
        if name in self._defines:
            return Named(name, self._defines[name])
        fact = self._known(column)
        if fact is None:
            return _NOTHING
        if fact.type != "bool":
            example = f"{name} = 'text'" if fact.type == "text" else f"{name} >= 1"
            self._refuse(f"`{name}` alone is no condition", f"compare it, as in `{example}`", self._at(column))
            return _NOTHING
        return Leaf(name, "=", (True,), name, self._at(column))

    def _fact(self, tree: exp.Expr) -> Fact | None:
        """The fact on the left of a comparison."""
        if type(tree) not in _OPS and not isinstance(tree, exp.In | exp.Between | exp.Is):
            mend = "write a comparison of a fact with a literal, and join comparisons with `and`, `or`"
            self._refuse(f"`{self._slice(tree)}` is no condition", mend, self._at(tree))
            return None
        left = tree.this
        if not isinstance(left, exp.Column):
            mend = "write the fact, then the sign, then the literal, as in `dpd >= 3`"
            if type(tree) in _OPS and isinstance(tree.expression, exp.Column):
                mend = f"write `{tree.expression.name} {_MIRRORED[_OPS[type(tree)]]} {self._slice(left)}`"
            self._refuse("a comparison that does not begin with a fact", mend, self._at(tree))
            return None
        if left.name in self._defines:
            mend = f"write `{left.name}` or `not {left.name}`"
            self._refuse(f"`{left.name}` is a defined condition and cannot be compared", mend, self._at(left))
            return None
        return self._known(left)

    def _known(self, column: exp.Column) -> Fact | None:
        fact = self._facts.get(column.name)
        if fact is None:
            # Every other name was checked before; sqlglot takes some of our own words for names where they stand alone.
            mend = "a condition reads like `dpd >= 3 and has_mobile`"
            self._refuse(f"`{column.name}` stands where a fact belongs", mend, self._at(column))
        return fact

    def _slice(self, tree: exp.Expr) -> str:
        spans = [(n.meta["start"], n.meta["end"]) for n in tree.walk() if "start" in n.meta]
        if not spans:
            return self._text.raw
        return self._text.raw[min(start for start, _ in spans) : max(end for _, end in spans) + 1]

    def _leaf(self, tree: exp.Expr, fact: Fact) -> Leaf | None:
        at = self._at(tree.this)
        if isinstance(tree, exp.Is):
            return Leaf(fact.name, "is null", (), f"{fact.name} is null", at)
        if isinstance(tree, exp.Between):
            return self._between(tree, fact, at)
        if isinstance(tree, exp.In):
            return self._in(tree, fact, at)
        return self._comparison(tree, fact, at)

    def _literal(self, node: exp.Expr, fact: Fact, at: Place) -> Literal | None:
        place = self._at(node) if any("start" in found.meta for found in node.walk()) else at
        literal = read_literal(node, fact, self._currency, place)
        if isinstance(literal, Problem):
            self._problems.append(literal)
            return None
        return literal

    def _comparison(self, tree: exp.Expr, fact: Fact, at: Place) -> Leaf | None:
        op = _OPS[type(tree)]
        literal = self._literal(tree.expression, fact, at)
        if literal is None:
            return None
        name, value = fact.name, literal.value
        if isinstance(value, bool):
            if op not in {"=", "!="}:
                self._refuse(f"`{name}` is yes or no and has no order", f"write `{name}` or `not {name}`", at)
                return None
            wanted = value == (op == "=")
            return Leaf(name, "=", (wanted,), name if wanted else f"not {name}", at)
        if isinstance(value, str) and op not in {"=", "!="}:
            self._refuse(f"`{name}` is a text and has no order", "use `=`, `!=` or `in`", at)
            return None
        if (op == "<" and value == fact.low) or (op == ">" and value == fact.high):
            mend = "compare it with a value it can have"
            self._refuse(f"`{name} {op} {literal.text}` can never be true", mend, at)
            return None
        return Leaf(name, op, (value,), f"{name} {op} {literal.text}", at)

    def _between(self, tree: exp.Between, fact: Fact, at: Place) -> Leaf | None:
        if fact.type in {"bool", "text"}:
            kind = "yes or no" if fact.type == "bool" else "a text"
            self._refuse(f"`{fact.name}` is {kind} and has no order", "use `=`, `!=` or `in`", at)
            return None
        low, high = (self._literal(tree.args[key], fact, at) for key in ("low", "high"))
        if low is None or high is None:
            return None
        text = f"{fact.name} between {low.text} and {high.text}"
        if low.value > high.value:  # type: ignore[operator]  # both are int: the fact is a number
            self._refuse(f"`{text}` can never be true", f"write `between {high.text} and {low.text}`", at)
            return None
        return Leaf(fact.name, "between", (low.value, high.value), text, at)

    def _in(self, tree: exp.In, fact: Fact, at: Place) -> Leaf | None:
        items = tree.expressions
        if not items or tree.args.get("query") or tree.args.get("field"):
            self._refuse(
                f"`{fact.name} in` wants a list", f"write `{fact.name} in (...)`, the values between commas", at
            )
            return None
        if fact.type == "bool":
            self._refuse(f"`{fact.name}` is yes or no", f"write `{fact.name}` or `not {fact.name}`", at)
            return None
        if any(isinstance(item, exp.Null) for item in items):
            mend = f"write `{fact.name} is null` beside it"
            self._refuse(f"`null` inside the list of `{fact.name} in`", mend, at)
            return None
        literals = [literal for item in items if (literal := self._literal(item, fact, at)) is not None]
        if len(literals) < len(items):
            return None
        values = tuple(literal.value for literal in literals)
        if len(set(values)) < len(values):
            twice = next(literal.text for i, literal in enumerate(literals) if literal.value in values[:i])
            self._refuse(f"`{twice}` stands twice in the list of `{fact.name} in`", "keep one of them", at)
            return None
        return Leaf(fact.name, "in", values, f"{fact.name} in ({', '.join(item.text for item in literals)})", at)


def _chain(tree: exp.Expr) -> list[exp.Expr]:
    """The operands of `a and b and c`, which sqlglot nests to the left."""
    kind, parts = type(tree), []
    while type(tree) is kind:
        parts.append(tree.expression)
        tree = tree.this
    return [tree, *reversed(parts)]
