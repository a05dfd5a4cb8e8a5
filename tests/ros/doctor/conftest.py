"""The bag that the doctor's tests spoil."""

import pytest

from da3_ros.ros.demo.bag import write_demo_bag


@pytest.fixture(scope="session")
def drive_around(tmp_path_factory):
    """Once around the table, 24 images 30 cm apart."""
    path = tmp_path_factory.mktemp("bags") / "around"
    write_demo_bag(path, frames=24)
    return path
