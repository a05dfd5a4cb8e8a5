import logging

import pytest

from da3_ros.ros.health.python_log import PACKAGE, say_in_log_of


class Spoken:
    """Takes what rclpy's logger would."""

    def __init__(self):
        self.lines = []

    def __getattr__(self, severity):
        return lambda sentence: self.lines.append((severity, sentence))


@pytest.fixture(autouse=True)
def package():
    package = logging.getLogger(PACKAGE)
    before = package.handlers[:], package.level
    yield package
    package.handlers[:], level = before
    package.setLevel(level)


def test_severities_and_lines():
    spoken = Spoken()
    say_in_log_of(spoken)
    log = logging.getLogger(f"{PACKAGE}.net.checkpoint")
    log.debug("nothing")
    log.info("warming %s", "up")
    log.warning("a\nforged line")
    log.critical("x" * 5000)
    assert spoken.lines[:2] == [("info", "warming up"), ("warning", "a\\nforged line")]
    severity, sentence = spoken.lines[2]
    assert severity == "error" and len(sentence) == 2000 and len(spoken.lines) == 3


def test_only_the_newest_node_speaks(package):
    first, second = Spoken(), Spoken()
    say_in_log_of(first)
    say_in_log_of(second)
    package.warning("once")
    assert first.lines == [] and second.lines == [("warning", "once")]
