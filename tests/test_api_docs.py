"""docs/api.md names every parameter, format and option, and tests that exist."""

import inspect
import re
from pathlib import Path

from da3_ros.api import DepthAnything3
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


def test_every_format_is_there_with_its_options():
    for name, function in FORMATS.items():
        options = [
            p.name
            for p in inspect.signature(function).parameters.values()
            if p.kind is p.KEYWORD_ONLY
        ]
        assert all(f"`{option}`" in ROWS[name] for option in options), name
    assert all(f"`{mode}`" in ROWS["gs_video"] for mode in MODES)


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
