"""Feeding the page: from a running node, a bag, or a file, until stopped."""

from __future__ import annotations

from pathlib import Path

import cv2
from rclpy.logging import get_logger

from da3_ros.core.stop_signals import Stopper
from da3_ros.net.plain_text import first_line, plain
from da3_ros.ros.view import files
from da3_ros.ros.view.buttons import Buttons
from da3_ros.ros.view.live import LiveView
from da3_ros.ros.view.page import Page
from da3_ros.ros.view.view_frame import ViewFrame
from da3_ros.ros.view.words import status_words

RATE = 15.0
"""Hz at most; a tab shows no more."""

SAY_PERIOD = 5.0
"""Seconds from one sentence about a frame that is left out to the next."""


def show_node(
    page: Page, name: str, world_frame: str, stop: Stopper, *, compressed: bool = False
) -> None:
    """What the node `name` publishes. world_frame: the node's pose.world_frame. compressed:
    take the smaller topics, for a link that is slow."""
    view = LiveView(name, compressed=compressed)
    buttons = Buttons(page, view, world_frame)
    try:
        while not stop.wait(1 / RATE):
            for frame in view.take():
                show_frame(page, frame)
            page.show_map()
            if window := view.take_window():
                page.show_window(*window)
            if (mesh := view.take_mesh()) is not None:
                page.show_mesh(mesh)
            page.say(status_words(view.status()))
    finally:
        buttons.close()
        view.close()


def show_frame(page: Page, frame: ViewFrame) -> None:
    """One frame; one of which no picture or cloud can be made is left out, and the log says so."""
    try:
        page.show_frame(frame)
    except (ArithmeticError, ValueError, cv2.error) as error:
        which = (
            f"a frame of camera '{plain(frame.camera_name)}'" if frame.camera_name else "a frame"
        )
        get_logger("da3_view").warning(
            f"left out {which}, of which no picture can be made: {first_line(error)}",
            throttle_duration_sec=SAY_PERIOD,
        )


def show_bag(page: Page, path: Path, stop: Stopper) -> None:
    """Every frame of a bag, then the whole map. Raises `BagError` and `ViewFileError`."""
    for count, frame in enumerate(files.bag_frames(path), 1):
        show_frame(page, frame)
        page.say(f"**{path.name}**: frame {count}")
        if stop.wait(1 / RATE):
            return
    while not stop.wait(1 / RATE):
        page.show_map()


def show_file(page: Page, path: Path, stop: Stopper) -> None:
    """One file. Raises `ViewFileError`."""
    page.say(f"**{path.name}**: {files.add_file(page, path)}")
    stop.wait()
