"""A server without a source Milvus: its whole configuration is given. For hostile peers and thousands of calls."""

from __future__ import annotations

from rig import core
from rig.server import Cdc, default_binary

NOBODY = "127.0.0.1:1"  # refuses connections


class Bare(Cdc):
    """options: config (all of it but the address), binary, env."""

    kind = "bare"

    def config(self) -> dict:
        conf = {"address": self.address, "logLevel": "info", "maxTaskNum": 100000,
                "sourceConfig": {"etcd": {"address": [NOBODY]}, "kafka": {"address": NOBODY},
                                 "replicateChan": "nobody-replicate-msg"}}
        conf.update(self.options.get("config") or {})
        return conf


    def ready(self) -> object:
        """Any answer: with a metastore that does not answer, tasks can't be listed."""
        return self.post("list")["code"] in (200, 500)


core.KINDS[Bare.kind] = Bare


def new_bare(rig, name: str, config: dict | None = None, **more) -> Bare:
    options = {"config": config or {}, "binary": str(default_binary()), "env": {}, **more}
    return rig._start(Bare, name, options)


def still_well(server, tally, what: str, pid: int = 0) -> bool:
    """It lives, answers, and no sanitizer complains."""
    if not server.alive() or pid and server.pid != pid:
        tally.find(f"{what}: the server is gone\n{server.log_tail(40)}")
        return False
    answer = server.post("list", timeout=30)
    if answer.get("code") != 200 and "the server is starting" not in answer.get("message", ""):
        tally.find(f"{what}: list is answered with {answer}")
        return False
    return True


def ends_well(server, tally, what: str) -> None:
    """SIGTERM ends it in time, and nothing was found."""
    if server.alive() and not server.stop():
        tally.find(f"{what}: the server did not end within {server.stop_timeout:g} s of SIGTERM\n{server.log_tail(20)}")
    if server.findings():
        tally.find(f"{what}: sanitizer findings\n{server.findings()}")
