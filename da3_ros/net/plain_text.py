"""Text of strangers, cut and escaped: names in messages and files, before a sentence repeats them.

Whoever is on the graph chooses frame names, encodings and paths: a megabyte of them fills a disk,
a newline forges a line of the log, an escape sequence repaints a terminal, a bidirectional mark
turns a sentence round.
"""

from __future__ import annotations

LONGEST_NAME = 80
"""Characters of a name that a sentence repeats: longer ones are nobody's, or a flood."""

LONGEST_PATH = 300
"""Characters of a path that a sentence repeats."""

LONGEST_SENTENCE = 2000
"""Characters of a line of the log: all sentences of this package are shorter."""

LONGEST_FIRST_LINE = 200
"""Characters of an error of another library that a sentence repeats."""


def plain(text: str, longest: int = LONGEST_NAME) -> str:
    """The text on one line, of printable characters, with `...` where it was cut.

    What cannot be printed is escaped as in Python: `\\n`, `\\x1b`, `\\u202e`.
    """
    text = text[: longest + 1]
    if not text.isprintable():
        text = "".join(map(_printable, text))
    return text if len(text) <= longest else text[: longest - 3] + "..."


def plain_tail(text: str, longest: int) -> str:
    """The end of a text of several lines, such as a traceback, each as `plain` shows it.

    longest: characters of all of it.
    """
    kept = text[-longest:].split("\n")
    return "\n".join("".join(map(_printable, line)) for line in kept)


def first_line(error: Exception) -> str:
    """The first line of an error of another library, or its type where it says nothing."""
    text = str(error).strip()
    return plain(text.splitlines()[0], LONGEST_FIRST_LINE) if text else type(error).__name__


def _printable(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode("ascii")
