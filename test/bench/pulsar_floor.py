"""Reads ranges of topics and throws the messages away, with Pulsar's own C++ client: the floor of any reader.

    pulsar_floor.py pulsar://host:port topic@ledger:entry,ledger:entry ...     first (not read) and last message

Prints JSON: messages, bytes of payload, seconds, cpu_s (of the process), peak_rss_mb. A message is a whole
insert of hundreds of kilobytes, so the interpreter between them does not count.
"""

import json
import os
import resource
import sys
import threading
import time

import pulsar

READ_MS = 30000


def place(text: str) -> tuple[int, int]:
    ledger, entry = text.split(":")
    return int(ledger), int(entry)


class Topic:
    """One topic, read by a thread of its own; the library's calls let go of the interpreter."""

    def __init__(self, client, arg: str):
        name, _, places = arg.rpartition("@")
        first, self.end = map(place, places.split(","))
        start = pulsar.MessageId(-1, *first, -1) if first[1] >= 0 else pulsar.MessageId.earliest
        self.reader = client.create_reader(f"persistent://public/default/{name}", start)
        self.messages = self.bytes = 0
        self.thread = threading.Thread(target=self.read)

    def read(self) -> None:
        at = (-1, -1)
        while at < self.end:
            message = self.reader.read_next(READ_MS)
            at = message.message_id().ledger_id(), message.message_id().entry_id()
            if at <= self.end:
                self.messages += 1
                self.bytes += len(message.data())


def main() -> None:
    client = pulsar.Client(sys.argv[1], io_threads=2, logger=pulsar.ConsoleLogger(pulsar.LoggerLevel.Error))
    begin, cpu = time.monotonic(), sum(os.times()[:2])
    topics = [Topic(client, arg) for arg in sys.argv[2:]]
    for topic in topics:
        topic.thread.start()
    for topic in topics:
        topic.thread.join()
    seconds, cpu = time.monotonic() - begin, sum(os.times()[:2]) - cpu
    print(json.dumps({"messages": sum(t.messages for t in topics), "bytes": sum(t.bytes for t in topics),
                      "seconds": seconds, "cpu_s": cpu,
                      "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6}))
    client.close()


main()
