"""Tasks: which collections, from where on, pause, resume, delete, several of them, restart of the server."""

import threading

import pytest
from pymilvus import Collection, connections, db, utility

from helpers import fill, fresh, rows_of, simple, wait_collection, wait_equal, wait_until

pytestmark = pytest.mark.both_queues


def only(name: str) -> dict:
    return {"default": [{"name": name}]}


def absent(name: str, alias: str = "target") -> bool:
    return not utility.has_collection(name, using=alias)


def serve(collection: Collection) -> Collection:
    """Indexes and loads it anew, so that a task that began after its creation is told; its loaded copy."""
    wait_until(lambda: not absent(collection.name), 20, "it exists on the target")
    collection.create_index("v", {"index_type": "FLAT", "metric_type": "L2", "params": {}})
    collection.load()
    return wait_collection(collection.name, "target")


class Load:
    """Inserts, upserts and deletes on a collection until stopped."""

    def __init__(self, collection: Collection, first: int = 10**6):
        self.collection, self.key, self.error = collection, first, None
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        try:
            while not self.stopping.is_set():
                keys = range(self.key, self.key + 50)
                fill(self.collection, keys)
                self.collection.upsert(list(rows_of(self.collection, keys[10:20], seed=self.key)))
                self.collection.delete(f"id in {list(keys[:5])}")
                self.key += 50
                self.stopping.wait(0.02)
        except Exception as error:  # shown by stop()
            self.error = error

    def stop(self) -> int:
        self.stopping.set()
        self.thread.join()
        if self.error:
            raise self.error
        return self.key


def test_states(cdc, source, target):
    name = fresh()
    task = cdc.create(target, only(name))
    assert cdc.get(task)["state"] == "Running"
    assert [t["task_id"] for t in cdc.list()] == [task]
    cdc.pause_task(task)
    assert cdc.get(task)["state"] == "Paused"
    answer = cdc.post("pause", {"task_id": task})
    assert answer == {"code": 400, "message": "fail to handle the pause request, error: the task has paused, "
                      f"task_id: {task}"}
    cdc.resume_task(task)
    assert cdc.get(task)["state"] == "Running"
    cdc.delete(task)
    assert cdc.post("get", {"task_id": task})["message"] == f"fail to handle the get request, error: not found: [{task}]"
    assert cdc.list() == []


def test_pause_and_resume(cdc, source, target):
    collection = simple("source", load=False)
    task = cdc.create(target, only(collection.name))
    copy = serve(collection)
    fill(collection, range(100))
    wait_equal(collection, copy)
    cdc.pause_task(task)
    before = cdc.position(task)["positions"]
    fill(collection, range(100, 300))
    collection.delete("id in [1, 2, 3]")
    assert cdc.position(task)["positions"] == before
    cdc.resume_task(task)
    wait_equal(collection, copy)


def test_existing_rows(cdc, source, target):
    """Without a position a task starts at the end; with use_start_position at the collection's creation."""
    collection = simple("source", load=False)
    fill(collection, range(100))
    cdc.create(target, only(collection.name))
    copy = serve(collection)
    fill(collection, range(1000, 1010))
    wait_until(lambda: len(copy.query("id >= 1000", consistency_level="Strong")) == 10, 20, "new rows are there")
    assert copy.query("id < 1000", consistency_level="Strong") == []
    whole = simple("source", load=False)
    fill(whole, range(100))
    cdc.create(target, {"default": [{"name": whole.name, "use_start_position": True}]})
    wait_equal(whole, serve(whole))


def test_positions_of_one_task_start_another(cdc, source, target):
    """What `position` answers can be given to `create`. What the first task did beyond is done again, not twice."""
    collection = simple("source", load=False)
    first = cdc.create(target, {"default": [{"name": collection.name, "use_start_position": True}]})
    copy = serve(collection)
    fill(collection, range(100))
    wait_equal(collection, copy)
    cdc.pause_task(first)
    place = next(p for p in cdc.position(first)["positions"] if p["collection_id"] > 0)
    cdc.resume_task(first)
    fill(collection, range(100, 150))
    wait_equal(collection, copy)
    cdc.delete(first)
    fill(collection, range(150, 200))
    vchannel = f"{place['channel_name']}_{place['collection_id']}v0"
    selection = {"default": [{"name": collection.name, "positions": {vchannel: place["msg_id"]}}]}
    second = cdc.create(target, selection)
    wait_equal(collection, copy)
    # exact: the row of its own time and those before are not sent again
    assert cdc.get(second)["detail"]["rows_written"] == 100


def test_wildcard_of_collection_infos_warns(cdc, source, target):
    name = fresh("db")
    db.create_database(name, using="source")
    try:
        data = {"milvus_connect_param": {"uri": target.uri, "connect_timeout": 10},
                "collection_infos": [{"name": "*"}]}
        answer = cdc.ask("create", data)
        assert answer["task_id"]
        assert any(name in text and "db_collections" in text for text in answer["warnings"])
    finally:
        db.drop_database(name, using="source")


def test_two_tasks_to_one_target(cdc, source, target):
    """Each its own collection; pausing one does not touch the other."""
    one, two = simple("source", load=False), simple("source", load=False)
    tasks = [cdc.create(target, {"default": [{"name": c.name, "use_start_position": True}]}) for c in (one, two)]
    copies = [serve(collection) for collection in (one, two)]
    for collection, copy in zip((one, two), copies):
        fill(collection, range(100))
        wait_equal(collection, copy)
    cdc.pause_task(tasks[0])
    fill(one, range(100, 150))
    fill(two, range(100, 150))
    wait_equal(two, copies[1])
    assert copies[0].query("id >= 100", consistency_level="Strong") == []
    cdc.delete(tasks[1])
    cdc.resume_task(tasks[0])
    wait_equal(one, copies[0])


def test_one_source_to_two_targets(cdc, rig, source, target):
    other = rig.milvus("target2", target=True, dml_channels=4)
    try:
        other.connect()
        for part in (target, other):
            cdc.create(part)
        collection = simple("source", shards_num=2)
        fill(collection, range(500))
        collection.delete("id in [7, 8]")
        for alias in ("target", "target2"):
            wait_equal(collection, wait_collection(collection.name, alias))
    finally:
        connections.disconnect("target2")
        rig.remove(other)


def test_drop_and_create_under_backlog(cdc, source, target):
    name = fresh()
    task = cdc.create(target, only(name))
    old = simple("source", name)
    fill(old, range(200))
    wait_equal(old, wait_collection(name, "target"))
    cdc.pause_task(task)
    fill(old, range(200, 400))
    old.drop()
    new = simple("source", name, dim=16)
    fill(new, range(5000, 5100))
    middle = fresh()
    short = simple("source", middle)
    short.drop()
    cdc.resume_task(task)
    wait_until(lambda: not absent(name) and
               Collection(name, using="target").schema.fields[1].params["dim"] == 16, 30, "the new one is there")
    wait_equal(new, wait_collection(name, "target"))
    assert absent(middle)


@pytest.mark.parametrize("how", ["stop", "kill", "kill and stop"])
def test_restart_under_load(cdc, source, target, how):
    """A clean stop leaves no window; a killed server replays its window with deletes in front, also when it is
    stopped before the window is over."""
    name = fresh()
    task = cdc.create(target, only(name))
    collection = simple("source", name, shards_num=2)
    load = Load(collection)
    copy = wait_collection(name, "target")
    for turn in range(3):
        wait_until(lambda: load.key > 10**6 + 500 * (turn + 1), 60, "the load goes on")
        cdc.stop() if how == "stop" else cdc.kill()
        cdc.start()
        if how == "kill and stop":
            cdc.restart()
    load.stop()
    wait_equal(collection, copy, timeout=60)
    assert cdc.get(task)["state"] == "Running"


def test_stopped_before_the_window_began(cdc, source, target):
    """The run after a kill ends before a stream of it started: the next one has the whole window still."""
    name = fresh()
    cdc.create(target, only(name))
    collection = simple("source", name)
    copy = wait_collection(name, "target")
    fill(collection, range(100))
    wait_equal(collection, copy)
    cdc.restart()  # its record says how far it had sent, which is not to be taken for what comes
    load = Load(collection)
    wait_until(lambda: load.key > 10**6 + 500, 60, "the load goes on")
    cdc.kill()
    target.pause()
    try:
        cdc.start()
        wait_until(lambda: "ended uncleanly" in cdc.log_tail(20), 30, "the task runs")
        assert cdc.stop()
    finally:
        target.resume()
    cdc.start()
    load.stop()
    wait_equal(collection, copy, timeout=60)


def test_user_pause_survives_a_restart(cdc, source, target):
    paused, running = (cdc.create(target, only(fresh())) for _ in range(2))
    cdc.pause_task(paused)
    cdc.restart()
    wait_until(lambda: len(cdc.list()) == 2, 10, "the tasks are loaded")
    assert cdc.get(paused)["state"] == "Paused"
    assert cdc.get(running)["state"] == "Running"


def test_etcd_metastore(new_cdc, rig, source, target):
    """Tasks and positions in etcd, in the reference's layout; a server that starts on them carries on."""
    root = fresh("store")
    store = {"metaStoreConfig": {"storeType": "etcd", "etcd": {"address": [rig.part("etcd").address]},
                                 "rootPath": root}}
    server = new_cdc(store)
    name = fresh()
    task = server.create(target, only(name))
    collection = simple("source", name)
    fill(collection, range(100))
    copy = wait_collection(name, "target")
    wait_equal(collection, copy)
    server.stop()
    fill(collection, range(100, 200))
    again = new_cdc(store)
    wait_until(lambda: [t["task_id"] for t in again.list()] == [task], 10, "the task is loaded")
    wait_equal(collection, copy)
    again.delete(task)
    assert again.list() == []
