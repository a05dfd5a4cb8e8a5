"""docs/api.md names every parameter, format and option, and tests that exist."""

import inspect
import re
from pathlib import Path

from da3_ros.api import DepthAnything3
from da3_ros.core import print_options
from da3_ros.core.export import FORMATS
from da3_ros.core.export.camera_paths import MODES

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "api.md").read_text()
ROWS = {}
for line in TEXT.splitlines():
    if match := re.match(r"\| `(\w+)` \|", line):
        ROWS.setdefault(match[1], line)


def test_every_parameter_is_there_with_its_default():
    parameters = list(inspect.signature(DepthAnything3.inference).parameters.values())[1:]
    for p in parameters:
        default = ROWS[p.name].split("|")[2].strip().strip("`")
        if p.default is not inspect.Parameter.empty:
            assert eval(default) == p.default, p.name


def test_every_format_is_there():
    formats = [*FORMATS, "mesh_ply", "mesh_glb"]
    assert all(ROWS[name].count("|") == 5 for name in formats)
    assert all(f"`{mode}`" in TEXT or mode in TEXT for mode in MODES)


def test_the_table_of_options_is_the_one_that_checks_them():
    table = list(print_options.table_lines())
    assert "\n".join(table) in TEXT
    for name, format in FORMATS.items():
        for option in format.options.declared():
            rows = [line for line in table if line.startswith(f"| `{option.name}` |")]
            assert any(f"`{name}`" in row.split("|")[2] for row in rows), (name, option.name)


def test_every_row_names_tests_that_exist():
    code = "\n".join(p.read_text() for p in (ROOT / "tests").rglob("test_*.py"))
    rows = [
        ROWS[n]
        for n in [*FORMATS, *inspect.signature(DepthAnything3.inference).parameters]
        if n in ROWS
    ]
    assert len(rows) == len(FORMATS) + 20
    for row in rows:
        named = re.findall(r"(test_[a-z0-9_]+)(\*?)[`,]", row)
        assert named, row
        for name, star in named:
            assert f"def {name}{'' if star else '('}" in code, name
