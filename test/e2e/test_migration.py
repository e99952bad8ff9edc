"""Data migration (replicateID) against a real target that does not know it."""

from __future__ import annotations

from helpers import fill, fresh, simple, wait_until


def test_old_target_is_explained(new_cdc, source, target):
    """Milvus 2.3.5 refuses a Replicate message with 1901: the task says which setting is wrong."""
    cdc = new_cdc({"replicateID": "r1"})
    name = fresh()
    task = cdc.create(target, {"default": [{"name": name}]})
    fill(simple("source", name, load=False), range(10))

    def text() -> str:
        return cdc.get(task).get("detail", {}).get("waits_for", "")

    wait_until(lambda: "1901" in text(), 60, "the refusal is in the task's state")
    assert "needs Milvus 2.5 with common.collectionReplicateEnable" in text()
    assert cdc.get(task)["state"] == "Running"
    cdc.delete(task)


def test_normal_instance_is_explained(new_cdc, source):
    """The source as its own target: a Milvus with ttMsgEnabled true refuses with 1900."""
    cdc = new_cdc()
    name = fresh()
    task = cdc.create(source, {"default": [{"name": name}]},
                      name_mapping=[{"source_db": "default", "target_db": "default",
                                     "collection_mapping": {name: f"{name}_copy"}}])
    fill(simple("source", name, load=False), range(10))
    wait_until(lambda: "1900" in cdc.get(task)["detail"]["waits_for"], 60, "the refusal is in the task's state")
    assert "set common.ttMsgEnabled to false on the target" in cdc.get(task)["detail"]["waits_for"]
    cdc.delete(task)
