"""The package as installed, and its files that say the same thing twice."""

import json
import os
import re
import runpy
import subprocess
import sys
from importlib.metadata import distribution, distributions, version
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from da3_ros.msg import CameraPoses, Status
from da3_ros.srv import Export, LoadMesh, RenderDepth
from package_imports import FILES, imports, needs_ros
from packaging.requirements import Requirement
from rclpy.serialization import deserialize_message, serialize_message
from stack_config import flatten
from tf2_msgs.action import LookupTransform
from tf2_msgs.msg import TF2Error, TFMessage

from da3_ros import __version__
from da3_ros.core.config import from_dict, parameters
from da3_ros.core.print_parameters import as_yaml

ROOT = Path(__file__).parents[1]
PYPROJECT = (ROOT / "pyproject.toml").read_text()
INTERFACES = [f for kind in ("action", "msg", "srv") for f in sorted(ROOT.glob(f"{kind}/*.{kind}"))]

COMMANDS = ROOT / "cmake" / "commands.cmake"

DISTRIBUTION = {
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "skimage": "scikit-image",
    "yaml": "pyyaml",
}
"""Where the module is not named as its distribution."""

UNNAMED = {"charset-normalizer"}
"""trimesh imports it where it meets text of unknown encoding, and does not ask for it."""

OPTIONAL = {"gsplat", "onnx", "onnxruntime", "onnxscript", "ray", "viser"}
"""Imported only where the user has installed it."""

INSTALLED = {d.name for d in distributions()}
if "da3_ros" not in INSTALLED:
    pytest.skip("what pip installs; here colcon did", allow_module_level=True)

(DISTRO,) = (d for d in ("jazzy", "kilted") if f"ros-{d}-rclpy" in INSTALLED)
"""Whose wheels these tests run on."""

UNIMPORTED = {"action_msgs", "rosidl_default_runtime"}
"""What the interfaces are made of, or need when they are used."""

TFMESSAGE_HASH = "RIHS01_e369d0f05a23ae52508854b66f6aa0437f3449d652e8cbf22d5abe85d020f087"
"""Of the tf2_msgs that ROS installations have; another one would not match on the wire."""


def toml_list(key: str) -> list[str]:
    """Strings of a list in pyproject.toml (Python 3.10 has no TOML reader)."""
    body = re.search(rf"^{key} = \[\n(.*?)^\]", PYPROJECT, re.DOTALL | re.MULTILINE).group(1)
    return re.findall(r'^\s*"([^"]+)"', body, re.MULTILINE)


def pins(distro: str) -> dict[str, Requirement]:
    """The pinned requirements that apply to this Python, by canonical name."""
    found = {}
    for file in ("requirements.txt", f"requirements-{distro}.txt"):
        for line in (ROOT / file).read_text().splitlines():
            text = line.split("#")[0].strip()
            if text and ((r := Requirement(text)).marker is None or r.marker.evaluate()):
                found[canonical(r.name)] = r
    return found


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("message", [CameraPoses, Status, TFMessage, TF2Error])
def test_messages_survive_the_wire(message):
    assert deserialize_message(serialize_message(message()), message) == message()


@pytest.mark.parametrize("service", [Export, LoadMesh, RenderDepth])
def test_services_survive_the_wire(service):
    for half in (service.Request, service.Response):
        assert deserialize_message(serialize_message(half()), half) == half()


def test_the_action_of_tf2_is_there_too():
    assert LookupTransform.Goal(target_frame="a").target_frame == "a"


def test_tf_messages_have_the_hash_of_the_real_type():
    description = Path(sys.prefix, "share", "tf2_msgs", "msg", "TFMessage.json")
    hashes = json.loads(description.read_text())["type_hashes"]
    found = {h["type_name"]: h["hash_string"] for h in hashes}
    assert found["tf2_msgs/msg/TFMessage"] == TFMESSAGE_HASH


def test_every_interface_is_listed_for_cmake():
    listed = re.findall(r'"((?:action|msg|srv)/\w+\.\w+)"', (ROOT / "CMakeLists.txt").read_text())
    assert listed == [str(f.relative_to(ROOT)) for f in INTERFACES]


def test_one_version_everywhere():
    package = ElementTree.parse(ROOT / "package.xml").getroot()
    assert version("da3_ros") == package.findtext("version") == __version__
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_same_commands_by_pip_and_by_colcon():
    by_colcon = re.search(r"ITEMS (.*)\)", COMMANDS.read_text()).group(1).split()
    by_pip = {e.name: e.value for e in distribution("da3_ros").entry_points}
    assert by_pip == {c: f"da3_ros.commands.{c.removeprefix('da3_')}:main" for c in by_colcon}


@pytest.mark.parametrize("command", sorted(e.name for e in distribution("da3_ros").entry_points))
def test_commands_exist(command):
    (entry,) = distribution("da3_ros").entry_points.select(name=command)
    assert callable(entry.load())


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The folder with commands that CMake installs for ROS."""
    folder = tmp_path_factory.mktemp("cmake")
    (folder / "CMakeLists.txt").write_text(
        f"cmake_minimum_required(VERSION 3.16)\nproject(da3_ros NONE)\ninclude({COMMANDS})\n"
    )
    cmake = Path(sys.prefix, "bin", "cmake")
    ninja = Path(sys.prefix, "bin", "ninja")
    configure = [
        cmake, "-S", folder, "-B", folder / "build", "-G", "Ninja",
        f"-DCMAKE_MAKE_PROGRAM={ninja}", f"-DPython3_EXECUTABLE={sys.executable}",
    ]  # fmt: skip
    subprocess.run(configure, check=True, capture_output=True, timeout=600)
    install = [cmake, "--install", folder / "build", "--prefix", folder]
    subprocess.run(install, check=True, capture_output=True, timeout=600)
    return folder / "lib" / "da3_ros"


def run_command(*command: Path | str, **environment: str) -> subprocess.CompletedProcess:
    """With nothing active, as a service starts it."""
    return subprocess.run(
        command, env=environment, timeout=120, check=False, capture_output=True, text=True
    )


@pytest.mark.parametrize("name", ["da3", "da3_play"])
def test_installed_commands_need_nothing_active(installed, name):
    told = run_command(installed / name, "--help")
    assert told.returncode == 0, told.stderr
    assert f"usage: {name}" in told.stdout


def test_a_missing_module_says_which_environment_lacks_it(installed, tmp_path):
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError('no torch', name='torch')")
    told = run_command(installed / "da3_node", PYTHONPATH=str(tmp_path))
    assert told.returncode == 1
    assert f"da3_node: {sys.executable} has no module torch; make an environment" in told.stderr
    assert told.stderr.count("\n") == 1


def test_a_workspace_that_is_not_sourced_is_said(installed, tmp_path):
    (tmp_path / "da3_ros.py").touch()
    told = run_command(installed / "da3_node", PYTHONPATH=str(tmp_path))
    assert told.returncode == 1
    assert "da3_ros is not on the path: source install/setup.bash" in told.stderr


def imported() -> set[str]:
    """Top names of all modules that the package and the launch files import, but Python's own."""
    files = [*FILES, *ROOT.glob("launch/*.py")]
    tops = {module.split(".")[0] for file in files for module in imports(file)}
    return tops - set(sys.stdlib_module_names) - {"da3_ros", *OPTIONAL}


def test_pip_dependencies_are_what_is_imported():
    wheels = {canonical(DISTRIBUTION.get(top, top)) for top in imported() if not needs_ros(top)}
    declared = {canonical(Requirement(d).name) for d in toml_list("dependencies")}
    assert {d for d in declared if not d.startswith("ros-")} == wheels | UNNAMED


def test_ros_dependencies_are_what_is_imported():
    package = ElementTree.parse(ROOT / "package.xml").getroot()
    declared = {d.text for tag in ("depend", "exec_depend") for d in package.iter(tag)}
    declared = {d for d in declared if not d.startswith("python3-")}
    assert declared == {top for top in imported() if needs_ros(top)} | UNIMPORTED


def test_dependencies_are_pinned_as_pyproject_allows():
    pinned = pins("jazzy")  # pyproject.toml can name one distribution only
    for requirement in map(Requirement, toml_list("requires") + toml_list("dependencies")):
        if requirement.marker and not requirement.marker.evaluate():
            continue
        assert canonical(requirement.name) in pinned, f"{requirement.name} is not pinned"
        for pin in pinned[canonical(requirement.name)].specifier:
            if pin.operator == "==":
                assert requirement.specifier.contains(pin.version), f"{requirement}: {pin}"


def test_what_is_installed_is_what_is_pinned():
    for requirement in pins(DISTRO).values():
        installed = version(requirement.name)
        assert requirement.specifier.contains(installed), f"{requirement}: {installed}"


def test_the_documents_have_the_printed_table_of_parameters():
    assert print_parameters("table") in (ROOT / "docs" / "parameters.md").read_text(), (
        "paste what this prints: python -m da3_ros.core.print_parameters table"
    )


def test_the_parameter_file_is_the_one_printed_from_the_code():
    printed = print_parameters("yaml")
    assert (ROOT / "config" / "da3.yaml").read_text() == printed, (
        "run: python -m da3_ros.core.print_parameters yaml > config/da3.yaml"
    )


def test_the_parameter_file_says_the_defaults():
    tree = yaml.safe_load((ROOT / "config" / "da3.yaml").read_text())["/**"]["ros__parameters"]
    values = flatten(tree)
    assert values == {p.name: json.loads(as_yaml(p.default)) for p in parameters()}
    from_dict(values)


def print_parameters(kind: str) -> str:
    command = [sys.executable, "-m", "da3_ros.core.print_parameters", kind]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=600).stdout


def test_no_compiler_is_said_in_one_sentence(tmp_path):
    environment = {k: v for k, v in os.environ.items() if k not in ("CXX", "PATH")}
    environment["PATH"] = str(tmp_path)
    told = subprocess.run(
        [sys.executable, "setup.py", "--version"],
        cwd=ROOT, env=environment, check=False, capture_output=True, text=True,
        timeout=600,
    )  # fmt: skip
    assert told.returncode != 0
    assert told.stderr.startswith("da3_ros compiles its ROS messages and found no C++ compiler")


def test_a_library_of_others_is_left_alone(tmp_path, monkeypatch):
    """Ours in pip/ are installed only where nobody else has installed theirs."""
    monkeypatch.setattr(sys, "argv", ["setup.py", "--name"])
    foreign = runpy.run_path(str(ROOT / "setup.py"))["foreign"]
    assert not foreign("tf2_msgs") and not foreign("no_such_library")
    for library in ("tf2_msgs", "cv_bridge"):
        (tmp_path / library).mkdir()
        (tmp_path / library / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert foreign("tf2_msgs") and foreign("cv_bridge")


def test_the_cv_bridge_of_ros_1_is_refused(tmp_path):
    metadata = tmp_path / "cv_bridge-1.13.0.post0.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: cv-bridge\nVersion: 1.13.0.post0\n")
    told = subprocess.run(
        [sys.executable, "setup.py", "--name"],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(tmp_path)},
        check=False, capture_output=True, text=True,
        timeout=600,
    )  # fmt: skip
    assert told.returncode != 0 and told.stderr.count("\n") == 1
    assert "cv-bridge 1.13.0.post0 is of ROS 1" in told.stderr


def test_no_python_headers_is_said_in_one_sentence(tmp_path):
    program = (
        "import runpy, sys, sysconfig\n"
        f"sysconfig.get_path = lambda name: {str(tmp_path)!r}\n"
        "runpy.run_path('setup.py')"
    )
    told = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert told.returncode != 0
    assert "found no headers of this Python" in told.stderr
    assert told.stderr.count("\n") == 1
