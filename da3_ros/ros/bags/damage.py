"""What the libraries raise for bytes that are not a bag, or a damaged one."""

from __future__ import annotations

import sqlite3
import struct

from rosbags.rosbag2 import ReaderError
from rosbags.rosbag2.storage_mcap import zstd
from rosbags.rosbag2.storage_sqlite3 import apsw

DAMAGE = (
    ReaderError,
    OSError,
    ValueError,
    TypeError,
    LookupError,
    OverflowError,
    MemoryError,
    AssertionError,
    RuntimeError,
    EOFError,
    struct.error,
    zstd.ZstdError,
    apsw.Error,
    sqlite3.Error,
)
