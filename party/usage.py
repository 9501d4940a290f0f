"""What a run has cost this party's links so far: read from the meters, kept as totals."""

from collections import Counter
from collections.abc import Iterable

from kernel.wire.meter import LinkMeter
from protos.v1 import common_pb2

Usage = list[common_pb2.LinkUsage]


class UsageTotals:
    """Totals of one run generation."""

    def __init__(self, links: LinkMeter) -> None:
        self._links = links
        self._bytes: Counter[str] = Counter()
        self._messages: Counter[str] = Counter()

    def take(self) -> Usage:
        """What was spent since the last take; it is in the totals from now on."""
        usage = self._links.take()
        for one in usage:
            self._bytes[one.link] += one.bytes
            self._messages[one.link] += one.messages
        return usage

    def totals(self) -> Iterable[common_pb2.LinkUsage]:
        self.take()
        return [
            common_pb2.LinkUsage(link=link, bytes=count, messages=self._messages[link])
            for link, count in sorted(self._bytes.items())
        ]
