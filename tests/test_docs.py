"""The documents: links lead somewhere, pictures are used, quoted sentences are the program's."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from da3_ros.core.frame_counts import Drop

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
FAQ, STATUS = ROOT / "docs" / "faq.md", ROOT / "docs" / "status.md"
SOURCES = [*ROOT.glob("da3_ros/**/*.py"), *ROOT.glob("scripts/*")]

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)|<img [^>]*src=\"([^\"]+)\"")
FENCE = re.compile(r"^( *)```.*?^\1```", re.DOTALL | re.MULTILINE)
PLACEHOLDER = re.compile(r"\.\.\.|\b[NM]\b|WxH|[();']")
"""What stands in the FAQ for names and numbers, and what separates parts of sentences."""

SHORTEST = 10
"""Letters from which on a part of a sentence is looked for."""


def prose(document: Path) -> str:
    """The text without blocks of code."""
    return FENCE.sub("", document.read_text())


def links(document: Path) -> list[str]:
    """Targets of all links and pictures that are not on another server."""
    found = [a or b for a, b in LINK.findall(re.sub(r"`[^`]*`", "", prose(document)))]
    return [target for target in found if not re.match(r"[a-z]+:", target)]


@cache
def anchors(document: Path) -> set[str]:
    """Of all headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", prose(document), re.MULTILINE)
    words = [re.sub(r"[^\w\- ]", "", re.sub(r"[`*]", "", h)).lower() for h in headings]
    return {w.strip().replace(" ", "-") for w in words}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.name)
def test_links_lead_somewhere(document):
    broken = []
    for target in links(document):
        path, _, anchor = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        is_there = file.exists() and (not anchor or anchor in anchors(file))
        broken += [] if is_there else [target]
    assert not broken


def test_broken_links_are_found(tmp_path):
    other = tmp_path / "other.md"
    other.write_text("# A heading, with `code`\n```bash\n# no heading\n```\n")
    document = tmp_path / "document.md"
    for target, is_broken in (
        ("other.md", False),
        ("other.md#a-heading-with-code", False),
        ("other.md#no-heading", True),
        ("nowhere.md", True),
        ("https://example.com/nowhere", False),
    ):
        document.write_text(f"See [this]({target}).\n")
        if is_broken:
            with pytest.raises(AssertionError):
                test_links_lead_somewhere(document)
        else:
            test_links_lead_somewhere(document)


@cache
def names_of_tests(file: Path) -> set[str]:
    """Names of its test functions and classes, methods included."""
    kinds = (ast.FunctionDef, ast.ClassDef)
    return {n.name for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, kinds)}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.name)
def test_tests_that_documents_name_are_there(document):
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+)(\*)?)?`", document.read_text())
    missing = []
    for path, name, is_prefix in named:
        file = ROOT / path
        found = names_of_tests(file) if file.exists() else set()
        is_there = any(n.startswith(name) for n in found) if is_prefix else name in found
        missing += [] if file.exists() and (not name or is_there) else [f"{path}::{name}"]
    assert not missing


def test_tests_named_without_a_file_are_there():
    """In docs/api.md, which says where they are."""
    everything = set().union(*map(names_of_tests, ROOT.glob("tests/**/test_*.py")))
    named = re.findall(r"`(test_\w+)(\*)?`", (ROOT / "docs" / "api.md").read_text())
    assert len(named) > 20
    missing = [
        name
        for name, is_prefix in named
        if not (any(n.startswith(name) for n in everything) if is_prefix else name in everything)
    ]
    assert not missing


def test_every_picture_is_shown_somewhere():
    shown = {(d.parent / t).resolve() for d in DOCUMENTS for t in links(d)}
    pictures = {p.resolve() for p in (ROOT / "docs" / "images").iterdir()}
    assert pictures <= shown, f"nobody shows {sorted(p.name for p in pictures - shown)}"


def test_the_index_lists_every_document():
    listed = {(ROOT / "docs" / target).resolve() for target in links(ROOT / "docs" / "README.md")}
    assert {p for p in ROOT.glob("docs/*.md") if p.name != "README.md"} <= listed


def test_no_name_of_the_machine_that_made_them():
    places = re.compile(r"(?<![\w.~])/(?:work|tmp|root)\b")
    assert [d.name for d in DOCUMENTS if places.search(d.read_text())] == []


def test_nothing_is_left_to_be_filled_in():
    gaps = re.compile(r"\b(?:TODO|TBD|FIXME|XXX)\b|^[A-Z]{6,}$", re.MULTILINE)
    assert [d.name for d in DOCUMENTS if gaps.search(prose(d))] == []


@cache
def sentences() -> str:
    """Every text in the program, one a line; the variable parts of sentences end a line."""
    texts = []
    for file in SOURCES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(" ".join(node.value.split()))
    return "\n".join(texts)


def test_one_spelling():
    """As the interfaces of the field have it."""
    texts = {d.name: d.read_text() for d in DOCUMENTS} | {"the program": sentences()}
    assert [name for name, text in texts.items() if re.search(r"colour|licence", text)] == []


def sends_to_a_registry(text: str) -> bool:
    """This package is in none; and pip does not know what colcon has installed."""
    return bool(re.search(r"pip install ['\"]?da3_ros", text))


def test_nobody_is_sent_to_a_registry_for_this_package():
    assert sends_to_a_registry("first: pip install 'da3_ros[engines]'")
    texts = {d.name: d.read_text() for d in DOCUMENTS} | {"the program": sentences()}
    assert [name for name, text in texts.items() if sends_to_a_registry(text)] == []


def first_cells(text: str) -> list[str]:
    """Of every row of every table but its head."""
    return re.findall(r"^\| (?!it says)(.+?) \|", text, re.MULTILINE)


def quoted() -> list[str]:
    """What the program says, by the FAQ and the list of standing troubles. In parentheses: our own
    words."""
    standing = STATUS.read_text().partition("## Standing troubles")[2]
    cells = first_cells(FAQ.read_text()) + first_cells(standing)
    return [cell for cell in cells if cell.strip() and not cell.startswith("(")]


@pytest.mark.parametrize("cell", quoted())
def test_quotes_are_what_the_program_says(cell):
    parts = [p.strip(" ,.:`") for p in PLACEHOLDER.split(cell)]
    parts = [p for p in parts if len(p) >= SHORTEST]
    assert parts, "only placeholders"
    missing = [p for p in parts if p not in sentences()]
    assert not missing


def test_every_reason_for_a_drop_is_explained():
    cells = {cell.strip("`") for cell in first_cells(STATUS.read_text())}
    assert {reason.value for reason in Drop} <= cells


def test_the_faq_has_every_check_of_the_doctor():
    doctor = "\n".join(p.read_text() for p in ROOT.glob("da3_ros/ros/doctor/*.py"))
    doctor += (ROOT / "da3_ros" / "commands" / "doctor.py").read_text()
    names = set(re.findall(r"\b(?:ok|warn|error|say)\(\s*\"([a-z ]+)\"", doctor))
    names |= set(re.findall(r"^ *(?:NAME|name)(?:, \w+)? = \"([a-z ]+)\"", doctor, re.MULTILINE))
    headings = re.findall(r"^### (.*)$", FAQ.read_text(), re.MULTILINE)
    assert len(names) > 15 and names <= set(", ".join(headings).split(", "))
