"""CMake compiles attention and the interfaces of action/, msg/ and srv/; pyproject.toml says more.

Libraries of ROS that PyPI does not have are installed from pip/ under their own names, each
only where nobody else has installed it.
"""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from distutils.command.install_data import install_data
from importlib.machinery import PathFinder
from pathlib import Path

from setuptools import Distribution, setup

ROOT = Path(__file__).resolve().parent

LIBRARIES = ("cv_bridge", "sensor_msgs_py", "tf2_py", "tf_transformations")
"""In pip/: Python alone, with the parts of their namesakes that da3_ros uses."""

# What CMake installs for C++ users, and what only builds need.
LEFT_OUT = ("include", "*.c", "*.egg-info", "__pycache__")


def require_compiler() -> None:
    """One sentence, before CMake says it in a hundred."""
    compiler = os.environ.get("CXX", "").split()[:1] or ["c++", "g++", "clang++"]
    if not any(map(shutil.which, compiler)):
        sys.exit(
            "da3_ros compiles its ROS messages and found no C++ compiler: install one "
            "(Debian, Ubuntu: apt install g++), or name yours in CXX."
        )
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        sys.exit(
            "da3_ros compiles its ROS messages and found no headers of this Python "
            f"({sys.base_prefix}): install them (Debian, Ubuntu: apt install python3-dev)."
        )


def search_path() -> list[str]:
    """Where modules come from: an isolated build hides the environment that it is for."""
    return [*sys.path, sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]


def foreign(package: str) -> bool:
    """Whether a package that we did not install is here; ours must not lie over it."""
    spec = PathFinder.find_spec(package, search_path())
    if spec is None or spec.origin is None:
        return False
    installed = importlib.metadata.distributions(name="da3_ros", path=search_path())
    ours = {Path(d.locate_file(file)) for d in installed for file in d.files or ()}
    return Path(spec.origin) not in ours


def refuse_cv_bridge_of_ros_1() -> None:
    for found in importlib.metadata.distributions(name="cv-bridge", path=search_path()):
        if int(found.version.split(".")[0]) < 2:
            sys.exit(
                f"PyPI's cv-bridge {found.version} is of ROS 1 and does not work here: "
                "pip uninstall cv-bridge"
            )


class InstallInterfaces(install_data):
    """Modules go beside the package, libraries and share/ below the environment's prefix.

    The libraries must be in the prefix's lib/: the typesupport opens them by bare name, and
    that folder is where the ROS wheels look.
    """

    def run(self) -> None:
        packages = Path(self.get_finalized_command("install").install_lib)
        with tempfile.TemporaryDirectory() as folder:
            staged = Path(folder, "packages"), Path(folder, "prefix")
            self.compile(Path(folder, "build"), *staged)
            for library in filter(lambda name: not foreign(name), LIBRARIES):
                shutil.copytree(ROOT / "pip" / library, staged[0] / library)
            (staged[0] / "da3_ros" / "__init__.py").unlink()  # generated, empty; we have one
            for source, target in zip(staged, (packages, Path(self.install_dir)), strict=True):
                ignore = shutil.ignore_patterns(*LEFT_OUT)
                shutil.copytree(source, target, ignore=ignore, dirs_exist_ok=True)

    def compile(self, build: Path, packages: Path, prefix: Path) -> None:
        options = {
            "BUILD_TESTING": "OFF",
            "CMAKE_BUILD_TYPE": "Release",
            "CMAKE_INSTALL_PREFIX": prefix,
            "CMAKE_PROJECT_INCLUDE": ROOT / "pip" / "wheels.cmake",
            "DA3_ROS_PIP": "ON",
            "DA3_ROS_TF2_MSGS": "OFF" if foreign("tf2_msgs") else "ON",
            "PYTHON_INSTALL_DIR": packages,
            "Python3_EXECUTABLE": sys.executable,
        }
        defines = [f"-D{name}={value}" for name, value in options.items()]
        subprocess.run(["cmake", "-G", "Ninja", "-S", ROOT, "-B", build, *defines], check=True)
        subprocess.run(["cmake", "--build", build], check=True)
        subprocess.run(["cmake", "--install", build], check=True, stdout=subprocess.DEVNULL)


class CompiledDistribution(Distribution):
    """Tells setuptools what it cannot see: compiled modules, and data in editable mode too."""

    def has_ext_modules(self) -> bool:
        return True

    def has_data_files(self) -> bool:
        return True

    has_data = has_data_files


require_compiler()
refuse_cv_bridge_of_ros_1()
setup(cmdclass={"install_data": InstallInterfaces}, distclass=CompiledDistribution)
