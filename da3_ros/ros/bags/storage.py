"""One file of a bag, opened: by rosbags, and where it cannot, as far as the file goes."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from rosbags.rosbag2 import Reader, storage_mcap
from rosbags.rosbag2.storage_mcap import zstd

from da3_ros.ros.bags.bag_files import COMPRESSED, BagError
from da3_ros.ros.bags.damage import DAMAGE
from da3_ros.ros.bags.mcap_indexed import IndexedMcap
from da3_ros.ros.bags.mcap_scan import MOST_BYTES, UNPACKERS, McapScan
from da3_ros.ros.bags.sqlite_scan import SqliteFile, SqliteScan

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"

# rosbags unpacks as much as packed data asks for: 12 GB out of 400 kB.
storage_mcap.DECOMPRESSORS.update(UNPACKERS)

LEAST_FREE = 1 << 30
"""Bytes that a file compressed as a whole, once unpacked, leaves free on the disk."""

UNFINISHED = ("-wal", "-journal")
"""Files that sqlite leaves beside a database whose writer was killed."""


Storage = IndexedMcap | McapScan | SqliteFile | SqliteScan


@contextmanager
def open_storage(path: Path, notes: list[str]) -> Iterator[Storage]:
    """A .mcap or .db3 file, also with .zstd behind it; `notes` gets what is odd, in sentences.

    Raises `BagError`, saying what mends the file where something can.
    """
    with ExitStack() as stack:
        try:
            storage = _open(path, stack, notes)
        except BagError:
            raise
        except DAMAGE as error:
            raise BagError(f"cannot open bag {path}: {error}{mend(path)}") from error
        with closing(storage):
            yield storage


def mend(path: Path) -> str:
    """The command that may help with a damaged file, to be put behind a sentence."""
    if path.suffix == ".mcap":
        return f"; mcap recover {path} -o mended.mcap keeps what can be read"
    if path.suffix == ".db3":
        return f'; sqlite3 {path} ".recover" | sqlite3 mended.db3 keeps what can be read'
    return ""


def _open(path: Path, stack: ExitStack, notes: list[str]) -> Storage:
    if path.suffix == COMPRESSED:
        path = _unpack(path, _folder_for_copies(path, stack))
    if path.suffix == ".mcap":
        return _open_mcap(path, notes)
    if left := _left_beside(path):
        path = _finish(path, left, _folder_for_copies(path, stack), notes)
    return _open_sqlite(path, notes)


def _folder_for_copies(path: Path, stack: ExitStack) -> Path:
    """It is removed with the stack."""
    try:
        return Path(stack.enter_context(TemporaryDirectory(prefix="da3_bag_")))
    except OSError as error:
        raise BagError(
            f"cannot open bag {path}: it has to be copied first, and there is no place to write "
            f"({error.strerror}): set TMPDIR to a folder with space"
        ) from error


def _open_reader(path: Path) -> Reader:
    reader = Reader(path)
    reader.open()
    return reader


def _open_mcap(path: Path, notes: list[str]) -> IndexedMcap | McapScan:
    try:
        reader = _open_reader(path)
    except DAMAGE:
        reader = None
    if reader and _has_index(reader):
        return IndexedMcap(reader, lambda note: note in notes or notes.append(note))
    if reader:
        reader.close()
    scan = McapScan(path)
    if scan.cut_at is not None and not scan.message_count:
        scan.close()
        raise BagError(f"cannot open bag {path}: it was cut off before its first message")
    if scan.cut_at is not None:
        notes.append(
            f"{path} is cut off or damaged at byte {scan.cut_at} of {path.stat().st_size}: "
            f"{scan.message_count} messages of it are read, the rest is lost{mend(path)}"
        )
    return scan


def _open_sqlite(path: Path, notes: list[str]) -> SqliteFile | SqliteScan:
    def salvage(error: Exception) -> SqliteScan:
        scan = SqliteScan(path)
        note = (
            f"{path} cannot be read as a whole ({error}): {scan.message_count} messages of it are "
            f"read, {scan.missing or 'none'} between them and what came after are lost{mend(path)}"
        )
        if note not in notes:
            notes.append(note)
        return scan

    try:
        return SqliteFile(_open_reader(path), salvage)
    except DAMAGE as error:
        with suppress(*DAMAGE):
            return salvage(error)
        raise


def _has_index(reader: Reader) -> bool:
    """Whether rosbags can find every message: it looks for them in the index of each chunk, and
    gives up where messages outside chunks are not in order.
    """
    known = {connection.id for connection in reader.connections}
    chunks = reader.storage.chunks
    indexed = {channel for chunk in chunks for channel in chunk.message_index_offsets}
    empty = [c for c in chunks if c.uncompressed_size and not c.message_index_offsets]
    is_chunked = bool(chunks) or not reader.message_count
    return is_chunked and not empty and indexed <= known


def _unpack(path: Path, folder: Path) -> Path:
    unpacked = folder / path.stem
    with zstd.open(path, "rb") as packed, unpacked.open("wb") as out:
        while part := packed.read(1 << 20):
            _check_space(path, folder, LEAST_FREE)
            out.write(part)
    return unpacked


def _check_space(path: Path, folder: Path, nbytes: int) -> None:
    if shutil.disk_usage(folder).free < nbytes:
        raise BagError(
            f"cannot open bag {path}: a copy of it does not fit into {folder.parent}; set TMPDIR "
            "to a folder with more space"
        )


def _left_beside(path: Path) -> list[Path]:
    """Files beside a database in which its killed recorder left messages."""
    left = [Path(f"{path}{suffix}") for suffix in UNFINISHED]
    return [file for file in left if file.is_file() and file.stat().st_size]


def _finish(path: Path, left: list[Path], folder: Path, notes: list[str]) -> Path:
    """A copy of a database with the messages in the files `left` beside it.

    The original is not touched: sqlite would write into it, and it may be read-only.
    """
    # sqlite writes what it finds beside it into it before it removes the former.
    _check_space(path, folder, sum(file.stat().st_size for file in (path, *left, *left)))
    for file in (path, *left):
        shutil.copyfile(file, folder / file.name)
    with closing(sqlite3.connect(folder / path.name)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.execute("PRAGMA journal_mode = DELETE")
    notes.append(
        f"the recorder of {path} was killed: the messages in {left[0].name} are read too "
        f'(sqlite3 {path} "PRAGMA wal_checkpoint(TRUNCATE)" puts them into it)'
    )
    return folder / path.name


def unpack_message(raw: bytes) -> bytes:
    """A serialized message, also of a bag whose messages were compressed one by one: the first
    byte of CDR is 0, so that there is no mistaking them.
    """
    if raw[:4] != ZSTD_MAGIC:
        return raw
    return zstd.ZstdDecompressor().decompress(raw, MOST_BYTES)
