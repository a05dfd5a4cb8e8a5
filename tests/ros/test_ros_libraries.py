"""Libraries of ROS that cannot work here are said in one sentence, before they are imported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from package_imports import PACKAGE, imports

NUMPY_1 = b"\x7fELF numpy.core._multiarray_umath"
NUMPY_2 = b"\x7fELF numpy._core._multiarray_umath numpy.core._multiarray_umath"


def distribution(folder: Path, name: str, version: str) -> None:
    """A distribution with nothing but its name."""
    metadata = folder / f"{name.replace('-', '_')}-{version}.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def compiled_cv_bridge(folder: Path, binary: bytes) -> None:
    """The files of a cv_bridge that would end whoever imports it."""
    boost = folder / "cv_bridge" / "boost"
    boost.mkdir(parents=True)
    (boost.parent / "__init__.py").write_text("raise SystemExit('imported')")
    (boost / "cv_bridge_boost.so").write_bytes(binary)


def ros_tf_transformations(folder: Path) -> None:
    (folder / "tf_transformations").mkdir()
    (folder / "tf_transformations" / "__init__.py").write_text(
        "# on transforms3d\nraise SystemExit('imported')"
    )


def start(folder: Path, code: str) -> subprocess.CompletedProcess:
    path = os.pathsep.join([str(folder), *sys.path])
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": path}, check=False, capture_output=True, text=True,
        timeout=600,
    )  # fmt: skip


COMMAND = "import da3_ros.commands, da3_ros.ros.messages"


@pytest.mark.parametrize(
    "found, sentence",
    [
        (
            [("numpy", "2.1.0"), ("transforms3d", "0.4.2")],
            'cv_bridge was built for numpy 1 and would crash beside numpy 2.1.0: pip install "nu',
        ),
        (
            [("cv-bridge", "1.13.0.post0")],
            "PyPI's cv-bridge 1.13.0 is of ROS 1: pip uninstall cv-bridge, then install da3_ros",
        ),
        (
            [("numpy", "1.26.4"), ("transforms3d", "0.3.1")],
            "tf_transformations needs transforms3d 0.4 or newer beside numpy 1.26.4, and finds "
            '0.3.1: pip install "transforms3d>=0.4"',
        ),
    ],
)
def test_a_command_says_one_sentence(tmp_path, found, sentence):
    compiled_cv_bridge(tmp_path, NUMPY_1)
    ros_tf_transformations(tmp_path)
    for name, version in found:
        distribution(tmp_path, name, version)
    told = start(tmp_path, COMMAND)
    assert told.returncode == 1
    assert told.stderr.startswith(f"da3_ros: {sentence}") and told.stderr.count("\n") == 1


def test_the_command_line_of_the_api_needs_no_ros():
    assert not [m for m in imports(PACKAGE / "commands" / "da3.py") if m.startswith("da3_ros.ros")]


@pytest.mark.parametrize(
    "numpy, binary, others",
    [
        ("1.26.4", NUMPY_1, [("transforms3d", "0.4.1")]),
        ("2.1.0", NUMPY_2, [("transforms3d", "0.4.2"), ("cv_bridge", "4.1.0")]),
    ],
)
def test_what_fits_together_is_imported(tmp_path, numpy, binary, others):
    compiled_cv_bridge(tmp_path, binary)
    ros_tf_transformations(tmp_path)
    for name, version in [("numpy", numpy), *others]:
        distribution(tmp_path, name, version)
    told = start(tmp_path, COMMAND)
    assert told.stderr.splitlines()[-1:] == ["imported"], told.stderr


def test_other_errors_keep_their_traceback(tmp_path):
    told = start(tmp_path, "import da3_ros.commands; 1 / 0")
    assert "Traceback" in told.stderr and "ZeroDivisionError" in told.stderr
