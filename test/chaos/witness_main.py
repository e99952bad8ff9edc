"""The checking proxy's process: see witness.py for what it does. Started by witness.Witness.

    witness_main.py <port> <control port> <target host:port>

Every unary call is passed on as bytes, with its metadata and what is left of its deadline. A command is
a line of JSON on the control port, {"verb": ..., ...}, and is answered by a line.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import grpc  # noqa: E402
from pymilvus.grpc_gen import common_pb2, milvus_pb2  # noqa: E402

from chaos.check import LOST, OK, REFUSED, Checker  # noqa: E402

SERVICE = milvus_pb2.DESCRIPTOR.services_by_name["MilvusService"]
READS = ("Describe", "Show", "Has", "Get", "List", "Query", "Search", "Check", "Connect", "Alloc", "Select")
OPTIONS = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1),
           ("grpc.enable_http_proxy", 0), ("grpc.initial_reconnect_backoff_ms", 100),
           ("grpc.max_reconnect_backoff_ms", 500), ("grpc.so_reuseport", 0)]
CALL_S = 600.0


@dataclass
class Fault:
    """What is done to the next calls of a method.

    before: answered instead of being passed on; after: the target gets it, its answer is kept back.
    code: a gRPC code by name, or "" with a Milvus status of error code and reason; delay_ms: waits first.
    """

    method: str
    left: int = 1
    when: str = "before"
    code: str = ""
    status: int = 0
    old_code: int = 0
    reason: str = ""
    delay_ms: float = 0
    rows_only: bool = False


class Witness:
    def __init__(self, target: str):
        self.checker = Checker()
        self.faults: list[Fault] = []
        self.injected = 0
        self.upstream = grpc.aio.insecure_channel(target, options=OPTIONS)
        self.requests = {m.name: getattr(milvus_pb2, m.input_type.name, None) for m in SERVICE.methods}
        self.answers = {m.name: m.output_type.name for m in SERVICE.methods}
        self.tasks: set[asyncio.Task] = set()

    # calls ---------------------------------------------------------------------------------------

    async def serve(self, path: str, request: bytes, context) -> bytes:
        method = path.rpartition("/")[2]
        call = self.look(method, request)
        metadata = [(k, v) for k, v in context.invocation_metadata() or ()
                    if not k.startswith(("grpc-", ":")) and k != "user-agent"]
        left = context.time_remaining()
        # no server cancels a call whose client has gone: so it goes on here as well
        work = asyncio.ensure_future(self.forward(path, method, request, metadata, min(left or CALL_S, CALL_S), call))
        self.tasks.add(work)
        work.add_done_callback(self.tasks.discard)
        try:
            answer, error, details = await asyncio.shield(work)
        except asyncio.CancelledError:
            if call and not call.fate:
                self.checker.answered(call, LOST)
            raise
        if error is not None:
            await context.abort(error, details)
        return answer

    def look(self, method: str, request: bytes):
        """Shows the call to the checker."""
        if method == "ReplicateMessage":
            decoded = milvus_pb2.ReplicateMessageRequest.FromString(request)
            if decoded.Msgs:  # without, it is a question whether replication is allowed
                return self.checker.sent(decoded.channel_name, decoded)
        elif not method.startswith(READS) and (kind := self.requests.get(method)):
            decoded = kind.FromString(request)
            database = getattr(decoded, "db_name", "") or "default"
            self.checker.operation(method, f"{database}/{getattr(decoded, 'collection_name', '')}")
        return None

    async def forward(self, path: str, method: str, request: bytes, metadata: list, timeout: float, call) -> tuple:
        """(answer, error code, text); tells the checker what became of the call."""
        fault = self.fault(method, call)
        if fault and fault.delay_ms:
            await asyncio.sleep(fault.delay_ms / 1000)
        if fault and fault.when == "before" and (fault.code or fault.status or fault.old_code):
            self.settle(call, REFUSED)
            return self.faulty(fault, method)
        try:
            answer = await self.upstream.unary_unary(path)(request, metadata=metadata, timeout=timeout)
        except grpc.aio.AioRpcError as error:
            self.settle(call, LOST)
            return b"", error.code(), error.details()
        if call:
            status = milvus_pb2.ReplicateMessageResponse.FromString(answer).status
            self.settle(call, REFUSED if status.code or status.error_code else OK)
        if fault and fault.when == "after":
            return self.faulty(fault, method)
        return answer, None, ""

    def settle(self, call, fate: str) -> None:
        if call:
            self.checker.answered(call, fate)

    def fault(self, method: str, call) -> Fault | None:
        for fault in self.faults:
            if fault.method not in (method, "*") or fault.left == 0:
                continue
            if fault.rows_only and not (call and any(m.keys for m in call.messages)):
                continue
            fault.left -= 1
            self.injected += 1
            return fault
        return None

    def faulty(self, fault: Fault, method: str) -> tuple:
        if fault.code:
            return b"", getattr(grpc.StatusCode, fault.code), fault.reason or "injected"
        status = common_pb2.Status(code=fault.status, error_code=fault.old_code, reason=fault.reason or "injected")
        kind = self.answers[method]
        if kind == "Status":
            return status.SerializeToString(), None, ""
        return getattr(milvus_pb2, kind)(status=status).SerializeToString(), None, ""

    # commands ------------------------------------------------------------------------------------

    async def control(self, reader, writer) -> None:
        while line := await reader.readline():
            command = json.loads(line)
            answer = getattr(self, f"do_{command.pop('verb')}")(**command) or {}
            writer.write(json.dumps(answer).encode() + b"\n")
        writer.close()

    def do_counts(self) -> dict:
        return {**self.checker.counts, "injected": self.injected, "channels": len(self.checker.channels)}

    def do_violations(self) -> dict:
        return {"violations": [str(v) for v in self.checker.violations]}

    def do_fence(self, collections: list, why: str) -> None:
        self.checker.fence(collections, why)

    def do_unfence(self, collections: list) -> None:
        self.checker.unfence(collections)

    def do_fault(self, **fault) -> None:
        self.faults.append(Fault(**fault))

    def do_heal(self) -> None:
        self.faults.clear()


class Anything(grpc.GenericRpcHandler):
    def __init__(self, witness: Witness):
        self.witness = witness

    def service(self, details):
        path = details.method

        async def call(request: bytes, context) -> bytes:
            return await self.witness.serve(path, request, context)

        return grpc.unary_unary_rpc_method_handler(call)


async def main(port: int, control: int, target: str) -> None:
    witness = Witness(target)
    server = grpc.aio.server(options=OPTIONS)
    server.add_generic_rpc_handlers((Anything(witness),))
    if not server.add_insecure_port(f"127.0.0.1:{port}"):
        raise OSError(f"port {port} is taken")
    await server.start()
    # the control port last: who can talk to it knows that the other listens
    commands = await asyncio.start_server(witness.control, "127.0.0.1", control)
    await commands.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
