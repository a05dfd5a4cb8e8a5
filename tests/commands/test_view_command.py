"""`da3_view`, as far as it needs no browser; see tests/ros/view, too."""

import signal
import subprocess
import sys

import pytest

pytest.importorskip("viser")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_page_that_is_open_ends_in_order(number):
    """SIGHUP: its terminal was closed."""
    words = [sys.executable, "-m", "da3_ros.commands.view", "--port", "8798"]
    page = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        assert any(line.startswith("open http") for line in page.stdout)
        page.send_signal(number)
        assert page.wait(30) == 0
    finally:
        page.kill()
        page.communicate()
