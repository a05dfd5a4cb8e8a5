"""Ctrl-C while a command is being imported, which takes seconds on a slow machine."""

import subprocess
import sys

import pytest

AT_AN_IMPORT = """
import os, signal, sys

signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests may ignore it


class Interrupt:
    left = {left}

    def find_spec(self, name, path=None, target=None):
        if "da3_ros.commands" in sys.modules:
            Interrupt.left -= 1
            if Interrupt.left == 0:
                os.kill(os.getpid(), signal.SIGINT)


sys.meta_path.insert(0, Interrupt())
"""
COMMANDS = ("da3", "demo", "doctor", "node", "play", "process", "view")


@pytest.mark.parametrize("left", [20, 60])
@pytest.mark.parametrize("command", COMMANDS)
def test_an_import_that_is_interrupted_ends_without_a_traceback(
    command, left, tmp_path, monkeypatch
):
    (tmp_path / "sitecustomize.py").write_text(AT_AN_IMPORT.format(left=left))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{':'.join(sys.path)}")
    done = run("-m", f"da3_ros.commands.{command}", "--no-such-option")
    assert (done.returncode, done.stdout + done.stderr) == (130, "")


def test_what_compiled_modules_make_of_ctrl_c():
    done = run("-c", "import da3_ros.commands\nraise ImportError('x') from KeyboardInterrupt()")
    assert (done.returncode, done.stderr) == (130, "")


def test_ctrl_c_within_a_callback_is_not_lost():
    code = """
import signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)
import da3_ros.commands
class Held:
    def __del__(self):
        raise KeyboardInterrupt
Held()
time.sleep(60)
"""
    done = run("-c", code)
    assert (done.returncode, done.stderr) == (130, "")


def test_the_page_takes_ctrl_c_while_its_libraries_swallow_it(tmp_path, monkeypatch):
    code = AT_AN_IMPORT.format(left=1).replace(
        'if "da3_ros.commands" in sys.modules', 'if name == "trimesh.boolean"'
    )
    (tmp_path / "sitecustomize.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{':'.join(sys.path)}")
    done = run("-m", "da3_ros.commands.view", "--port", "8797")
    assert (done.returncode, done.stdout + done.stderr) == (130, "")


def test_other_errors_keep_their_traceback():
    done = run("-c", "import da3_ros.commands\nraise ValueError('one')")
    assert done.returncode == 1 and "Traceback" in done.stderr and "one" in done.stderr


def run(*arguments):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=120)
