"""An MCAP file with its index, read by rosbags chunk by chunk: a damaged one costs itself only.

rosbags alone gives up at the first chunk that cannot be unpacked.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterator

from rosbags.interfaces import Connection
from rosbags.rosbag2 import Reader
from rosbags.rosbag2.storage_mcap import ChunkInfo, Msg, msgsrc

from da3_ros.ros.bags.damage import DAMAGE
from da3_ros.ros.bags.mcap_scan import LATEST_NS


class IndexedMcap:
    """One file with the attributes of a `rosbags.rosbag2.Reader`, which has opened it.

    tell: called with a sentence about each part that is damaged.
    """

    def __init__(self, reader: Reader, tell: Callable[[str], None]):
        self._reader, self._tell = reader, tell
        self.start_time, self.end_time = reader.start_time, reader.end_time
        self.connections: list[Connection] = reader.connections

    def close(self) -> None:
        """Close the file."""
        self._reader.close()

    def messages(
        self, connections: Collection[Connection], start: int | None, stop: int | None
    ) -> Iterator[tuple[Connection, int, bytes]]:
        """Connection, log time in ns and serialized message, in order of time.

        start, stop: ns, from the first on and before the second. Of a damaged chunk nothing.
        """
        if not self._reader.storage.chunks:
            yield from self._reader.messages(connections, start, stop)
            return
        wanted = {c.id: c for c in connections}
        begin, end = start or 0, LATEST_NS if stop is None else stop
        chunks = [
            self._messages_of(chunk, wanted, begin, end)
            for chunk in self._reader.storage.chunks
            if begin <= chunk.message_end_time
            and chunk.message_start_time < end
            and any(map(chunk.channel_count.get, wanted))
        ]
        for time_ns, _, connection, raw in heapq.merge(*chunks, key=lambda m: m[:2]):
            if connection:
                yield connection, time_ns, raw

    def _messages_of(
        self, chunk: ChunkInfo, wanted: dict[int, Connection], begin: int, end: int
    ) -> Iterator[Msg]:
        try:
            yield from msgsrc(chunk, wanted, begin, end, self._reader.storage.bio)
        except DAMAGE as error:
            self._tell(self._words(chunk, str(error) or type(error).__name__))

    def _words(self, chunk: ChunkInfo, error: str) -> str:
        topic_of = {c.id: c.topic for c in self.connections}
        counts = {topic_of.get(i, str(i)): n for i, n in chunk.channel_count.items() if n}
        lost = ", ".join(f"{count} of {topic}" for topic, count in sorted(counts.items()))
        first, last = ((t - self.start_time) / 1e9 for t in chunk[:2])
        return (
            f"{self._reader.path} is damaged at byte {chunk.chunk_start_offset} ({error}): the "
            f"messages from {first:.1f} to {last:.1f} s of it are lost ({lost})"
        )
