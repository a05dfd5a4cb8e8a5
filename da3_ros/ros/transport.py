"""Fast DDS transports that carry images and clouds.

With default settings Fast DDS loses every best-effort message over 512 kB: it must fit into
the shared memory of the publishing process, whole.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
from collections.abc import Mapping, MutableMapping
from pathlib import Path

import rclpy.logging

PROFILE = "fastdds_large_messages.xml"
SEGMENT_BYTES = 64 << 20  # segment_size of the profile

SHARED_MEMORY = "/dev/shm"
LEAST_SHARED_MEMORY = SEGMENT_BYTES * 5 // 4
"""Bytes that must be free for the profile: its segment, and what Fast DDS puts beside it."""

PROFILE_VARIABLE = "FASTDDS_DEFAULT_PROFILES_FILE"
FAST_DDS_2_PROFILE_VARIABLE = "FASTRTPS_DEFAULT_PROFILES_FILE"  # its name up to Jazzy
FAST_DDS_2_DISTROS = ("humble", "iron", "jazzy")
FAST_DDS_2_WHEEL = "ros-fastrtps"  # that of Fast DDS 3 is called ros-fastdds
USERS_CHOICE = (PROFILE_VARIABLE, FAST_DDS_2_PROFILE_VARIABLE, "FASTDDS_BUILTIN_TRANSPORTS")

FAST_DDS_LIMIT = 512 << 10
"""Bytes from which on Fast DDS loses best-effort messages unless told otherwise."""
LARGE_IMAGES_ARE_LOST = (
    "Fast DDS loses best-effort messages over 512 kB unless the process that sends them has "
    "another transport profile"
)


def use_profile() -> str:
    """What to do for the camera's process, in words."""
    return f"start the camera with {profile_variable()}={find_profile()}, or compress its images"


def free_shared_memory() -> int:
    """Bytes."""
    return shutil.disk_usage(SHARED_MEMORY).free


def use_large_message_profile(environment: MutableMapping[str, str] = os.environ) -> None:
    """Apply our profile to this process and its children, unless the user has chosen one.

    Call it before `rclpy.init`. Other DDS implementations ignore it.
    """
    if any(environment.get(name) for name in USERS_CHOICE):
        return
    free = free_shared_memory()
    if free < LEAST_SHARED_MEMORY:  # the profile's segment could not be made, nor any other
        rclpy.logging.get_logger("da3_ros").warning(
            f"{SHARED_MEMORY} has {free >> 20} MB free, images and clouds need "
            f"{SEGMENT_BYTES >> 20} MB per process: best-effort messages over 512 kB will be lost. "
            "Give the container more (docker run --shm-size=1g or --ipc=host)."
        )
        return
    environment[profile_variable(environment)] = str(find_profile())


def profile_variable(environment: Mapping[str, str] = os.environ) -> str:
    """The variable in which this Fast DDS looks for its profile.

    Never set both: each release knows its own, and Kilted's warns about the other one.
    """
    if distro := environment.get("ROS_DISTRO"):
        fast_dds_2 = distro in FAST_DDS_2_DISTROS
    else:  # wheels set no variable
        fast_dds_2 = any(importlib.metadata.distributions(name=FAST_DDS_2_WHEEL))
    return FAST_DDS_2_PROFILE_VARIABLE if fast_dds_2 else PROFILE_VARIABLE


def keep_to_this_machine() -> None:
    """No other machine shall hear this process's graph, unless the user wants it."""
    if os.environ.get("ROS_DISTRO") == "humble":
        os.environ.setdefault("ROS_LOCALHOST_ONLY", "1")
    else:
        os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")


def find_profile() -> Path:
    """The profile in a checkout, or below the prefix of a pip or colcon install."""
    here = Path(__file__)
    candidates = [here.parents[2] / "config" / PROFILE]
    candidates += [parent / "share" / "da3_ros" / "config" / PROFILE for parent in here.parents]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise FileNotFoundError(
        f"{PROFILE} is missing from this installation of da3_ros: install it again"
    )
