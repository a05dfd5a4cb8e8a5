"""Children end with the process that started them, whatever ends it."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from processes import is_running, wait_until

from da3_ros.core import child_process
from da3_ros.core.child_process import child_command

PARENT = """
import subprocess, sys
from da3_ros.core.child_process import child_command
child = subprocess.Popen(child_command(sys.argv[1], sys.argv[2]))
print(child.pid, flush=True)
child.wait()
"""
CHILD = """
import pathlib, sys, time
import sibling
pathlib.Path(sys.argv[1]).write_text(__name__ + sibling.NAME)
time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_child_ends_with_its_parent(number, tmp_path):
    script, said = tmp_path / "child.py", tmp_path / "said"
    script.write_text(CHILD)
    (tmp_path / "sibling.py").write_text("NAME = ' beside'")
    command = [sys.executable, "-c", PARENT, str(script), str(said)]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    wait_until(lambda: said.exists() and said.read_text(), "the child works")
    assert said.read_text() == "__main__ beside" and is_running(child)
    parent.send_signal(number)
    parent.wait(20)
    wait_until(lambda: not is_running(child), "the child ends")


@pytest.mark.parametrize("program", ["module", "script"])
def test_nothing_of_the_working_directory_is_imported(tmp_path, program):
    """A folder of strangers may hold files named like modules, also of Python's own."""
    here = tmp_path / "bags"
    here.mkdir()
    for name in ("json", "ctypes", "subprocess", "runpy", "signal", "da3_ros", "safetensors"):
        (here / f"{name}.py").write_text("raise SystemExit('this was run')")
    script = tmp_path / "child.py"
    script.write_text("import safetensors, json.tool, da3_ros.core; json.tool.main()")
    command = child_command("json.tool" if program == "module" else str(script))
    done = subprocess.run(
        command, input="[1]", cwd=here, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["[", "1", "]"], "")


def test_a_checkout_that_was_found_by_the_working_directory_is_found_again(tmp_path):
    """`python -m` in it, without an installation; with what lies beside the package."""
    root = tmp_path / "checkout"
    shutil.copytree(Path(child_process.__file__).parent, root / "da3_ros" / "core")
    (root / "da3_ros" / "__init__.py").write_text("")
    (root / "beside.py").write_text("import da3_ros; print(da3_ros.__file__)")
    (root / "start.py").write_text(
        "import subprocess, sys\n"
        "from da3_ros.core.child_process import child_command\n"
        "sys.exit(subprocess.run(child_command('beside'), cwd='/').returncode)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "start"],
        cwd=root,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout.strip(), done.stderr) == (str(root / "da3_ros" / "__init__.py"), "")


def test_a_child_whose_parent_is_gone_already_never_begins(tmp_path):
    command = child_command("this", "never read")
    command[command.index(str(os.getpid()))] = str(2**22 + 1)  # above the largest process id
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == -signal.SIGTERM and done.stdout == ""


def test_a_module_gets_its_arguments_and_its_exit_code_comes_back():
    command = child_command("json.tool", "--no-such-option")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "--no-such-option" in done.stderr
