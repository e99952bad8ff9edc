"""Operations of the replicate channel that a 2.3.5 source does not write itself are told by hand, as a newer one
would, twice each, and run against the real target; and what becomes of those that can't be replicated."""

import base64
import contextlib
import json
import sqlite3
import time

import pytest
from pymilvus import Collection, MilvusException, db, utility
from pymilvus.grpc_gen import common_pb2, milvus_pb2

from helpers import equal, fill, fresh, simple, wait_collection, wait_equal, wait_until
from replicate import stamp

ALTER_INDEX, CREATE_RESOURCE_GROUP, ALTER_DATABASE = 304, 1700, 1804  # newer than the message classes here


class Source:
    """Writes into the source's replicate channel."""

    def __init__(self, mq, source):
        self.mq, self.source = mq, source

    def tell(self, request, msg_type: int, times: int = 2) -> str:
        """One operation, at the source's time of now, which it returns; a repetition must change nothing. The proxies
        of 2.4 and 2.5 give those on users and roles no time."""
        request.base.msg_type = msg_type
        if not common_pb2.CreateCredential <= msg_type <= common_pb2.OperatePrivilege:
            request.base.timestamp = stamp(self.source)
        self.tell_bytes(*[request.SerializeToString()] * times)
        return str(request.base.timestamp)

    def tell_bytes(self, *messages: bytes) -> None:
        for message in messages:
            self.mq.send(self.source.replicate_channel, message)


@pytest.fixture
def channel(mq, source):
    return Source(mq, source)


def detail(cdc, task) -> dict:
    return cdc.get(task)["detail"]


def aliases(name: str) -> list:
    return list(utility.list_aliases(name, using="target"))


def alias(name: str, of: str = "") -> milvus_pb2.CreateAliasRequest:
    return milvus_pb2.CreateAliasRequest(collection_name=of, alias=name)


def ready(collection: Collection) -> Collection:
    return wait_collection(collection.name, "target", loaded=False)


def stored(cdc, task, **change) -> dict:
    """What is stored of the replicate channel's position ("Ext"), after a change by hand."""
    with contextlib.closing(sqlite3.connect(cdc.path("milvus-cdc.db"), timeout=10)) as store, store:
        where = "WHERE task_id = ? AND collection_id = -10"
        text, = store.execute(f"SELECT task_position_value FROM task_position {where}", (task,)).fetchone()
        (channel, entry), = (value := json.loads(text)).items()
        if change:
            entry["Ext"].update(change)
            store.execute(f"UPDATE task_position SET task_position_value = ? {where}", (json.dumps(value), task))
    return value[channel]["Ext"]


@pytest.mark.both_queues
def test_position_is_trimmed(new_cdc, channel, source, target, mq):
    """While the server is down the channel forgets: its last operation was done, so nothing is missing. An
    operation that nobody did is."""
    cdc = new_cdc()
    one = simple("source", load=False)
    task = cdc.create(target, {"default": [{"name": one.name}]})
    ready(one)
    first, second, lost = (fresh("alias") for _ in range(3))
    channel.tell(alias(first, one.name), common_pb2.CreateAlias, times=1)
    wait_until(lambda: aliases(one.name) == [first], 30, "the alias is made")
    cdc.stop()
    mq.forget(source.replicate_channel)
    now = int(time.time() * 1000)
    stored(cdc, task, End=now - 2 * 60000)
    cdc.start()
    wait_until(lambda: stored(cdc, task)["End"] >= now, 20, "that an idle channel has no more is stored anew")
    channel.tell(alias(second, one.name), common_pb2.CreateAlias, times=1)
    wait_until(lambda: set(aliases(one.name)) == {first, second}, 30, "the next operation is done")
    assert cdc.get(task)["state"] == "Running" and not detail(cdc, task)["waits_for"]
    if source.options["mq"] == "pulsar":
        return  # its ids can't tell, see docs/internals/pulsar.md
    cdc.stop()
    channel.tell(alias(lost, one.name), common_pb2.CreateAlias, times=1)
    mq.forget(source.replicate_channel)
    cdc.start()
    wait_until(lambda: "older than the broker keeps: first available" in detail(cdc, task)["waits_for"]
               and "1 messages are missing" in detail(cdc, task)["waits_for"], 30, "the gap is told")


def test_aliases_and_properties(cdc, channel, source, target):
    one, two = (simple("source", load=False) for _ in range(2))
    task = cdc.create(target)
    for collection in (one, two):
        ready(collection)
    name = fresh("alias")
    channel.tell(alias(name, one.name), common_pb2.CreateAlias)
    wait_until(lambda: aliases(one.name) == [name], 20, "the alias is made")
    channel.tell(milvus_pb2.AlterAliasRequest(collection_name=two.name, alias=name), common_pb2.AlterAlias)
    wait_until(lambda: aliases(two.name) == [name], 20, "the alias has moved")
    channel.tell(milvus_pb2.DropAliasRequest(alias=name), common_pb2.DropAlias)
    channel.tell(milvus_pb2.AlterCollectionRequest(collection_name=one.name, properties=[
        common_pb2.KeyValuePair(key="collection.ttl.seconds", value="77")]), common_pb2.AlterCollection)
    wait_until(lambda: Collection(one.name, using="target").describe().get("properties") ==
               {"collection.ttl.seconds": "77"}, 20, "the property is there")
    wait_until(lambda: not aliases(two.name), 20, "the alias is gone")
    assert detail(cdc, task)["skipped_operations"] == []


def test_alias_moves_between_tasks_and_from_a_dropped_collection(cdc, source, target):
    """Who has lost an alias drops it on the target only while nobody else has taken it; etcd alone tells."""
    one, two, three = (simple("source", load=False) for _ in range(3))
    for names in ([one.name], [two.name, three.name]):
        cdc.create(target, {"default": [{"name": name, "use_start_position": True} for name in names]})
    for collection in (one, two, three):
        ready(collection)
    name, mark = fresh("alias"), fresh("mark")
    utility.create_alias(one.name, name, using="source")
    wait_until(lambda: aliases(one.name) == [name], 20, "the alias is made")

    def move(old, new) -> None:
        utility.alter_alias(new.name, name, using="source")
        wait_until(lambda: aliases(new.name) == [name], 20, "the alias has moved")
        # what was to be done for the old one is done when this is
        utility.create_alias(old.name, mark, using="source")
        wait_until(lambda: aliases(old.name) == [mark], 20, "another is made")
        utility.drop_alias(mark, using="source")
        wait_until(lambda: not aliases(old.name), 20, "and dropped")
        assert aliases(new.name) == [name]

    move(one, two)
    move(two, one)
    move(one, two)
    utility.alter_alias(three.name, name, using="source")
    two.drop()
    wait_until(lambda: not utility.has_collection(two.name, using="target"), 20, "it is dropped")
    wait_until(lambda: aliases(three.name) == [name], 20, "the alias is there")


def test_users_and_roles(cdc, channel, source, target):
    """Everything twice; the grantor comes from us, for a 2.3.5 target asks for one even without passwords."""
    user, role, there = fresh("u"), fresh("r"), fresh("here")
    task = cdc.create(target, extra_info={"enable_user_role": True},
                      name_mapping=[{"source_db": "default", "target_db": "default",
                                     "collection_mapping": {"c": there}}])
    assert "not copied" in detail(cdc, task)["user_role"]
    stub, metadata = target.stub()
    old, new = (base64.b64encode(p).decode() for p in (b"Password1", b"Password2"))
    entity = milvus_pb2.RoleEntity(name=role)
    grant = milvus_pb2.GrantEntity(
        role=entity, object=milvus_pb2.ObjectEntity(name="Collection"), object_name="c", db_name="default",
        grantor=milvus_pb2.GrantorEntity(user=milvus_pb2.UserEntity(name="root"),
                                         privilege=milvus_pb2.PrivilegeEntity(name="Insert")))

    def users() -> list:
        return list(stub.ListCredUsers(milvus_pb2.ListCredUsersRequest(), metadata=metadata).usernames)

    def roles() -> list:
        answer = stub.SelectRole(milvus_pb2.SelectRoleRequest(include_user_info=True), metadata=metadata)
        return [(r.role.name, [u.name for u in r.users]) for r in answer.results if r.role.name == role]

    def grants() -> list:
        answer = stub.SelectGrant(milvus_pb2.SelectGrantRequest(entity=milvus_pb2.GrantEntity(role=entity)),
                                  metadata=metadata)
        return [(g.object_name, g.grantor.privilege.name) for g in answer.entities]

    channel.tell(milvus_pb2.CreateCredentialRequest(username=user, password=old), common_pb2.CreateCredential)
    channel.tell(milvus_pb2.UpdateCredentialRequest(username=user, oldPassword=old, newPassword=new),
                 common_pb2.UpdateCredential)
    channel.tell(milvus_pb2.CreateRoleRequest(entity=entity), common_pb2.CreateRole)
    channel.tell(milvus_pb2.OperateUserRoleRequest(username=user, role_name=role, type=0), common_pb2.OperateUserRole)
    channel.tell(milvus_pb2.OperatePrivilegeRequest(entity=grant, type=0), common_pb2.OperatePrivilege)
    wait_until(lambda: grants() == [(there, "Insert")], 30, "the privilege is granted on the mapped name")
    assert user in users() and roles() == [(role, [user])]
    answer = stub.UpdateCredential(milvus_pb2.UpdateCredentialRequest(username=user, oldPassword=new, newPassword=new),
                                   metadata=metadata)
    assert not answer.code and not answer.error_code, "the new password is set"
    channel.tell(milvus_pb2.OperatePrivilegeRequest(entity=grant, type=1), common_pb2.OperatePrivilege)
    channel.tell(milvus_pb2.OperateUserRoleRequest(username=user, role_name=role, type=1), common_pb2.OperateUserRole)
    channel.tell(milvus_pb2.DropRoleRequest(role_name=role), common_pb2.DropRole)
    channel.tell(milvus_pb2.DeleteCredentialRequest(username=user), common_pb2.DeleteCredential)
    wait_until(lambda: user not in users(), 30, "the user is deleted")
    assert not roles() and detail(cdc, task)["skipped_operations"] == []


def test_without_enable_user_role(cdc, channel, source, target):
    task = cdc.create(target)
    name, role = fresh("alias"), fresh("r")
    collection = simple("source", load=False)
    ready(collection)
    channel.tell(milvus_pb2.CreateRoleRequest(entity=milvus_pb2.RoleEntity(name=role)), common_pb2.CreateRole)
    channel.tell(alias(name, collection.name), common_pb2.CreateAlias)
    wait_until(lambda: aliases(collection.name) == [name], 20, "what came after the role is done")
    stub, metadata = target.stub()
    answer = stub.SelectRole(milvus_pb2.SelectRoleRequest(), metadata=metadata)
    assert role not in [r.role.name for r in answer.results] and detail(cdc, task)["skipped_operations"] == []


def test_collection_named_by_an_alias(cdc, source, target):
    """The source writes what the user said. The alias is none of the task's names and was made just before; a release
    by the alias and a load by the name keep their order."""
    one, foreign = (simple("source", load=False) for _ in range(2))
    names = [fresh("alias") for _ in range(2)]
    task = cdc.create(target, {"default": [{"name": one.name, "use_start_position": True}]})
    copy = ready(one)

    def state() -> str:
        return utility.load_state(one.name, using="target").name

    for name, collection in zip(names, (one, foreign)):
        collection.create_index("v", {"index_type": "FLAT", "metric_type": "L2", "params": {}})
        utility.create_alias(collection.name, name, using="source")
        Collection(name, using="source").load()
    wait_until(lambda: state() == "Loaded", 40, "it is loaded")
    fill(one, range(50))
    Collection(names[0], using="source").flush()
    wait_until(lambda: copy.num_entities == 50, 30, "it is flushed")
    Collection(names[0], using="source").release()
    one.load()
    Collection(names[0], using="source").release()
    wait_until(lambda: state() == "NotLoad" and not detail(cdc, task)["waiting_operations"], 30, "it is released")
    assert detail(cdc, task)["skipped_operations"] == []


def test_flush_to_several_databases(cdc, channel, source, target):
    """One Flush of collections that are in two databases of the target, and of one that is not ours."""
    dbs = [fresh("db") for _ in range(2)]
    for name in dbs:
        db.create_database(name, using="target")
    ours, foreign = [simple("source", load=False) for _ in range(2)], simple("source", load=False)
    task = cdc.create(target, {"default": [{"name": c.name, "use_start_position": True} for c in ours]},
                      name_mapping=[{"source_db": "default", "target_db": name,
                                     "collection_mapping": {c.name: c.name}} for name, c in zip(dbs, ours)])
    copies = []
    for name, collection in zip(dbs, ours):
        fill(collection, range(50))
        alias_name = target.connect(f"target_{name}", db=name)
        copies.append(wait_collection(collection.name, alias_name, loaded=False))
    channel.tell(milvus_pb2.FlushRequest(collection_names=[c.name for c in (*ours, foreign)]), common_pb2.Flush)
    wait_until(lambda: [c.num_entities for c in copies] == [50, 50], 40, "both are flushed")
    assert detail(cdc, task)["skipped_operations"] == []


def test_skipped(cdc, channel, source, target):
    """Unknown and unreadable operations, and those that 2.3.5 has not (AlterIndex: only by name), are counted and listed, hold up nothing, and do not come back."""
    task = cdc.create(target)
    collection, name = simple("source", load=False), fresh("alias")
    ready(collection)
    channel.tell(milvus_pb2.DropCollectionRequest(), CREATE_RESOURCE_GROUP, times=1)
    channel.tell(milvus_pb2.DropCollectionRequest(), 9999, times=1)
    channel.tell(milvus_pb2.DropDatabaseRequest(db_name="default"), ALTER_DATABASE, times=1)
    channel.tell(milvus_pb2.AlterIndexRequest(collection_name=collection.name, index_name="i"), ALTER_INDEX, times=1)
    channel.tell_bytes(*[b"\xff\xff not a message"] * 2)
    channel.tell_bytes(milvus_pb2.FlushRequest(base=common_pb2.MsgBase(msg_type=common_pb2.Flush),
                                               collection_names=[collection.name]).SerializeToString())
    channel.tell(alias(name, collection.name), common_pb2.CreateAlias)
    wait_until(lambda: aliases(collection.name) == [name], 20, "the alias behind them is made")
    wait_until(lambda: len(detail(cdc, task)["skipped_operations"]) == 7, 30, "they are listed")
    texts = " | ".join(detail(cdc, task)["skipped_operations"])
    for part in ("CreateResourceGroup", "9999", "AlterDatabase of default", "AlterIndex of", "does not begin", "Flush has no time"):
        assert part in texts, texts
    metrics = cdc.metrics()
    assert f'milvus_cdc_skipped_operations_total{{task_id="{task}",api_type="AlterDatabase"}} 1' in metrics
    cdc.restart()
    at = channel.tell(milvus_pb2.DropAliasRequest(alias=name), common_pb2.DropAlias, times=1)
    wait_until(lambda: not aliases(collection.name), 20, "it goes on")
    assert detail(cdc, task)["skipped_operations"] == []
    wait_until(lambda: stored(cdc, task)["TS"] == at, 20, "the position is stored")
    before = stored(cdc, task)["ID"]  # what has no time moves it as well
    channel.tell_bytes(b"\xff\xff not a message")
    wait_until(lambda: detail(cdc, task)["skipped_operations"], 20, "it is listed")
    wait_until(lambda: stored(cdc, task)["ID"] != before, 20, "its position is stored")
    assert stored(cdc, task)["TS"] == at


def test_held_until_skipped(cdc, channel, source, target):
    task = cdc.create(target, extra_info={"on_unsupported_operation": "hold"})
    collection, name = simple("source", load=False), fresh("alias")
    ready(collection)
    channel.tell(milvus_pb2.DropDatabaseRequest(db_name="default"), ALTER_DATABASE, times=1)
    channel.tell(alias(name, collection.name), common_pb2.CreateAlias)

    def held() -> list:
        return [o for o in detail(cdc, task)["waiting_operations"] if o["held"]]

    wait_until(held, 30, "it is held")
    assert "AlterDatabase" in detail(cdc, task)["waits_for"] and not aliases(collection.name)
    cdc.restart()
    wait_until(held, 30, "it is still held after a restart")
    assert not aliases(collection.name)
    answer = cdc.ask("maintenance", {"operation": "skip_operation",
                                     "params": {"task_id": task, "message": held()[0]["message"]}})
    assert answer["State"].startswith("skipped operation")
    wait_until(lambda: aliases(collection.name) == [name], 20, "what stood behind it is done")
    assert len(detail(cdc, task)["skipped_operations"]) == 1
    answer = cdc.ask("maintenance", {"operation": "skip_operation", "params": {"task_id": task, "message": "AQ=="}})
    assert "no operation with this message is waiting" in answer["State"]


def properties(name: str, alias_name: str = "target") -> dict:
    return Collection(name, using=alias_name).describe().get("properties") or {}


def test_followed_from_etcd(cdc, source, target):
    """No message tells of aliases, properties and names: the source's etcd does. 2.3.5 writes properties there one
    change late, so two changes show one."""
    one, two = (simple("source", load=False) for _ in range(2))
    name = fresh("alias")
    utility.create_alias(one.name, name, using="source")
    task = cdc.create(target, {"default": [{"name": c.name, "use_start_position": True} for c in (one, two)]})
    fill(one, range(100))
    for collection in (one, two):
        ready(collection)
    wait_until(lambda: aliases(one.name) == [name], 20, "an alias from before the task")
    utility.alter_alias(two.name, name, using="source")
    wait_until(lambda: aliases(two.name) == [name] and not aliases(one.name), 20, "it has moved")
    utility.drop_alias(name, using="source")
    wait_until(lambda: not aliases(two.name), 20, "it is dropped")
    for value in (11, 12):
        one.set_properties({"collection.ttl.seconds": value})
    wait_until(lambda: properties(one.name) == {"collection.ttl.seconds": "11"}, 20, "the property is there")
    assert detail(cdc, task)["skipped_operations"] == []


def test_rename(cdc, source, target):
    """The collection stays with the task under its new name, over a restart as well; its old name is free for another;
    two may swap theirs."""
    names = [fresh() for _ in range(3)]
    cdc.create(target, {"default": [{"name": n} for n in names[:2]]})
    one, two = (simple("source", n) for n in names[:2])
    copies = [wait_collection(c.name, "target") for c in (one, two)]
    for number, collection in enumerate((one, two)):
        fill(collection, range(100 * number, 100 * number + 50))
        wait_equal(collection, copies[number])

    def rename(*pairs):
        for old, new in pairs:
            utility.rename_collection(old, new, using="source")

    rename((names[0], names[2]))
    wait_until(lambda: utility.has_collection(names[2], using="target"), 20, "it has its new name")
    assert not utility.has_collection(names[0], using="target")
    moved = Collection(names[2], using="source")
    fill(moved, range(1000, 1050))
    wait_equal(moved, Collection(names[2], using="target"))
    new = simple("source", names[0])
    fill(new, range(5))
    wait_equal(new, wait_collection(names[0], "target"))
    cdc.stop()
    rename((names[2], "swap"), (names[1], names[2]), ("swap", names[1]))
    fill(Collection(names[1], using="source"), range(2000, 2050))
    cdc.start()
    for name in names:
        ours = Collection(name, using="source")
        wait_until(lambda: utility.has_collection(name, using="target"), 20, f"{name} is there")
        wait_until(lambda: not difference(ours, name), 40, f"{name} is equal")
    assert len(Collection(names[1], using="target").query("id >= 2000", consistency_level="Strong")) == 50


def difference(ours: Collection, name: str):
    """The name on the target may pass to another collection while it is looked at."""
    try:
        return equal(ours, Collection(name, using="target"), timeout=10)
    except MilvusException as error:
        return str(error)
