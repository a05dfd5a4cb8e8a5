"""Commands, programs, parameter files and names in the documents are what the program takes."""

import ast
import importlib
import re
import shlex
from pathlib import Path

import pytest

from da3_ros.commands import da3, demo, doctor, node, play, process, view
from da3_ros.core.config import from_dict, parameters
from da3_ros.ros.parameter_file import read_parameter_file

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md")])
TEXTS = {str(p.relative_to(ROOT)): p.read_text() for p in DOCUMENTS}

PARSERS = {
    "da3": da3.main,
    "da3_demo": demo.parse_arguments,
    "da3_doctor": doctor.parse_arguments,
    "da3_node": lambda arguments: node.check_arguments(["da3_node", *arguments]),
    "da3_play": play.parse_arguments,
    "da3_process": process.parse_arguments,
    "da3_view": view.parse_arguments,
}
BLOCK = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)
COMMAND = re.compile(r"^(?:ros2 run da3_ros )?(da3(?:_[a-z]+)?) (.+)$")
BLOCKS_OF_CONFIG = {p.name.partition(".")[0] for p in parameters() if "." in p.name}


def lines(text: str) -> set[str]:
    """Lines of shell blocks, and code within sentences."""
    blocks = [body for kind, body in BLOCK.findall(text) if kind == "bash"]
    inline = re.findall(r"`([^`\n]+)`", BLOCK.sub("", text))
    return {line.strip() for line in [*"\n".join(blocks).splitlines(), *inline]}


def commands() -> list[str]:
    """Every complete command of ours; one with brackets or dots, or its bare name, is none."""
    found = {line for text in TEXTS.values() for line in lines(text) if COMMAND.match(line)}
    return sorted(line for line in found if not re.search(r"\[|\.\.\.|…|^da3 [a-z-]+$", line))


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A folder with the parameter files that the documents speak of."""
    monkeypatch.chdir(tmp_path)
    for name, document in (("my_robot", "parameters"), ("my_camera", "quickstart_pip")):
        (body,) = yaml_blocks(f"docs/{document}.md")
        Path(f"{name}.yaml").write_text(body)


@pytest.mark.parametrize("line", commands())
def test_commands_are_understood(line, files):
    name, rest = COMMAND.match(line).groups()
    try:
        PARSERS[name](shlex.split(rest, comments=True))
    except SystemExit as end:  # of argparse: 0 after --help
        assert end.code == 0, line


def test_there_are_commands():
    assert len(commands()) > 12


def yaml_blocks(*names: str) -> list[str]:
    """Parameter files in these documents, or in all."""
    texts = [TEXTS[name] for name in names or TEXTS]
    blocks = [body for text in texts for kind, body in BLOCK.findall(text) if kind == "yaml"]
    return [body for body in blocks if "ros__parameters" in body]


@pytest.mark.parametrize("body", yaml_blocks(), ids=str.__len__)
def test_parameter_files_are_taken(body, tmp_path):
    path = tmp_path / "parameters.yaml"
    path.write_text(body)
    values = read_parameter_file(path)
    assert values, "no block of the node"
    from_dict(values)


@pytest.mark.parametrize("name", TEXTS)
def test_parameters_that_are_named_exist(name):
    known = {p.name for p in parameters()}
    named = re.findall(rf"`((?:{'|'.join(sorted(BLOCKS_OF_CONFIG))})\.[a-z_]+)[`:]", TEXTS[name])
    files = re.compile(r"\.(?:glb|jpg|py|safetensors)$")
    assert {n for n in named if not files.search(n)} <= known


def imported_names() -> list[tuple[str, str]]:
    """Module of ours and name, of every import in a Python block."""
    blocks = [b for text in TEXTS.values() for kind, b in BLOCK.findall(text) if kind == "python"]
    nodes = [node for block in blocks for node in ast.walk(ast.parse(block))]
    return sorted(
        {
            (node.module, alias.name)
            for node in nodes
            if isinstance(node, ast.ImportFrom) and node.module.startswith("da3_ros")
            for alias in node.names
        }
    )


@pytest.mark.parametrize(("module", "name"), imported_names())
def test_programs_import_what_is_there(module, name):
    assert hasattr(importlib.import_module(module), name)
