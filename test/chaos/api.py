"""Hostile requests: schemathesis on docs/openapi.yaml, and bodies and connections that no client would make."""

from __future__ import annotations

import json
import random
import re
import socket
import subprocess
import sys
from pathlib import Path

from .bare import NOBODY, ends_well, new_bare, still_well
from .tally import Tally

ROOT = Path(__file__).resolve().parents[2]
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
BODY = {"request_type": "create", "request_data": {
    "task_id": "t", "milvus_connect_param": {"uri": f"http://{NOBODY}", "token": "root:Milvus", "connect_timeout": 1},
    "db_collections": {"default": [{"name": "c", "positions": {"dml_0_1v0": "CAEQAg=="}}]},
    "name_mapping": [{"source_db": "default", "target_db": "x", "collection_mapping": {"c": "d"}}],
    "rpc_channel_info": {"position": "CAEQAg=="}, "extra_info": {"enable_user_role": True}}}


def described(server, seed: object, examples: int, tally: Tally) -> None:
    """What the description allows and what it does not; each answer must be as described."""
    number = random.Random(str(seed)).randrange(2**31)
    command = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", "run",
               str(ROOT / "docs/openapi.yaml"), "--url", f"http://{server.address}", "--seed", str(number),
               "--max-examples", str(examples), "--mode", "all", "--checks", CHECKS, "--phases", "examples,coverage,fuzzing",
               "--request-timeout", "30", "--generation-database", "none", "--suppress-health-check", "all", "--no-color"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200, cwd=server.dir)
    text = done.stdout + done.stderr
    made = re.search(r"(\d+) generated", text)
    tally.add("api requests described", int(made.group(1)) if made else 0)
    if done.returncode:
        tally.find(f"schemathesis with seed {number}:\n{text[-6000:]}")


def mutated(dice: random.Random) -> bytes:
    """A body that was good once."""
    body = json.loads(json.dumps(BODY))
    for _ in range(dice.randint(0, 3)):
        place = body
        while True:
            key = dice.choice(list(place) if isinstance(place, dict) else list(range(len(place))))
            inner = place[key]
            if not isinstance(inner, (dict, list)) or not inner or dice.random() < 0.3:
                place[key] = dice.choice([None, True, -1, 2**63, 1e308, 1.5, "", "\x00", "x" * 5000, [], {}, [[[]]], "*",
                                          {"a": {"b": {}}}, "a.b.c", "../..", "%00", "\ud83d\ude00", -2**70])
                break
            place = inner
    raw = bytearray(json.dumps(body).encode())
    for _ in range(dice.choice((0, 0, 1, 5, 50))):
        at = dice.randrange(len(raw))
        if dice.random() < 0.5:
            raw[at] = dice.randrange(256)
        else:
            raw[at:at + dice.randint(0, 8)] = dice.randbytes(dice.randint(0, 8))
    return bytes(raw)


def raw_requests(dice: random.Random) -> bytes:
    """Bytes on the API's port."""
    body = mutated(dice)
    length = dice.choice([len(body), len(body), len(body) - 1, 0, -1, 2**63, "x", 5 << 20, f"{len(body)}, {len(body)}"])
    lines = [dice.choice(["POST /cdc HTTP/1.1", "POST /cdc HTTP/1.1", "GET /cdc HTTP/1.0", "PRI * HTTP/2.0", "POST",
                          "POST /" + "a" * 20000 + " HTTP/1.1", "\x00\x01\x02", "OPTIONS * HTTP/1.1"]), "Host: x",
             dice.choice([f"Content-Length: {length}", "Transfer-Encoding: chunked", "Content-Length:"]),
             *["X-Long: " + "y" * dice.choice((10, 9000))] * dice.randint(0, 4)]
    raw = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body
    return raw if dice.random() < 0.7 else raw[:dice.randrange(1, len(raw))]


def knock(server, raw: bytes) -> bytes:
    """What is answered, or nothing: the connection may be cut as well."""
    try:
        with socket.create_connection(("127.0.0.1", server.port()), timeout=10) as link:
            link.sendall(raw)
            link.shutdown(socket.SHUT_WR)
            link.settimeout(20)
            return link.recv(65536)
    except TimeoutError:
        raise
    except OSError:
        return b""


def run(rig, seed: object, count: int, tally: Tally, examples: int = 0) -> None:
    server = new_bare(rig, "api-fuzz")
    pid, dice = server.pid, random.Random(f"api/{seed}")
    for number in range(count):
        raw = raw_requests(dice) if number % 3 == 0 else None
        if raw is None:
            body = mutated(dice)
            raw = b"POST /cdc HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        try:
            answer = knock(server, raw)
        except TimeoutError:
            tally.find(f"request {number} of seed {seed} has no answer: {raw[:300]!r}")
            answer = b""
        tally.add("api requests mutated")
        if answer and not answer.startswith(b"HTTP/1."):
            tally.find(f"request {number} of seed {seed}: {answer[:200]!r}")
        if not server.alive():
            break
    if still_well(server, tally, f"mutated requests of seed {seed}", pid) and examples:
        described(server, seed, examples, tally)
        still_well(server, tally, f"described requests of seed {seed}", pid)
    ends_well(server, tally, f"requests of seed {seed}")
    rig.remove(server)
