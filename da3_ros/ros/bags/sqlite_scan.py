"""A sqlite3 file of a bag, read also where it is damaged: the rows that can still be found.

rosbags looks at all messages when it opens a file, and gives up at the first page that is damaged
or, where the file was cut off, not there.
"""

from __future__ import annotations

import itertools
import os
from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import numpy as np
from rosbags.interfaces import Connection, ConnectionExtRosbag2
from rosbags.rosbag2 import Reader
from rosbags.rosbag2.metadata import parse_qos
from rosbags.rosbag2.storage_sqlite3 import apsw

from da3_ros.ros.bags.damage import DAMAGE
from da3_ros.ros.bags.mcap_scan import NO_DEFINITION

LAST_NUMBER = 2**63 - 1
"""Of a row."""

ROWS = "SELECT id, topic_id, timestamp, data FROM messages NOT INDEXED WHERE id > ? ORDER BY id"


class SqliteFile:
    """One file with the attributes of a `rosbags.rosbag2.Reader`, which has opened it.

    salvage: called where the reader meets damage, with what it raised; what it returns is read on.
    """

    def __init__(self, reader: Reader, salvage: Callable[[Exception], SqliteScan]):
        self._reader, self._salvage = reader, salvage
        self.start_time, self.end_time = reader.start_time, reader.end_time
        self.connections: list[Connection] = reader.connections

    def close(self) -> None:
        """Close the file."""
        self._reader.close()

    def messages(
        self, connections: Collection[Connection], start: int | None, stop: int | None
    ) -> Iterator[tuple[Connection, int, bytes]]:
        """Connection, time in ns and serialized message, in order of time.

        start, stop: ns, from the first on and before the second.
        """
        newest, of_newest = start, 0
        try:
            for connection, time_ns, raw in self._reader.messages(connections, start, stop):
                of_newest = of_newest + 1 if time_ns == newest else 1
                newest = time_ns
                yield connection, time_ns, raw
        except DAMAGE as error:
            with closing(self._salvage(error)) as scan:
                rest = scan.messages(connections, newest, stop)
                yield from itertools.islice(rest, of_newest, None)


class SqliteScan:
    """The messages of one file that can be read; with the attributes of a `rosbags.rosbag2.Reader`.

    missing: how many between them cannot be, by their numbers. Raises one of `DAMAGE` where no
    message can be read.
    """

    def __init__(self, path: Path):
        self._database = apsw.Connection(
            f"file:{quote(os.fsencode(path))}?immutable=1",
            flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI,
        )
        try:
            # Otherwise a file that is shorter than it says is not read at all.
            self._database.execute("PRAGMA writable_schema = ON")
            topics = self._topics()
            rows = np.array(self._scan(topics), np.int64).reshape(-1, 3)
            if not len(rows):
                raise ValueError("none of its messages can be read")
        except BaseException:
            self._database.close()
            raise
        self.missing = int(rows[-1, 0] - rows[0, 0]) + 1 - len(rows)
        self._rows = rows[np.lexsort((rows[:, 0], rows[:, 2]))]
        self.start_time, self.end_time = int(self._rows[0, 2]), int(self._rows[-1, 2]) + 1
        counts = Counter(rows[:, 1].tolist())
        self.connections = [c._replace(msgcount=counts[c.id]) for c in topics.values()]

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    @property
    def message_count(self) -> int:
        """Of all topics."""
        return len(self._rows)

    def messages(
        self, connections: Collection[Connection], start: int | None, stop: int | None
    ) -> Iterator[tuple[Connection, int, bytes]]:
        """As those of `SqliteFile`."""
        wanted = {c.id: c for c in connections}
        chosen = np.isin(self._rows[:, 1], list(wanted))
        chosen &= self._rows[:, 2] >= (self.start_time if start is None else start)
        chosen &= self._rows[:, 2] < (self.end_time if stop is None else stop)
        for index in np.flatnonzero(chosen):
            number, topic, time_ns = map(int, self._rows[index])
            ((data,),) = self._database.execute("SELECT data FROM messages WHERE id = ?", (number,))
            yield wanted[topic], time_ns, data

    def _topics(self) -> dict[int, Connection]:
        tables = "SELECT name FROM sqlite_master WHERE type = 'table'"
        if not {"topics", "messages"} <= {name for (name,) in self._database.execute(tables)}:
            raise ValueError("it has no tables topics and messages")
        columns = {about[1] for about in self._database.execute("PRAGMA table_info(topics)")}
        qos = "offered_qos_profiles" if "offered_qos_profiles" in columns else "''"
        rows = self._database.execute(
            f"SELECT id, name, type, serialization_format, {qos} FROM topics ORDER BY id"
        )
        return {
            number: Connection(
                number,
                topic,
                kind,
                NO_DEFINITION,
                "",
                0,
                ConnectionExtRosbag2(encoding, parse_qos(profiles)),
                None,
            )
            for number, topic, kind, encoding, profiles in rows
        }

    def _scan(self, topics: Collection[int]) -> array:
        """Number, topic and time of all rows that can be read, one after the other."""
        rows, last = array("q"), 0
        while True:
            try:
                for number, topic, time_ns, data in self._database.execute(ROWS, (last,)):
                    if number <= last:
                        raise ValueError("its pages go round in a circle")
                    last = number
                    if topic in topics and isinstance(time_ns, int) and isinstance(data, bytes):
                        rows.extend((number, topic, time_ns))
                return rows
            except DAMAGE:
                beyond = self._beyond(last)
                if beyond is None:
                    return rows
                last = beyond

    def _beyond(self, last: int) -> int | None:
        """The first number, behind a damaged place, after which rows can be read; None: none.

        Damage smaller than what lies before it is found exactly; of much damage, more is left out.
        """
        step = 1
        while not self._can_read(last + step):
            step *= 2
            if last + step > LAST_NUMBER:
                return None
        damaged, good = last + step // 2, last + step
        while good - damaged > 1:
            middle = (damaged + good) // 2
            if self._can_read(middle):
                good = middle
            else:
                damaged = middle
        return good

    def _can_read(self, last: int) -> bool:
        """Whether the row after this number can be, or there is none."""
        try:
            row = self._database.execute(f"{ROWS} LIMIT 1", (last,)).fetchone()
        except DAMAGE:
            return False
        return row is None or row[0] > last
