"""Signals end a program in order, before it has begun and while it waits."""

import signal
import subprocess
import sys

import pytest
from processes import run_code


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


def test_signals_that_interrupt_each_other_end_it_once():
    """`timeout` and a launch send two at once: the second may come at any line of the first."""
    code = (
        "import signal, sys; from da3_ros.core.stop_signals import Stopper\n"
        "stopper, left = Stopper(), 20\n"
        "def interrupt(frame, event, arg):\n"
        "    global left\n"
        "    if left and event == 'line':\n"
        "        left -= 1\n"
        "        signal.raise_signal(signal.SIGTERM)\n"
        "    return interrupt\n"
        "sys.settrace(interrupt); stopper.set(); sys.settrace(None)\n"
        "assert left < 20 and stopper.wait() and stopper.wait(0) and stopper.is_set()"
    )
    run_code(code)


def test_all_who_wait_go_on():
    code = (
        "import threading; from da3_ros.core.stop_signals import Stopper\n"
        "stopper = Stopper(); assert not stopper.wait(0.01)\n"
        "waiting = [threading.Thread(target=stopper.wait) for _ in range(3)]\n"
        "[t.start() for t in waiting]; stopper.fail(); [t.join(20) for t in waiting]\n"
        "assert not any(t.is_alive() for t in waiting) and stopper.exit_code == 1"
    )
    run_code(code)


def test_what_nohup_has_begun_does_not_end_with_the_terminal():
    code = (
        "import os, signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "from da3_ros.core.stop_signals import Stopper\n"
        "stopper = Stopper(); os.kill(os.getpid(), signal.SIGHUP); assert not stopper.is_set()\n"
        "os.kill(os.getpid(), signal.SIGTERM); stopper.wait()"
    )
    run_code(code)
