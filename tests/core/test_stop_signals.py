"""Signals end a program in order, before it has begun and while it waits."""

import signal
import subprocess
import sys

import pytest


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_before_there_is_a_node_ends_it_in_order(number):
    code = (
        "import time; from da3_ros.core.stop_signals import end_at_once_on_signals\n"
        "end_at_once_on_signals(); print('ready', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    assert process.wait(20) == 0


def test_what_nohup_has_begun_does_not_end_with_the_terminal():
    code = (
        "import os, signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "from da3_ros.core.stop_signals import Stopper\n"
        "stopper = Stopper(); os.kill(os.getpid(), signal.SIGHUP); assert not stopper.is_set()\n"
        "os.kill(os.getpid(), signal.SIGTERM); stopper.wait()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
