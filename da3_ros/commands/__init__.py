"""The executables: the file is the command. Arguments and printing only."""

import sys

from da3_ros.core.broken_library import BrokenLibrary


def _say(kind: type[BaseException], error: BaseException, trace) -> None:
    """A broken library is no fault of the program: the sentence says all, without a traceback."""
    if issubclass(kind, BrokenLibrary):
        print(f"da3_ros: {error}", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


sys.excepthook = _say
