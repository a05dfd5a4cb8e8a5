"""Text of strangers on one line, printable, and no longer than was said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from da3_ros.net.plain_text import LONGEST_NAME, first_line, plain, plain_tail

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=300)


@given(ANY_TEXT, st.integers(3, 100))
def test_any_text_becomes_one_printable_line(text, longest):
    said = plain(text, longest)
    assert said.isprintable() and len(said) <= longest
    said.encode()  # no half of a surrogate pair, which no log takes
    if text.isprintable() and len(text) <= longest:
        assert said == text


@pytest.mark.parametrize(
    "text, said",
    [
        ("base_link", "base_link"),
        ("küche/照相机", "küche/照相机"),
        ("a\n[ERROR] [da3]: b", r"a\n[ERROR] [da3]: b"),
        ("\x1b[2J", r"\x1b[2J"),
        ("\u202edaeh", r"\u202edaeh"),
        ("\ud800", r"\ud800"),
        ("x" * 10**6, "x" * (LONGEST_NAME - 3) + "..."),
    ],
)
def test_what_cannot_be_printed_is_escaped_and_what_is_long_is_cut(text, said):
    assert plain(text) == said


@given(ANY_TEXT)
def test_details_keep_their_lines_and_their_end(text):
    lines = plain_tail(text, 50).split("\n")
    assert all(line.isprintable() for line in lines)
    assert len(lines) == text[-50:].count("\n") + 1


def test_the_first_line_of_an_error():
    assert first_line(ValueError("\n <html>\x1b\nbody")) == r"<html>\x1b"
    assert first_line(ValueError()) == "ValueError"
