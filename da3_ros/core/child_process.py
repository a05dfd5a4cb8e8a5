"""Programs of this package as children that never outlive who started them, however that ended.

Linux tells a child of its parent's death, even of SIGKILL, if the child has asked for it.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
"""Of prctl(2)."""

FOLDER = str(Path(__file__).parents[2])
"""Where da3_ros lies: the child finds the same, and what is beside it in a checkout."""

BEGIN = f"""
import sys
sys.path = [folder for folder in sys.path if folder]
if sys.argv[1] not in sys.path:
    sys.path.insert(0, sys.argv[1])
from {__name__} import main
main()
"""
"""What a child runs first. Python looks for modules in the working directory first of all, where
strangers may have put a safetensors.py beside a bag; "" is its name."""


def child_command(program: str, *arguments: str) -> list[str]:
    """Command line of a module, or the path of a script, that ends with this process."""
    return [sys.executable, "-u", "-c", BEGIN, FOLDER, str(os.getpid()), program, *arguments]


def start_in_background(log: Path, program: str, *arguments: str) -> subprocess.Popen:
    """A child that writes to `log`, out of reach of the terminal's Ctrl-C: we end it ourselves."""
    with open(log, "w") as output:
        return subprocess.Popen(
            child_command(program, *arguments),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def end_with(parent: int) -> None:
    """SIGTERM to this process when the process `parent` ends; at once if it has ended already."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Run the program named on the command line as Python itself would, but without the working
    directory among the places where modules are looked for."""
    _, parent, program, *arguments = sys.argv[1:]
    end_with(int(parent))
    sys.argv = [program, *arguments]
    if program.endswith(".py"):
        sys.path.insert(0, str(Path(program).parent))
        runpy.run_path(program, run_name="__main__")
    else:
        runpy.run_module(program, run_name="__main__", alter_sys=True)
