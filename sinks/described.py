"""What the head of a view's script says of the view, its parameters and its columns.

The head is the comment before the first statement: prose, then `Parameters:` and `Columns:`, each
with a line `  name: text` an entry, which goes on in lines that are indented deeper.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from leadstream.sinks.clickhouse import literal, quoted

_PARAMETERS: Final = "Parameters:"
_COLUMNS: Final = "Columns:"
_ENTRY: Final = re.compile(r"  (?P<name>[\w.]+): (?P<text>\S.*)")
_MORE: Final = re.compile(r"   +(?P<text>\S.*)")


@dataclass(frozen=True, slots=True)
class Described:
    """A view's words; `columns` and `parameters` are by name."""

    prose: str
    parameters: Mapping[str, str]
    columns: Mapping[str, str]

    @property
    def comment(self) -> str:
        """What stands as the comment of the view.

        The engine keeps no columns of a view that takes parameters, so they stand here.
        """
        if not self.parameters:
            return self.prose
        parts = ((_PARAMETERS, self.parameters), (_COLUMNS, self.columns))
        entries = [
            "\n".join([title, *(f"  {name}: {text}" for name, text in of.items())])
            for title, of in parts
            if of
        ]
        return "\n".join([self.prose, *entries])

    def statement(self, view: str) -> str | None:
        """Return the statement that puts the words into the database; None: there are none.

        Args:
            view: its quoted name with the database.
        """
        if not self.comment:
            return None
        commands = [f"MODIFY COMMENT {literal(self.comment)}"]
        if not self.parameters:
            commands += [
                f"COMMENT COLUMN {quoted(name)} {literal(text)}"
                for name, text in self.columns.items()
            ]
        return f"ALTER TABLE {view} {', '.join(commands)}"


def described(sql: str) -> Described:
    """Return what the head of a view's script says.

    Raises:
        ValueError: a line below `Parameters:` or `Columns:` is no entry, or an entry comes twice.
    """
    prose: list[str] = []
    sections: dict[str, dict[str, str]] = {_PARAMETERS: {}, _COLUMNS: {}}
    entries: dict[str, str] | None = None
    name = ""
    for line in sql.splitlines():
        if not line.startswith("--"):
            break
        text = line.removeprefix("-- ").rstrip()
        if text in sections:
            entries, name = sections[text], ""
        elif entries is None:
            prose.append(text)
        elif entry := _ENTRY.fullmatch(text):
            name = entry["name"]
            if name in entries:
                raise ValueError(f"{name} is described twice")
            entries[name] = entry["text"]
        elif name and (more := _MORE.fullmatch(text)):
            entries[name] += f" {more['text']}"
        else:
            raise ValueError(f'"{line}" is not of the form "--   name: text"')
    return Described("\n".join(prose), sections[_PARAMETERS], sections[_COLUMNS])
