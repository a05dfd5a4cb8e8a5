"""The shape of the code: arrows point one way and in no circle, files and functions stay short."""

import re
from pathlib import Path

import pytest
from package_imports import FILES, PACKAGE, imports, needs_ros

from tools.house import LONGEST_FUNCTION, MOST_ARGUMENTS, arrows, circles, functions

ARROWS = ("commands", "ros", "api", "synthetic", "core", "net")
"""Each may import itself and what stands behind it; api and synthetic do not know each other."""

MAY_IMPORT = {room: set(ARROWS[place:]) for place, room in enumerate(ARROWS)}
MAY_IMPORT["api"] -= {"synthetic"}
KNOW_ROS = ("ros/", "commands/")
LONGEST_FILE = 300
PUBLIC_SIGNATURES = {("api.py", "inference")}
"""Functions whose arguments somebody else has laid down."""


def layer(module: str) -> str | None:
    """`net` for `da3_ros.net.backbone`; None outside the layers."""
    parts = module.split(".")
    return parts[1] if parts[0] == "da3_ros" and len(parts) > 1 and parts[1] in MAY_IMPORT else None


def name(file: Path) -> str:
    return str(file.relative_to(PACKAGE))


@pytest.mark.parametrize("file", FILES, ids=name)
def test_arrows_point_one_way(file):
    here = layer(".".join(("da3_ros", *file.relative_to(PACKAGE).with_suffix("").parts)))
    allowed = MAY_IMPORT.get(here, set(MAY_IMPORT))
    wrong = {m for m in imports(file) if layer(m) and layer(m) not in allowed}
    assert not wrong, f"{here}/ must not import {sorted(wrong)}"


@pytest.mark.parametrize("file", [f for f in FILES if not name(f).startswith(KNOW_ROS)], ids=name)
def test_only_the_ros_layer_knows_ros(file):
    wrong = {m for m in imports(file) if needs_ros(m)}
    assert not wrong, f"move what needs {sorted(wrong)} to da3_ros/ros"


@pytest.mark.parametrize("file", FILES, ids=name)
def test_no_file_is_too_long(file):
    lines = len(file.read_text().splitlines())
    assert lines <= LONGEST_FILE, f"{lines} lines; split it where its names differ"


@pytest.mark.parametrize("file", FILES, ids=name)
def test_functions_are_short_and_take_few_arguments(file):
    for f in functions(file):
        assert f.lines <= LONGEST_FUNCTION, f"{f.name}: {f.lines} lines; name its parts"
        if (name(file), f.name) not in PUBLIC_SIGNATURES:
            assert f.arguments <= MOST_ARGUMENTS, f"{f.name}: {f.arguments} arguments; group them"


def test_no_file_needs_itself():
    assert circles(arrows(FILES)) == []


def test_circles_are_found():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}, "e": {"d"}, "f": {"a"}}
    assert circles(graph) == [["a", "b", "c"], ["d", "e"]]


def test_every_file_has_a_layer():
    """The face of the package is one, too: nothing behind it may import it."""
    modules = {name(f): ".".join(("da3_ros", *Path(name(f)).with_suffix("").parts)) for f in FILES}
    assert [f for f, module in modules.items() if layer(module) is None] == ["__init__.py"]
    assert [room for room in ARROWS if "api" in MAY_IMPORT[room]] == ["commands", "ros", "api"]


def test_the_guide_names_rooms_that_are_there():
    """docs/architecture.md: every file of the walk and of the places for new things."""
    text = (PACKAGE.parent / "docs" / "architecture.md").read_text()
    named = set(re.findall(r"`((?:[a-z_]+/)+[a-z_]*\.?[a-z]*)`", text))
    places = (PACKAGE, PACKAGE.parent)
    assert len(named) > 20
    assert [n for n in named if not any((place / n).exists() for place in places)] == []


def test_the_walk_sees_every_kind_of_import(tmp_path):
    package = tmp_path / "da3_ros"
    (package / "net").mkdir(parents=True)
    file = package / "net" / "bad.py"
    file.write_text(
        "import rclpy.node\n"
        "from .. import core\n"
        "from ..ros.node import Node\n"
        "def f():\n    from sensor_msgs.msg import Image\n"
    )
    found = set(imports(file, package))
    assert {layer(m) for m in found} >= {"core", "ros"}
    assert {m for m in found if needs_ros(m)} == {
        "rclpy.node",
        "sensor_msgs.msg",
        "sensor_msgs.msg.Image",
    }
