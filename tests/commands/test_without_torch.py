"""Programs that only move bytes start without torch, which takes seconds to import."""

import subprocess
import sys

import pytest

VIEW = ("commands.view", "ros.view.show", "ros.view.files", "ros.view.page")


@pytest.mark.parametrize("modules", [("commands.play",), ("commands.demo",), VIEW], ids=str)
def test_torch_is_not_imported(modules):
    imports = "\n".join(f"import da3_ros.{module}" for module in modules)
    script = f"import sys\n{imports}\nsys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
