"""The executables: the file is the command. Arguments and printing only."""

import atexit
import os
import select
import signal
import sys
import threading
import time

from da3_ros.core.broken_library import BrokenLibrary
from da3_ros.core.exit_codes import INTERRUPTED, UNREAD
from da3_ros.net.plain_text import LONGEST_PATH, first_line, plain

SOON = 0.05
"""Seconds after which Ctrl-C comes again: by then the callback in which it was lost has ended."""


def _say(kind: type[BaseException], error: BaseException, trace) -> None:
    """A broken library, a name that is not valid UTF-8 and a home that cannot be written are not
    faults of the program: one sentence says all, without a traceback. Ctrl-C needs no sentence, nor
    does a reader of the output that has read enough."""
    if _is_interrupt(error):
        raise SystemExit(INTERRUPTED)
    if issubclass(kind, BrokenPipeError) and is_unread():
        raise SystemExit(UNREAD)
    if issubclass(kind, BrokenLibrary):
        print(f"da3_ros: {error}", file=sys.stderr)
    elif issubclass(kind, UnicodeEncodeError):
        name = plain(error.object, LONGEST_PATH)
        print(f"da3_ros: '{name}' is not valid UTF-8: give it another name", file=sys.stderr)
    elif kind.__name__ == "RCLError" and "initialize logging" in str(error):
        said = first_line(error).partition(", at ")[0]
        print(f"da3_ros: {said}; set ROS_LOG_DIR to a folder that can be made", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


def is_unread() -> bool:
    """Whether nobody reads the output or the errors any more: a pipe without a reader."""
    poll = select.poll()
    for stream in (sys.stdout, sys.stderr):
        try:
            poll.register(stream.fileno(), 0)
        except (AttributeError, OSError, ValueError):
            continue  # none, closed, or not of the system
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def _is_interrupt(error: BaseException | None) -> bool:
    """Whether it is Ctrl-C, or comes of it: a compiled module that is interrupted while it is
    imported raises an `ImportError`."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def _again(unraisable) -> None:
    """Ctrl-C that came within a callback, which cannot raise it: it would be lost."""
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        threading.Thread(target=_interrupt_soon, daemon=True).start()
    else:
        sys.__unraisablehook__(unraisable)


def _interrupt_soon() -> None:
    time.sleep(SOON)
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)


def _empty_output() -> None:
    """Before Python does, which complains where nobody reads any more."""
    if sys.stdout is None or sys.stdout.closed:
        return
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


atexit.register(_empty_output)
sys.excepthook, sys.unraisablehook = _say, _again
