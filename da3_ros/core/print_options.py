"""Prints the options of the exports as the table of docs/api.md, or as plain lines.

python -m da3_ros.core.print_options
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from da3_ros.core.export import FORMATS
from da3_ros.core.user_input.options import Option


def table_lines() -> Iterator[str]:
    """A Markdown table; formats that share an option share its row."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for name, format in FORMATS.items():
        for option in format.options.declared():
            rows.setdefault(_cells(option), []).append(f"`{name}`")
    yield "| option | of | default | may be | meaning |"
    yield "|---|---|---|---|---|"
    for (name, *cells), formats in rows.items():
        yield f"| {' | '.join((name, ', '.join(formats), *cells))} |"


def plain_lines() -> Iterator[str]:
    """The same for a terminal, a format after the other."""
    for name, format in FORMATS.items():
        yield name
        for option in format.options.declared():
            yield f"    {option.name} ({option.default!r}; {option.kind}): {option.meaning}"


def _cells(option: Option) -> tuple[str, ...]:
    return f"`{option.name}`", f"`{option.default!r}`", str(option.kind), option.meaning


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in table_lines())
