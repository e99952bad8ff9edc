"""What must hold of everything that is sent to a target, checked call by call.

The checker sees each ReplicateMessage before the target does and learns what became of it:

    call = checker.sent(channel, request)      before it is forwarded
    checker.answered(call, OK | REFUSED | LOST)

OK: the target has all of it. REFUSED: it has nothing of it. LOST: nobody was told; such a call is in
doubt until answered() is called again for it, or a later tick above it is acknowledged. What is in
doubt may be sent again byte for byte, and nothing else may go at or below its tick.
Checked, on each target channel:
 ticks      strictly increase; only a fence, a call with nothing but the last tick that the sender has an answer
            for, repeats one: consumers ignore it. (Which answers arrived is not known here: one of the last
            FENCES ticks is accepted, and the tick of a server that has just started and knows none.)
 rows       none at or below a tick that was sent
 order      the inserts of a key never go back in time, nor a delete below an insert that stays
 ids        no message id twice between two ticks: the target drops the second
 shards     a message's shard is one of the channel: a delete with another kills a Milvus 2.3.5
 clock      nothing is stamped more than AHEAD_MS ahead of this machine's clock
 one call   in flight
 fences     no write for a collection whose task is paused or deleted, from the API's answer on
"""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import dataclass, field

from pymilvus.grpc_gen import common_pb2, milvus_pb2, msg_pb2

OK, REFUSED, LOST = "ok", "refused", "lost"
AHEAD_MS = 2000
FENCES, UNKNOWN_TICK = 16, 1
KEYS = 2_000_000  # remembered in all; the oldest go
EXCERPT = 160  # bytes of a message that a violation shows


@dataclass
class Message:
    """What the checks need of one message of a call."""

    type: int
    id: int
    stamps: list[int]
    collection: str
    shard: str
    keys: list
    raw: bytes


@dataclass
class Call:
    channel: str
    number: int
    messages: list[Message]
    tick: int  # the highest; 0 without
    fate: str = ""
    inserts: dict = field(default_factory=dict)  # (collection, shard, key) to the stamp of its last insert
    ids: set[int] = field(default_factory=set)  # after its last tick

    def raws(self) -> set[bytes]:
        return {m.raw for m in self.messages}


@dataclass
class Violation:
    """A rule that was broken, with the bytes that break it."""

    rule: str
    channel: str
    text: str
    at: float
    message: bytes = b""

    def __str__(self) -> str:
        shown = f" [{self.message[:EXCERPT].hex()}]" if self.message else ""
        return f"{self.rule} on {self.channel}: {self.text}{shown}"


@dataclass
class Channel:
    floor: int = 0  # the last tick that the target has for sure
    ticked: deque[int] = field(default_factory=lambda: deque(maxlen=FENCES))  # the last acknowledged ones
    ids: set[int] = field(default_factory=set)  # since that tick
    doubt: list[Call] = field(default_factory=list)
    flying: list[Call] = field(default_factory=list)
    calls: int = 0


def decode(raw: bytes) -> Message:
    """Only what the checks need; ValueError for what is no message."""
    base = msg_pb2.TimeTickMsg.FromString(raw).base
    kind = base.msg_type
    if kind == common_pb2.TimeTick:
        return Message(kind, 0, [base.timestamp], "", "", [], raw)
    if kind == common_pb2.Insert:
        m = msg_pb2.InsertRequest.FromString(raw)
        keys = next((_values(f) for f in m.fields_data if f.field_id == 100), [])
        return Message(kind, base.msgID, list(m.timestamps), f"{m.db_name}/{m.collection_name}", m.shardName, keys, raw)
    if kind == common_pb2.Delete:
        d = msg_pb2.DeleteRequest.FromString(raw)
        keys = list(d.primary_keys.int_id.data) or list(d.primary_keys.str_id.data) or list(d.int64_primary_keys)
        return Message(kind, base.msgID, list(d.timestamps), f"{d.db_name}/{d.collection_name}", d.shardName, keys, raw)
    if kind in (common_pb2.DropCollection, common_pb2.DropPartition):
        # of both the name stands in the same field
        d = msg_pb2.DropCollectionRequest.FromString(raw)
        return Message(kind, base.msgID, [base.timestamp], f"{d.db_name}/{d.collectionName}", "", [], raw)
    return Message(kind, base.msgID, [], "", "", [], raw)


def _values(data) -> list:
    scalars = data.scalars
    return list(scalars.long_data.data) or list(scalars.string_data.data)


def time_of(stamp: int) -> str:
    return f"{stamp} ({stamp >> 18} ms + {stamp & (1 << 18) - 1})"


class Checker:
    """All channels of one target. Not for several threads."""

    def __init__(self, clock=time.time, most: int = 200):
        self.clock, self.most = clock, most
        self.channels: dict[str, Channel] = {}
        self.inserted: dict = {}  # (collection, shard, key) to the stamp of its last insert
        self.fenced: dict[str, str] = {}  # collection to why
        self.violations: deque[Violation] = deque(maxlen=most)
        self.counts: Counter = Counter()

    def _violate(self, rule: str, channel: str, text: str, raw: bytes = b"") -> None:
        self.counts["violations"] += 1
        self.violations.append(Violation(rule, channel, text, self.clock(), raw))

    # calls ---------------------------------------------------------------------------------------

    def sent(self, name: str, request: bytes | milvus_pb2.ReplicateMessageRequest) -> Call:
        """A call that is about to go to the target."""
        if isinstance(request, bytes):
            request = milvus_pb2.ReplicateMessageRequest.FromString(request)
        channel = self.channels.setdefault(name, Channel())
        messages = [decode(raw) for raw in request.Msgs]
        ticks = [m.stamps[0] for m in messages if m.type == common_pb2.TimeTick]
        channel.calls += 1
        call = Call(name, channel.calls, messages, max(ticks, default=0))
        self.counts["calls"] += 1
        self.counts["ticks"] += len(ticks)
        if channel.flying:
            self._violate("one call", name, f"call {call.number} while call {channel.flying[0].number} is in flight")
        channel.flying.append(call)
        fence = len(messages) == len(ticks) == 1 and (ticks[0] in channel.ticked or ticks[0] <= UNKNOWN_TICK)
        if not fence:
            self._walk(channel, call)
        return call

    def answered(self, call: Call, fate: str) -> None:
        """What became of it; a lost call may be answered again, when it is known after all."""
        channel = self.channels[call.channel]
        if call in channel.flying:
            channel.flying.remove(call)
        if call in channel.doubt:
            channel.doubt.remove(call)
        call.fate = fate
        if fate == LOST:
            channel.doubt.append(call)
        if fate != REFUSED:
            self._landed(channel, call)
        if fate == OK and call.tick > channel.floor:
            channel.floor = call.tick
            channel.ticked.append(call.tick)
            channel.doubt = [c for c in channel.doubt if c.tick > call.tick]

    def _landed(self, channel: Channel, call: Call) -> None:
        """What later calls are held against."""
        channel.ids = call.ids
        for place, stamp in call.inserts.items():
            last = self.inserted.pop(place, 0)  # to the end: the oldest stand first
            self.inserted[place] = max(stamp, last)
        while len(self.inserted) > KEYS:
            self.inserted.pop(next(iter(self.inserted)))

    # the rules -----------------------------------------------------------------------------------

    def _walk(self, channel: Channel, call: Call) -> None:
        """The messages in their order: the target's consumers see them so."""
        repeated = set().union(*(c.raws() for c in channel.doubt)) if channel.doubt else set()
        doubtful = max((c.tick for c in channel.doubt), default=0)
        last, ids = channel.floor, set(channel.ids)
        kept = self._kept(call)
        for m in call.messages:
            if m.type == common_pb2.TimeTick:
                tick = m.stamps[0]
                if tick <= last:
                    self._violate("ticks", call.channel, f"tick {time_of(tick)} after {time_of(last)}", m.raw)
                elif tick <= doubtful and m.raw not in repeated:
                    self._violate("ticks", call.channel, f"tick {time_of(tick)} and one up to {time_of(doubtful)} is in "
                                  "doubt", m.raw)
                if tick > last:
                    last, ids = tick, set()
                self._ahead(call, m, tick)
                continue
            again = m.raw in repeated
            self._rows(call, m, last, 0 if again else doubtful)
            self._identity(call, m, ids, again)
            self._fence(call, m)
            if not again:
                self._order(call, m, kept)
        call.ids = ids

    def _rows(self, call: Call, m: Message, last: int, doubtful: int) -> None:
        self.counts["messages"] += 1
        self.counts["rows"] += len(m.stamps)
        if not m.stamps:
            return
        low = min(m.stamps)
        if low <= last:
            self._violate("rows", call.channel, f"{self._what(m)} at {time_of(low)}, tick {time_of(last)} was sent", m.raw)
        elif low <= doubtful:
            self._violate("rows", call.channel, f"{self._what(m)} at {time_of(low)}, a tick {time_of(doubtful)} is in "
                          "doubt", m.raw)
        self._ahead(call, m, max(m.stamps))

    def _ahead(self, call: Call, m: Message, stamp: int) -> None:
        ahead = (stamp >> 18) - self.clock() * 1000
        if ahead > AHEAD_MS:
            self._violate("clock", call.channel, f"{self._what(m)} is {ahead:.0f} ms ahead", m.raw)

    def _identity(self, call: Call, m: Message, ids: set[int], again: bool) -> None:
        if m.type not in (common_pb2.Insert, common_pb2.Delete):
            return
        if m.id in ids and not again:
            self._violate("ids", call.channel, f"{self._what(m)} has the id {m.id} of an earlier message of its pack", m.raw)
        ids.add(m.id)
        if m.shard and not m.shard.startswith(call.channel + "_"):
            self._violate("shards", call.channel, f"{self._what(m)} has the shard {m.shard}", m.raw)

    @staticmethod
    def _kept(call: Call) -> dict:
        """The last insert of each key in the call: a delete below an older one is made good by it."""
        kept: dict = {}
        for m in call.messages:
            if m.type == common_pb2.Insert:
                for key, stamp in zip(m.keys, m.stamps):
                    place = (m.collection, m.shard, key)
                    kept[place] = max(stamp, kept.get(place, 0))
        return kept

    def _order(self, call: Call, m: Message, kept: dict) -> None:
        for key, stamp in zip(m.keys, m.stamps):
            place = (m.collection, m.shard, key)
            last = max(self.inserted.get(place, 0), call.inserts.get(place, 0))
            if stamp < last and not (m.type == common_pb2.Delete and kept.get(place, 0) >= last):
                self._violate("order", call.channel, f"{self._what(m)} of key {key!r} at {time_of(stamp)}, it was inserted "
                              f"at {time_of(last)}", m.raw)
            if m.type == common_pb2.Insert:
                call.inserts[place] = max(stamp, last)

    def _fence(self, call: Call, m: Message) -> None:
        if m.collection in self.fenced:
            self._violate("fences", call.channel, f"{self._what(m)} after {self.fenced[m.collection]}", m.raw)

    @staticmethod
    def _what(m: Message) -> str:
        kind = common_pb2.MsgType.Name(m.type) if m.type in common_pb2.MsgType.values() else str(m.type)
        return f"{kind} {m.collection}" if m.collection else kind

    # fences --------------------------------------------------------------------------------------

    def fence(self, collections: list[str], why: str) -> None:
        """From now on nothing may be written for these ("database/name"); nothing may be in flight either."""
        for name in collections:
            self.fenced[name] = why
        for name, channel in self.channels.items():
            for call in channel.flying:
                for m in call.messages:
                    if m.collection in collections:
                        self._violate("fences", name, f"{self._what(m)} is in flight after {why}", m.raw)

    def unfence(self, collections: list[str]) -> None:
        for name in collections:
            self.fenced.pop(name, None)

    def operation(self, method: str, collection: str) -> None:
        """Any other call that changes a collection of the target."""
        self.counts["operations"] += 1
        if collection in self.fenced:
            self._violate("fences", method, f"{collection} after {self.fenced[collection]}")
