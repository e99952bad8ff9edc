"""Names that change while nobody looks: the server is down, its task is paused, or it was killed between a call and
its record. What was done under an old name reaches the collection that had it then."""

import pytest
from pymilvus import Collection, utility

from helpers import fill, fresh, simple, wait_collection, wait_equal, wait_until
from test_crash import has_failpoints

FLAT = {"index_type": "FLAT", "metric_type": "L2", "params": {}}


def selection(*names: str) -> dict:
    return {"default": [{"name": name} for name in names]}


def rename(*pairs) -> None:
    for old, new in pairs:
        utility.rename_collection(old, new, using="source")


def serve(name: str) -> None:
    """Indexes and loads it under the name it has now."""
    collection = Collection(name, using="source")
    collection.create_index("v", FLAT)
    collection.load()


def test_operations_before_a_rename(cdc, source, target):
    """Index and load are told by the name of their time; the collections are found by what etcd keeps of names."""
    new, late, left, right, swap, old = (fresh(n) for n in ("new", "late", "left", "right", "swap", "old"))
    task = cdc.create(target, selection(new, late, left, right))
    for name in (left, right):
        fill(simple("source", name, load=False), range(10) if name == left else range(100, 110))
        wait_collection(name, "target", loaded=False)
    cdc.stop()
    fill(simple("source", old), range(20))
    rename((old, new), (left, swap), (right, left))
    serve(left)  # what was right's
    rename((swap, right))
    cdc.start()
    for name in (new, left):
        wait_equal(Collection(name, using="source"), wait_collection(name, "target", timeout=60))
    assert len(Collection(left, using="target").query("id >= 100", consistency_level="Strong")) == 10
    assert not Collection(right, using="target").has_index(), "it was the other one's"
    cdc.pause_task(task)
    fill(simple("source", old), range(30))
    rename((old, late))
    cdc.resume_task(task)
    wait_equal(Collection(late, using="source"), wait_collection(late, "target", timeout=60))
    assert cdc.get(task)["detail"]["skipped_operations"] == []


def test_made_again_while_etcd_is_away(new_cdc, rig, source, target):
    """Index and load of the new one come before the catalog shows it. They wait, and are not taken for the old one's."""
    proxy = rig.proxy("catalog", rig.part("etcd").address)
    cdc = new_cdc({"sourceConfig": {"etcd": {"address": [proxy.address]}}})
    name = fresh()
    task = cdc.create(target, selection(name))
    old = simple("source", name)
    fill(old, range(10))
    wait_equal(old, wait_collection(name, "target"))
    proxy.refuse()
    old.drop()
    again = simple("source", name)
    fill(again, range(100, 130))
    wait_until(lambda: not utility.has_collection(name, using="target"), 40, "the old one is dropped on the target")
    wait_until(lambda: any(text in str(cdc.get(task)) for text in (
        f"collection {name}, which the source's catalog does not show", f"tells whether {name} is still")), 40,
        "its index waits for it")
    proxy.heal()
    wait_equal(again, wait_collection(name, "target", timeout=60))
    assert cdc.get(task)["detail"]["skipped_operations"] == []
    cdc.delete(task)
    rig.remove(proxy)


@pytest.mark.skipif(not has_failpoints(), reason="a build without failpoints")
def test_killed_between_create_and_record(cdc, source, target):
    """What a killed server had just created is found again though its name was used anew, or its source is gone."""
    name, other = fresh(), fresh()
    cdc.create(target, selection(name, other))

    def die_creating() -> None:
        cdc.options["env"] = {"MILVUS_CDC_FAILPOINT": "target.create_collection.after:1:kill"}
        cdc.restart()
        simple("source", name)
        wait_until(lambda: not cdc.alive(), 30, "it is killed behind the creation")
        cdc.options["env"] = {}

    die_creating()
    rename((name, other))
    fill(Collection(other, using="source"), range(20))
    fill(simple("source", name, varchar_pk=True), range(100, 130))
    cdc.restart()
    for each in (other, name):  # the name is the other one's until that is renamed
        wait_equal(Collection(each, using="source"), wait_collection(each, "target", timeout=60))
    utility.drop_collection(name, using="source")
    wait_until(lambda: not utility.has_collection(name, using="target"), 30, "it is dropped")

    die_creating()
    utility.drop_collection(name, using="source")
    fill(simple("source", name), range(200, 230))
    cdc.restart()
    wait_equal(Collection(name, using="source"), wait_collection(name, "target", timeout=60))
