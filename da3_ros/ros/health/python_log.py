"""What the core and the network say with Python's `logging`, in the log of the node."""

from __future__ import annotations

import logging

from da3_ros.net.plain_text import LONGEST_SENTENCE, plain

PACKAGE = "da3_ros"


def say_in_log_of(logger) -> None:
    """Send this package's messages, from INFO on, to a logger of rclpy from now on.

    Only one node of a process gets them: the last one that asked.
    """
    package = logging.getLogger(PACKAGE)
    for handler in [h for h in package.handlers if isinstance(h, _RosHandler)]:
        package.removeHandler(handler)
    package.addHandler(_RosHandler(logger))
    package.setLevel(logging.INFO)


class _RosHandler(logging.Handler):
    def __init__(self, logger):
        super().__init__(logging.INFO)
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        sentence = plain(record.getMessage(), LONGEST_SENTENCE)
        # rclpy wants each severity from a line of its own.
        if record.levelno >= logging.ERROR:
            self._logger.error(sentence)
        elif record.levelno >= logging.WARNING:
            self._logger.warning(sentence)
        else:
            self._logger.info(sentence)
