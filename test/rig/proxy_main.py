"""The fault proxy's process: forwards TCP connections and breaks them on command. Started by proxy.Proxy.

    proxy_main.py <port> <control port> <host:port>

A command is a line of JSON on the control port, {"verb": ..., ...}, and is answered by a line: what the
proxy counts. What a verb does is said in proxy.py. Every connection is two pipes; a pipe reads ahead a
little (WINDOW), so that a delay costs time and not throughput.
"""

import asyncio
import json
import socket
import struct
import sys
import time

CHUNK = 64 << 10
WINDOW = 32  # chunks of a pipe on their way


def end(writer) -> None:
    """Ends a connection by a reset."""
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Faults:
    """What is done to every connection now."""

    def __init__(self) -> None:
        self.flows = asyncio.Event()  # unset: half open
        self.heal()

    def heal(self) -> None:
        self.refuse = False
        self.delay_s = 0.0
        self.bytes_per_s = 0.0
        self.flows.set()


class Pipe:
    """One direction of a connection."""

    def __init__(self, link: "Link", reader, writer, to_client: bool):
        self.link, self.reader, self.writer, self.to_client = link, reader, writer, to_client
        self.chunks: asyncio.Queue = asyncio.Queue(WINDOW)
        self.free_at = 0.0  # when the bandwidth has room again

    async def read(self) -> None:
        while True:
            await self.link.proxy.faults.flows.wait()
            data = await self.reader.read(CHUNK)
            await self.chunks.put((time.monotonic() + self.link.proxy.faults.delay_s, data))
            if not data:
                return

    async def write(self) -> None:
        proxy = self.link.proxy
        while True:
            due, data = await self.chunks.get()
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await proxy.faults.flows.wait()
            if not data:
                self.writer.write_eof()
                return
            if self.to_client and proxy.reset_after is not None:
                data = data[:proxy.reset_after]
                proxy.reset_after -= len(data)
            proxy.count(self.to_client, len(data))
            await self.paced(data)
            if self.to_client and proxy.reset_after == 0:
                proxy.reset_after = None
                self.link.close(reset=True)
                return

    async def paced(self, data: bytes) -> None:
        """Writes no faster than the bandwidth, in pieces of a tenth of a second."""
        while data:
            rate = self.link.proxy.faults.bytes_per_s
            piece = data[:max(1, int(rate / 10))] if rate else data
            data = data[len(piece):]
            if rate:
                now = time.monotonic()
                self.free_at = max(self.free_at, now) + len(piece) / rate
                await asyncio.sleep(self.free_at - now)
            self.writer.write(piece)
            await self.writer.drain()


class Link:
    """A client's connection and ours to the server."""

    def __init__(self, proxy: "Proxy", client, server):
        self.proxy, self.writers = proxy, (client[1], server[1])
        self.pipes = (Pipe(self, client[0], server[1], False), Pipe(self, server[0], client[1], True))

    async def run(self) -> None:
        halves = [asyncio.gather(pipe.read(), pipe.write()) for pipe in self.pipes]
        try:
            await asyncio.gather(*halves)
        except (OSError, RuntimeError):
            self.close(reset=True)  # one side broke: so does the other
        finally:
            for half in halves:
                half.cancel()
            await asyncio.gather(*halves, return_exceptions=True)
            self.close()

    def close(self, reset: bool = False) -> None:
        for writer in self.writers:
            end(writer) if reset else writer.close()


class Proxy:
    def __init__(self, target: str):
        self.target = target
        self.faults = Faults()
        self.reset_after: int | None = None  # bytes to the client until a reset
        self.links: set[Link] = set()
        self.accepted = self.refused = self.to_server = self.to_client = 0

    def count(self, to_client: bool, number: int) -> None:
        if to_client:
            self.to_client += number
        else:
            self.to_server += number

    async def serve(self, reader, writer) -> None:
        self.accepted += 1
        host, port = self.target.rsplit(":", 1)
        try:
            if self.faults.refuse:
                raise ConnectionRefusedError
            server = await asyncio.open_connection(host, int(port))
        except OSError:
            self.refused += 1
            end(writer)
            return
        link = Link(self, (reader, writer), server)
        self.links.add(link)
        try:
            await link.run()
        finally:
            self.links.discard(link)

    async def control(self, reader, writer) -> None:
        while line := await reader.readline():
            command = json.loads(line)
            getattr(self, f"do_{command.pop('verb')}")(**command)
            counts = {"accepted": self.accepted, "refused": self.refused, "open": len(self.links),
                      "to_server": self.to_server, "to_client": self.to_client}
            writer.write(json.dumps(counts).encode() + b"\n")
        writer.close()

    def do_counts(self) -> None:
        pass

    def do_target(self, address: str) -> None:
        self.target = address

    def do_cut(self, reset: bool) -> None:
        for link in list(self.links):
            link.close(reset)

    def do_refuse(self) -> None:
        self.faults.refuse = True
        self.do_cut(True)

    def do_half_open(self) -> None:
        self.faults.flows.clear()

    def do_delay(self, ms: float) -> None:
        self.faults.delay_s = ms / 1000

    def do_bandwidth(self, bytes_per_s: float) -> None:
        self.faults.bytes_per_s = bytes_per_s

    def do_reset_mid_frame(self, after: int) -> None:
        self.reset_after = after

    def do_heal(self) -> None:
        self.reset_after = None
        self.faults.heal()


async def main(port: int, control: int, target: str) -> None:
    proxy = Proxy(target)
    # the control port last: who can talk to it knows that the other listens
    servers = [await asyncio.start_server(proxy.serve, "127.0.0.1", port),
               await asyncio.start_server(proxy.control, "127.0.0.1", control)]
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
