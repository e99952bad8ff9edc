"""The fault proxy, between a client and a server that sends back what it gets."""

import socket
import socketserver
import threading
import time

import pytest

from helpers import wait_until
from rig import Rig


class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(65536):
            self.request.sendall(data)


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request, client_address):
        """Broken connections are what this is about."""


@pytest.fixture(scope="module")
def wire():
    with Server(("127.0.0.1", 0), Echo) as server, Rig() as rig:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield rig.proxy("wire", to=f"127.0.0.1:{server.server_address[1]}")
        server.shutdown()


@pytest.fixture
def proxy(wire):
    yield wire
    wire.heal()
    wire.cut()


@pytest.fixture
def client(proxy):
    with socket.create_connection(("127.0.0.1", proxy.port()), timeout=10) as link:
        yield link


def ask(link: socket.socket, data: bytes) -> bytes:
    """What comes back for data."""
    link.sendall(data)
    answer = b""
    while len(answer) < len(data):
        answer += link.recv(65536) or pytest.fail(f"ended after {len(answer)} bytes")
    return answer


def test_forwards(proxy, client):
    data = bytes(range(256)) * 20000  # more than all buffers between
    sender = threading.Thread(target=client.sendall, args=(data,))
    before = proxy.counts()
    sender.start()
    got = b""
    while len(got) < len(data):
        got += client.recv(65536)
    sender.join()
    assert got == data
    counts = proxy.counts()
    assert counts["to_server"] - before["to_server"] == counts["to_client"] - before["to_client"] == len(data)
    client.shutdown(socket.SHUT_WR)  # an end passes as an end
    assert client.recv(1) == b""


@pytest.mark.parametrize("reset", [False, True])
def test_cut(proxy, client, reset):
    assert ask(client, b"one") == b"one"
    proxy.cut(reset)
    if reset:
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    else:
        assert client.recv(1) == b""
    wait_until(lambda: proxy.counts()["open"] == 0, 5, "the connection is gone")
    with socket.create_connection(("127.0.0.1", proxy.port()), timeout=10) as again:
        assert ask(again, b"two") == b"two"


def test_refuse(proxy, client):
    assert ask(client, b"one") == b"one"
    proxy.refuse()
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    with pytest.raises(ConnectionError), socket.create_connection(("127.0.0.1", proxy.port()), timeout=5) as link:
        ask(link, b"two")
    proxy.heal()
    with socket.create_connection(("127.0.0.1", proxy.port()), timeout=10) as again:
        assert ask(again, b"three") == b"three"


def test_half_open(proxy, client):
    assert ask(client, b"one") == b"one"
    proxy.half_open()
    client.settimeout(0.3)
    client.sendall(b"two")
    with pytest.raises(TimeoutError):
        client.recv(1)
    with socket.create_connection(("127.0.0.1", proxy.port()), timeout=0.3) as late:
        late.sendall(b"three")
        with pytest.raises(TimeoutError):
            late.recv(1)
    client.settimeout(10)
    proxy.heal()
    assert client.recv(3) == b"two"


def test_delay(proxy, client):
    assert ask(client, b"one") == b"one"
    proxy.delay(150)
    begin = time.monotonic()
    assert ask(client, b"two") == b"two"
    assert 0.29 < time.monotonic() - begin < 5
    begin = time.monotonic()
    assert ask(client, b"x" * 500000) == b"x" * 500000
    assert time.monotonic() - begin < 5, "a delay does not limit the throughput"


def test_bandwidth(proxy, client):
    proxy.bandwidth(100000)
    begin = time.monotonic()
    assert ask(client, b"x" * 50000) == b"x" * 50000
    assert time.monotonic() - begin > 0.45
    proxy.bandwidth(0)
    begin = time.monotonic()
    assert ask(client, b"x" * 500000) == b"x" * 500000
    assert time.monotonic() - begin < 4


def test_reset_mid_frame(proxy, client):
    assert ask(client, b"one") == b"one"
    proxy.reset_mid_frame(4)
    client.sendall(b"abc")
    assert client.recv(10) == b"abc"
    client.sendall(b"defghi")
    got = b""
    with pytest.raises(ConnectionResetError):
        while True:
            got += client.recv(10)
    assert got in (b"", b"d")  # a reset may overtake what was sent before it
    with socket.create_connection(("127.0.0.1", proxy.port()), timeout=10) as again:
        assert ask(again, b"two") == b"two"


def test_server_that_is_away(proxy):
    target = proxy.options["to"]
    proxy.target(f"127.0.0.1:{proxy.port(7)}")
    with pytest.raises(ConnectionError), socket.create_connection(("127.0.0.1", proxy.port()), timeout=5) as link:
        ask(link, b"one")
    proxy.target(target)
    with socket.create_connection(("127.0.0.1", proxy.port()), timeout=10) as link:
        assert ask(link, b"two") == b"two"
