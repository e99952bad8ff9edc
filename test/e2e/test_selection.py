"""Which collections a task takes, what they are called on the target, where their rows go."""

import re

import pytest
from pymilvus import Collection, Partition, connections, db, utility

from helpers import all_rows, fill, fresh, simple, wait_collection, wait_equal, wait_until
from rig.server import ApiError


def there(name: str, alias: str = "target") -> bool:
    return utility.has_collection(name, using=alias)


def in_db(alias: str, name: str) -> str:
    """An alias of the same server that works in database `name`."""
    made = f"{alias}/{name}"
    connections.connect(made, db_name=name, **{k: v for k, v in connections.get_connection_addr(alias).items()
                                               if k in ("address", "uri", "token", "user", "password")})
    return made


@pytest.fixture
def databases(source, target):
    """A maker of databases at the source; gone on both sides at the end."""
    made = []

    def make(*names):
        for name in names:
            db.create_database(name, using="source")
            made.append(name)
        return [in_db("source", name) for name in names]

    yield make
    for name in made:
        for alias in ("source", "target"):
            if name not in db.list_database(using=alias):
                continue
            inside = in_db(alias, name)
            for collection in utility.list_collections(using=inside):
                utility.drop_collection(collection, using=inside)
            db.drop_database(name, using=alias)
            connections.disconnect(inside)


def test_several_entries_and_a_wide_task(cdc, source, target):
    """Lists of names; a wide task leaves out what the narrow one does, for good, and says so."""
    a, b, other = fresh(), fresh(), fresh()
    narrow = cdc.create(target, {"default": [{"name": a}, {"name": b}]})
    for name in (a, b, other):
        simple("source", name, load=False)
    wait_until(lambda: there(a) and there(b), 30, "both names are there")
    assert not there(other)
    wide = cdc.create(target, {"default": [{"name": "*"}]})
    assert sorted(cdc.get(wide)["detail"]["excluded"]) == sorted([f"default.{a}", f"default.{b}"])
    later = simple("source", load=False).name
    wait_until(lambda: there(later), 30, "the wide task takes new ones")
    fill(Collection(a, using="source"), range(50))
    Collection(a, using="source").create_index("v", {"index_type": "FLAT", "metric_type": "L2", "params": {}})
    Collection(a, using="source").load()
    wait_equal(Collection(a, using="source"), wait_collection(a, "target"))
    cdc.delete(narrow)
    assert f"default.{a} ({wide})" in cdc.log_tail(200)
    again = cdc.create(target, {"default": [{"name": a}]})
    fill(Collection(a, using="source"), range(100, 150))
    wait_equal(Collection(a, using="source"), wait_collection(a, "target"))
    for task in (again, wide):
        cdc.delete(task)


def test_name_mapping(cdc, source, target, databases):
    """Exact pair, then database pair, then identity, whatever stands first."""
    one, two = fresh("db"), fresh("db")
    inside_one, inside_two = databases(one, two)
    moved = f"{one}_moved"
    task = cdc.create(target, {one: [{"name": "*"}], two: [{"name": "*"}]}, name_mapping=[
        {"source_db": one, "target_db": moved},
        {"source_db": one, "target_db": two, "collection_mapping": {"special": "renamed"}}])
    try:
        plain, special = simple(inside_one, "plain"), simple(inside_one, "special")
        same = simple(inside_two, "same")
        for collection in (plain, special, same):
            fill(collection, range(40))
        wait_until(lambda: {moved, two} <= set(db.list_database(using="target")), 30, "the databases are there")
        assert one not in db.list_database(using="target")
        into_moved, into_two = in_db("target", moved), in_db("target", two)
        wait_equal(plain, wait_collection("plain", into_moved))
        wait_equal(special, wait_collection("renamed", into_two))
        wait_equal(same, wait_collection("same", into_two))
        assert not there("special", into_moved)
        # a name that a mapped one has: the later collection says so, and goes on when it is free and the task resumed
        simple(inside_two, "renamed", load=False)
        taken = f"the target name {two}.renamed is that of the source's {one}.special already"
        wait_until(lambda: taken in cdc.get(task)["detail"]["waits_for"], 30, "it says why it can't be")
        special.drop()
        wait_until(lambda: not there("renamed", into_two), 60, "the name is free")
        cdc.pause_task(task)
        cdc.resume_task(task)
        wait_until(lambda: there("renamed", into_two), 30, "it is there")
        for name, alias in (("plain", inside_one), ("same", inside_two), ("renamed", inside_two)):
            utility.drop_collection(name, using=alias)
        db.drop_database(one, using="source")
        wait_until(lambda: moved not in db.list_database(using="target"), 60, "the mapped database is dropped")
    finally:
        cdc.delete(task)


def test_names_of_two_tasks_that_meet(cdc, source, target, databases):
    """Refused at create by names or by the catalog; a later collection is Failed and says what to do."""
    d = fresh("db")
    [inside] = databases(d)

    def create(name, **to):
        mapping = [{"source_db": d, "target_db": d, "collection_mapping": to}] if to else []
        return cdc.create(target, {d: [{"name": name}]}, name_mapping=mapping)

    first = simple(inside, "one", load=False)
    task = create("one", one="to")
    first.create_index("v", {"index_type": "FLAT", "metric_type": "L2", "params": {}})
    first.load()
    with pytest.raises(ApiError, match=f"{d}.two and {d}.one of the task {task} would both be {d}.to"):
        create("two", two="to")
    with pytest.raises(ApiError, match=f"{d}.to and {d}.one of the task {task}"):
        create("to")
    # behind a "*" only the catalog can tell; "to" does not exist yet, then it does
    wide = create("*")
    later, other = simple(inside, "to", load=False), simple(inside, "three")
    wait_until(lambda: f"the target name {d}.to is that of the source's {d}.one already"
               in cdc.get(wide)["detail"]["waits_for"], 30, "the later one is Failed")
    for collection in (first, other):
        fill(collection, range(50))
    into = in_db("target", d)
    wait_equal(first, wait_collection("to", into))
    wait_equal(other, wait_collection("three", into))
    cdc.delete(wide)
    with pytest.raises(ApiError, match="of the source would both be"):
        create("*")
    later.drop()
    wide = wait_until(lambda: create("*"), 20, "the name is free")
    for one in (task, wide):
        cdc.delete(one)


def test_database_of_a_narrow_task_comes_back(cdc, source, target, databases):
    """The task covers a part of it, so its drop is not ours; its next generation does not wait for that. Dropped and
    made anew while the server runs, and while it is down."""
    name, one, other = fresh("db"), fresh(), fresh()
    (inside,) = databases(name)
    task = cdc.create(target, {name: [{"name": one}]})
    fill(simple(inside, one, load=False), range(10))
    wait_until(lambda: cdc.get(task)["detail"]["rows_written"] == 10, 30, "the first one's rows are there")
    theirs = in_db("target", name)
    simple(theirs, other, load=False)  # not ours: it stays

    def again(rows: int) -> None:
        utility.drop_collection(one, using=inside)
        db.drop_database(name, using="source")
        db.create_database(name, using="source")
        fill(simple(inside, one, load=False), range(rows))

    def id_there() -> int:
        return Collection(one, using=theirs).describe()["collection_id"]

    first = id_there()
    again(20)
    wait_until(lambda: cdc.get(task)["detail"]["rows_written"] == 30, 40, "so are the second one's")
    second = id_there()
    assert second != first
    cdc.stop()
    again(30)
    cdc.start()
    wait_until(lambda: cdc.get(task)["detail"]["rows_written"] == 30, 40, "and the third one's")
    assert id_there() != second and there(other, theirs)


@pytest.mark.parametrize("numbers", [(4, 16), (16, 4)])
def test_channel_numbers_differ(new_cdc, rig, source, target, numbers):
    """Shard i goes to shard i whatever the numbers of DML channels; channel_num changes nothing."""
    few = rig.milvus("few", target=numbers[1] == 4, dml_channels=4)
    try:
        few.connect()
        cdc = new_cdc({"sourceConfig": {"channelNum": numbers[0]}}, source=few if numbers[0] == 4 else source)
        alias, to = ("few", target) if numbers[0] == 4 else ("source", few)
        task = cdc.create(to, {"default": [{"name": "*"}]}, milvus_connect_param={"channel_num": numbers[1]})
        collections = [simple(alias, shards_num=shards) for shards in (1, 3, 4)]
        for collection in collections:
            fill(collection, range(300))
            collection.delete("id in [1, 2, 3]")
        for collection in collections:
            wait_equal(collection, wait_collection(collection.name, to.name, timeout=60), timeout=60)
        assert re.search("these settings have no effect: .*sourceConfig.channelNum", cdc.log_path.read_text())
        cdc.delete(task)
    finally:
        connections.disconnect("few")
        rig.remove(few)


def test_ignore_partition(cdc, source, target):
    """No partition is made or dropped; rows of one the target lacks go to its default partition."""
    name = fresh()
    task = cdc.create(target, {"default": [{"name": name}]}, milvus_connect_param={"ignore_partition": True})
    collection = simple("source", name)
    Partition(collection, "p1")
    collection.insert([[1, 2, 3], [[float(k)] * 8 for k in (1, 2, 3)]], partition_name="p1")
    fill(collection, range(100, 150))
    collection.delete("id in [2]", partition_name="p1")
    copy = wait_collection(name, "target")
    wait_equal(collection, copy)
    assert [p.name for p in copy.partitions] == ["_default"]
    collection.release()
    collection.drop_partition("p1")
    collection.load()
    fill(collection, range(200, 220))
    wait_until(lambda: len(all_rows(copy)) == 72, 40, "rows after the drop are there, those of p1 stay")
    cdc.delete(task)


def test_dry_run(new_cdc, source, target):
    """Everything is read, nothing is written, also no position: a real run afterwards begins where the task began."""
    name = fresh()
    cdc = new_cdc({"dryRun": True})
    task = cdc.create(target, {"default": [{"name": name}]})
    collection = simple("source", name)
    fill(collection, range(100))
    wait_until(lambda: cdc.get(task)["detail"]["rows_written"] >= 100, 30, "the rows went through")
    assert cdc.get(task)["detail"]["dry_run"] is True
    assert not there(name)
    text = cdc.log_path.read_text()
    assert f"dry run, not done: create collection default.{name}" in text
    assert "dry run, not done: LoadCollection" in text
    cdc.stop()
    cdc.options["config"] = {}
    cdc.start()
    wait_equal(collection, wait_collection(name, "target"))
    cdc.delete(task)
