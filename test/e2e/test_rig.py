"""The rig itself, on the real parts: what every other test takes for granted."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from pymilvus import MilvusException

from helpers import all_rows, all_types, count, equal, fill, simple, wait_until
from rig.process import start_time

TEST = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("varchar_pk", [False, True])
@pytest.mark.parametrize("binary", [False, True])
def test_source_answers_every_row_of_every_type(source, varchar_pk, binary):
    collection = all_types(source.name, varchar_pk=varchar_pk, binary=binary, dim=16)
    fill(collection, range(2500))
    assert len(all_rows(collection)) == count(collection) == 2500
    assert not equal(collection, collection)


def test_equal_names_what_differs(source):
    left, right = simple(source.name), simple(source.name)
    fill(left, range(10))
    fill(right, range(1, 11))
    fill(right, [1])
    left.delete("id in [5]")
    fill(left, [5], seed=1)
    text = equal(left, right)
    assert "1 rows only on the source: [0]" in text
    assert "1 rows only on the target: [10]" in text
    assert "5.v: source" in text
    assert "count(*): source 10, target 11" in text


def test_target_refuses_rows_of_users(target):
    collection = simple(target.name, load=False)
    with pytest.raises(MilvusException, match="not allowed|deny|ttMsgEnabled|standby"):
        fill(collection, range(3))


@pytest.mark.both_queues
def test_replicate_topic_exists(mq, source):
    collection = simple(source.name)
    assert source.replicate_channel in mq.topics()
    before = mq.end(source.replicate_channel)
    collection.release()
    wait_until(lambda: mq.end(source.replicate_channel) > before, 10, "the release is in the topic")


@pytest.mark.both_queues
def test_source_keeps_rows_over_kill(source):
    collection = simple(source.name)
    fill(collection, range(100))
    source.kill()
    source.start()
    wait_until(lambda: len(all_rows(collection)) == 100, 60, "the rows are back")


def test_part_stands_still_and_goes_on(rig):
    etcd = rig.part("etcd")
    etcd.pause()
    with pytest.raises(OSError):
        etcd.ready()
    etcd.resume()
    wait_until(etcd.ready, 10, "etcd answers again")


def test_mariadb(rig):
    mariadb = rig.mariadb()
    mariadb.sql("CREATE TABLE t (a INT); INSERT INTO t VALUES (7)")
    mariadb.restart()
    assert mariadb.sql("SELECT a FROM t").strip() == "7"
    rig.remove(mariadb)


def test_parts_die_with_a_killed_owner(tmp_path):
    """No test run may leave servers behind, not even one that is killed."""
    script = ("import sys, signal; from rig import Rig; rig = Rig(); rig.etcd();"
              "print(rig.state_path, flush=True); signal.pause()")
    owner = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True,
                             env=dict(os.environ, PYTHONPATH=str(TEST)))
    state = Path(owner.stdout.readline().strip())
    etcd = json.loads(state.read_text())["etcd"]
    assert start_time(etcd["pid"]) == etcd["started"]
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    wait_until(lambda: start_time(etcd["pid"]) != etcd["started"], 10, "etcd is gone")
    wait_until(lambda: not state.parent.exists(), 10, "its folder is gone")
