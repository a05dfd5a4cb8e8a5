"""The requirements resolve on the machines that robots and their users have."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
UV = Path(sys.prefix, "bin", "uv")
DEADLINE = 300
"""s for one resolution: the registry may be slow."""

UBUNTU_22 = ["numpy<2"]  # its own numpy, scipy and skimage are too old and not kept
UBUNTU_24 = [
    "numpy==1.26.4", "scipy==1.11.4", "scikit-image==0.22.0", "pillow==10.2.0", "tqdm==4.66.2",
]  # fmt: skip
UBUNTU_26 = ["numpy>=2.3,<2.4"]

DISTROS = {
    "humble": ("3.10", "manylinux_2_35", UBUNTU_22),
    "jazzy and kilted": ("3.12", "manylinux_2_39", UBUNTU_24),
    "lyrical": ("3.14", "manylinux_2_39", UBUNTU_26),
}
"""Python, platform tag, and what apt has installed that pip must be able to keep."""

MACHINES = ("x86_64", "aarch64")
FILES = ("requirements.txt", "requirements-robot.txt")


def resolve(file: str, distro: str, machine: str, folder: Path) -> subprocess.CompletedProcess:
    """What uv would install, from metadata alone; only uv evaluates markers for another machine."""
    python, tag, apt = DISTROS[distro]
    constraints = folder / f"{file}-{distro}-{machine}".replace(" ", "-")
    kept = apt if file == "requirements-robot.txt" else [apt[0]]  # a pinned environment has its own
    constraints.write_text("\n".join(kept))
    command = [
        UV, "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--only-binary", ":all:",
        "--no-python-downloads", "--python", sys.executable,
        "--python-version", python, "--python-platform", f"{machine}-{tag}",
        "--constraint", constraints, ROOT / file,
    ]  # fmt: skip
    # A folder of wheels is for this machine only, and uv does not look at whose they are.
    environment = {
        k: v for k, v in os.environ.items() if k not in ("PIP_FIND_LINKS", "UV_FIND_LINKS")
    }
    return subprocess.run(
        command, env=environment, timeout=DEADLINE, check=False, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def resolved(tmp_path_factory) -> dict:
    """All at once: the time goes into waiting for the registry."""
    folder = tmp_path_factory.mktemp("constraints")
    cases = list(product(FILES, DISTROS, MACHINES))
    with ThreadPoolExecutor(len(cases)) as pool:
        results = pool.map(lambda case: resolve(*case, folder), cases)
        return dict(zip(cases, results, strict=True))


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("distro", DISTROS)
@pytest.mark.parametrize("file", FILES)
def test_requirements_resolve(resolved, file, distro, machine):
    result = resolved[file, distro, machine]
    assert result.returncode == 0, result.stderr
    found = dict(line.split("==") for line in result.stdout.splitlines() if "==" in line)
    assert "embreex" not in found, "it has wheels for x86_64 only; the tests alone use it"
    assert {"torch", "trimesh", "charset-normalizer"} <= set(found)
    assert found["numpy"].startswith("2.3." if distro == "lyrical" else "1.26.")
