"""The executables: the file is the command. Arguments and printing only."""

import sys

from da3_ros.core.broken_library import BrokenLibrary
from da3_ros.net.plain_text import LONGEST_PATH, first_line, plain


def _say(kind: type[BaseException], error: BaseException, trace) -> None:
    """A broken library, a name that is no text and a home that cannot be written are no faults
    of the program: the sentence says all, without a traceback."""
    if issubclass(kind, BrokenLibrary):
        print(f"da3_ros: {error}", file=sys.stderr)
    elif issubclass(kind, UnicodeEncodeError):
        name = plain(error.object, LONGEST_PATH)
        print(f"da3_ros: '{name}' is no UTF-8 text: give it another name", file=sys.stderr)
    elif kind.__name__ == "RCLError" and "initialize logging" in str(error):
        said = first_line(error).partition(", at ")[0]
        print(f"da3_ros: {said}; set ROS_LOG_DIR to a folder that can be made", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


sys.excepthook = _say
