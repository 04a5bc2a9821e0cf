"""ClickHouse type names, parsed: `Array(Nullable(DateTime64(6, 'UTC')))` becomes a small tree."""

from __future__ import annotations

import dataclasses

_WRAPPERS = frozenset({"Nullable", "LowCardinality"})


@dataclasses.dataclass(frozen=True, slots=True)
class Type:
    """One type: its name, and what stands between its parentheses, split at the outer commas."""

    name: str
    arguments: tuple[str, ...] = ()
    nullable: bool = False

    def inner(self) -> Type:
        """The element type of an Array."""
        return parse(self.arguments[0])


def parse(text: str) -> Type:
    """The type of this text; Nullable becomes a flag and LowCardinality, which changes no value, is dropped."""
    name, _, rest = text.strip().partition("(")
    name = name.strip()
    arguments = _split(rest.rstrip().removesuffix(")")) if rest else ()
    if name in _WRAPPERS and arguments:
        wrapped = parse(arguments[0])
        return dataclasses.replace(wrapped, nullable=wrapped.nullable or name == "Nullable")
    return Type(name, arguments)


def _split(text: str) -> tuple[str, ...]:
    """Split at commas that are outside parentheses and quotes."""
    parts: list[str] = []
    depth, start, position, quote = 0, 0, 0, ""
    while position < len(text):
        character = text[position]
        if quote:
            if character == "\\":
                position += 1
            elif character == quote:
                quote = ""
        elif character in "'`\"":
            quote = character
        elif character == "(":
            depth += 1
        elif character == ")":
            depth -= 1
        elif character == "," and depth == 0:
            parts.append(text[start:position].strip())
            start = position + 1
        position += 1
    parts.append(text[start:].strip())
    return tuple(part for part in parts if part)
