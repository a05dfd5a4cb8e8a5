"""The bag that the tests of this folder change, cut and process."""

import pytest

from da3_ros.ros.demo.bag import write_demo_bag


@pytest.fixture(scope="module")
def room(request, tmp_path_factory):
    """The demo's room, with as many images as the test file's FRAMES says."""
    path = tmp_path_factory.mktemp("bags") / "room"
    write_demo_bag(path, frames=request.module.FRAMES)
    return path
