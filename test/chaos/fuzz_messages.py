"""Mutated real messages in the source's real topics, through the whole pipeline.

The source's keys and topics are written by hand (e2e/synthetic.py) on a real etcd and a real Kafka, since a
real Milvus would not survive what is written here; the target is fake_target. Every batch has victims, whose
messages are mutated, and a bystander on the same topics, whose rows must go on arriving. The server may
stop a victim, loudly; it may skip a message, loudly; it may not die, and must not tire of it.
"""

from __future__ import annotations

import random

from pymilvus.grpc_gen import common_pb2, msg_pb2, schema_pb2

from helpers import fresh, wait_until
from synthetic import DIM, Synthetic

from .bare import ends_well, new_bare, still_well
from .fake_target import FakeTarget
from .tally import Tally

PROMISES = ("ticks", "rows", "one call", "shards")  # what we owe a target whatever the source writes


# bytes -------------------------------------------------------------------------------------------

def flip(dice: random.Random, raw: bytearray) -> None:
    for _ in range(dice.randint(1, 8)):
        raw[dice.randrange(len(raw))] ^= 1 << dice.randrange(8)


def cut(dice: random.Random, raw: bytearray) -> None:
    del raw[dice.randrange(len(raw)):]


def extend(dice: random.Random, raw: bytearray) -> None:
    raw += dice.randbytes(dice.randint(1, 40))


def remove(dice: random.Random, raw: bytearray) -> None:
    at = dice.randrange(len(raw))
    del raw[at:at + dice.randint(1, 20)]


def repeat(dice: random.Random, raw: bytearray) -> None:
    at = dice.randrange(len(raw))
    raw[at:at] = raw[at:at + dice.randint(1, 60)]


def lengthen(dice: random.Random, raw: bytearray) -> None:
    """Something that may be a length becomes huge."""
    at = dice.randrange(len(raw))
    raw[at:at + 1] = dice.choice((b"\xff\xff\xff\xff\x0f", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x80" * 11))


BYTES = (flip, cut, extend, remove, repeat, lengthen)


# fields ------------------------------------------------------------------------------------------

def bend(dice: random.Random, request) -> str:
    """Changes one field of a request into something that no Milvus writes; its name."""
    odd = dice.choice((0, 1, -1, 2**31, -2**31, 2**62, -2**63))
    whole = odd & (2**64 - 1)
    choices = {
        "num_rows": lambda: setattr(request, "num_rows", dice.choice((0, 1, 10**6, 2**31))),
        "timestamps": lambda: request.timestamps.append(whole) if dice.random() < 0.5 else request.ClearField("timestamps"),
        "time": lambda: request.timestamps.__setitem__(slice(None), [whole] * len(request.timestamps)),
        "shard": lambda: setattr(request, "shardName", dice.choice(("", "x", request.shardName + "0", "a_b_c_1v0"))),
        "partition id": lambda: setattr(request, "partitionID", odd),
        "collection id": lambda: setattr(request, "collectionID", odd),
        "name": lambda: setattr(request, "collection_name", dice.choice(("", "x" * 3000, "a/b", "\x00"))),
        "database": lambda: setattr(request, "db_name", dice.choice(("", "nobody", "\u00e4" * 200))),
        "base": lambda: request.ClearField("base"),
        "type": lambda: setattr(request.base, "msg_type", dice.choice((0, 100, 101, 200, 402, 1000, 1206, 9999))),
        "message id": lambda: setattr(request.base, "msgID", odd),
        "replicated": lambda: setattr(request.base.replicateInfo, "isReplicate", True),
    }
    if isinstance(request, msg_pb2.InsertRequest):
        choices |= {
            "no fields": lambda: request.ClearField("fields_data"),
            "row ids": lambda: request.ClearField("rowIDs"),
            "field id": lambda: setattr(request.fields_data[0], "field_id", 10**6),
            "no key": lambda: request.fields_data.pop(0),
            "other keys": lambda: request.fields_data[0].scalars.string_data.data.append("x"),
            "fewer values": lambda: request.fields_data[1].vectors.float_vector.data.pop(),
            "sparse field": lambda: request.fields_data.add(field_name="sparse", field_id=777, type=schema_pb2.FloatVector),
            "version": lambda: setattr(request, "version", 0)}
    else:
        choices |= {"no keys": lambda: request.ClearField("primary_keys"),
                    "text keys": lambda: request.primary_keys.str_id.data.extend(["a", "b"])}
    name = dice.choice(sorted(choices))
    choices[name]()
    return name


class Batch:
    """Victims on a few topics, and what was done to them."""

    def __init__(self, source: Synthetic, dice: random.Random, victims: int):
        self.source, self.dice = source, dice
        self.victims = [source.collection(fresh("victim"), shards=1 + n % 2) for n in range(victims)]
        self.done: list[str] = []
        self.keys = 0

    def request(self, victim):
        """A good insert or delete of it, as an object."""
        source, dice = self.source, self.dice
        keys = list(range(self.keys, self.keys + dice.randint(1, 5)))
        self.keys += len(keys)
        shard, at = dice.randrange(len(victim.vchannels)), source.stamp()
        common = dict(shardName=victim.vchannels[shard], collection_name=victim.name, collectionID=victim.id,
                      partitionID=victim.partitions["_default"], timestamps=[at] * len(keys), num_rows=len(keys))
        if dice.random() < 0.3:
            request = msg_pb2.DeleteRequest(base=victim._base(common_pb2.Delete, at), **common)
            request.primary_keys.int_id.data.extend(keys)
            return request, shard
        ids = schema_pb2.FieldData(type=schema_pb2.Int64, field_name="id", field_id=100)
        ids.scalars.long_data.data.extend(keys)
        vectors = schema_pb2.FieldData(type=schema_pb2.FloatVector, field_name="v", field_id=101)
        vectors.vectors.dim = DIM
        vectors.vectors.float_vector.data.extend([1.0] * DIM * len(keys))
        return msg_pb2.InsertRequest(base=victim._base(common_pb2.Insert, at), rowIDs=[source.id() for _ in keys],
                                     fields_data=[ids, vectors], version=msg_pb2.ColumnBased, **common), shard

    def headers(self, victim, shard: int, request) -> dict:
        """Mostly right: what stands there decides who is asked to read the rest."""
        headers = self.source.properties(request.base, victim.vchannels[shard], victim.id) if \
            request.base.msg_type in common_pb2.MsgType.values() else {}
        kind = self.dice.random()
        odd = sorted(set(headers) - {"vchannel"})
        if odd and kind < 0.15:
            headers[self.dice.choice(odd)] = self.dice.choice(("", "x", "-1", "9" * 30, "\u00e4"))
        return headers

    def mutate(self, request) -> tuple[bytes, str]:
        """Its bytes, changed; without headers that name it, not before the end of the shard's name, since what
        can't be told apart stops all collections of its topic."""
        raw = request.SerializeToString()
        keep = 0 if self.source.headers == "full" else raw.index(request.shardName.encode()) + len(request.shardName)
        tail, act = bytearray(raw[keep:]), self.dice.choice(BYTES)
        act(self.dice, tail)
        return raw[:keep] + bytes(tail), act.__name__

    def poison(self) -> None:
        """One mutated message to one victim."""
        victim = self.dice.choice(self.victims)
        with self.source._lock:
            request, shard = self.request(victim)
            raw = None
            if self.dice.random() < 0.5:
                what = bend(self.dice, request)
            else:
                raw, what = self.mutate(request)
            headers = self.headers(victim, shard, request)
            raw = raw or request.SerializeToString()
            self.source.send(victim.pchannels[shard], raw, headers)
        self.done.append(f"{what} {headers.get('msg_type', '')} to {victim.name}: {raw[:120].hex()}")


def play(world: "Pit", number: int, victims: int, poisons: int) -> None:
    """One batch; at its end the bystander's rows have to arrive."""
    batch = Batch(world.source, world.dice, victims)
    wait_until(lambda: all(("default", v.name) in world.target.collections for v in batch.victims), 60,
               "the victims are on the target")
    for victim in batch.victims:
        victim.insert([-1])
    for _ in range(poisons):
        batch.poison()
    world.tally.add("fuzzed messages", poisons)
    world.bystander_goes_on(f"batch {number} of seed {world.seed}", batch)


class Pit:
    """The source, the target, the server and the bystander."""

    def __init__(self, rig, seed: object, tally: Tally, target: FakeTarget):
        self.seed, self.tally, self.target, self.dice = seed, tally, target, random.Random(f"fuzz/{seed}")
        self.source = Synthetic(rig, headers=self.dice.choice(("none", "type", "full")), drops="tombstone")
        config = self.source.config()
        config["sourceConfig"].pop("pulsar")
        self.cdc = new_bare(rig, fresh("fuzz"), config)
        self.pid = self.cdc.pid
        self.task = self.cdc.create(target, {"*": [{"name": "*"}]})
        self.bystander = self.source.collection(fresh("bystander"), shards=2)
        self.key = 0

    def bystander_goes_on(self, what: str, batch: Batch | None = None) -> None:
        keys = range(self.key, self.key + 10)
        self.key += 10
        for shard, part in enumerate((keys[:5], keys[5:])):
            self.bystander.insert(part, shard=shard)
        try:
            wait_until(lambda: not self.cdc.alive() or set(keys) <= self.target.seen(self.bystander.name), 60,
                       "the bystander's rows arrive", pause=0.1)
        except TimeoutError as error:
            self.tally.find(f"{what}: {error}: {self.cdc.get(self.task)['detail']}\n{self.cdc.log_tail(15)}\n" +
                            "\n".join((batch.done if batch else [])[-20:]))
        if not still_well(self.cdc, self.tally, what, self.pid):
            self.tally.find(f"{what}, the last of what was written:\n" + "\n".join(batch.done[-50:] if batch else []))
            raise RuntimeError("the server is gone")
        self.tally.add("bystander rows", 10)
        self._broken(what)

    def _broken(self, what: str) -> None:
        checker = self.target.checker
        with self.target.lock:
            found = [str(v) for v in checker.violations if v.rule in PROMISES]
            checker.violations.clear()
        for text in found[:3]:
            self.tally.find(f"{what}: {text}")

    def loud(self) -> None:
        """Whatever stopped a collection says why."""
        states = self.cdc.get(self.task)["detail"].get("collection_states", {})
        self.tally.add("victims stopped", states.get("Failed", 0))
        text = self.cdc.log_path.read_text(errors="replace")
        if states.get("Failed") and text.count("Failed") < states["Failed"]:
            self.tally.find(f"{states} and the log has {text.count('Failed')} lines about it")


def run(rig, seed: object, batches: int, tally: Tally, victims: int = 8, poisons: int = 60, until=None) -> None:
    with FakeTarget() as target:
        pit = Pit(rig, seed, tally, target)
        try:
            with pit.source.ticking():
                pit.bystander_goes_on("the start")
                number = 0
                while (number < batches if batches else not until()):
                    play(pit, number, victims, poisons)
                    number += 1
                pit.loud()
        finally:
            ends_well(pit.cdc, tally, f"fuzzed messages of seed {seed}")
            rig.remove(pit.cdc)
