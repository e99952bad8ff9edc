"""The command line over the API of a running server."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from helpers import fill, fresh, simple, wait_collection, wait_equal


@pytest.fixture
def cli(cdc):
    """cli(*words, code=0): a command beside the server; what it printed."""

    def run(*words: str, code: int = 0, **env: str) -> str:
        done = subprocess.run([cdc.options["binary"], *words], cwd=cdc.dir, capture_output=True, text=True, timeout=120,
                              env={**os.environ, "MILVUS_CDC_SERVER": f"http://{cdc.address}", **env})
        assert done.returncode == code, done.stdout + done.stderr
        assert "Sanitizer" not in done.stderr
        return done.stderr if code else done.stdout

    return run


def test_life_of_a_task(cli, cdc, source, target):
    name, task = fresh(), fresh("task")
    made = cli("task", "create", "--target", target.uri, "--collections", name, "--id", task)
    assert made == f"{task}\n"
    collection = simple("source", name)  # its load is replicated, too
    fill(collection, range(100))
    line = cli("task", "watch", task, "--until-lag", "5000", "--timeout", "60", "--interval", "1").splitlines()[-1]
    assert "Running" in line and "lag" in line
    wait_equal(collection, wait_collection(name, "target"))
    table = cli("task", "list").splitlines()
    assert table[0].split()[:4] == ["TASK", "STATE", "LAG", "ROWS"]
    assert any(row.split()[:2] == [task, "Running"] and target.uri in row for row in table[1:])
    assert json.loads(cli("task", "list", "--json"))["tasks"][0]["task_id"] == task
    about = cli("task", "get", task)
    assert target.uri in about and "collections        1, Running 1" in about, about
    positions = cli("task", "position", task)
    assert "source-rootcoord-dml_" in positions and positions.splitlines()[0].startswith("CHANNEL")
    assert json.loads(cli("task", "position", "--json"))["positions"]
    assert task in cli("status", "--once") and f"http://{cdc.address}" in cli("status", "--once")
    assert cli("task", "pause", task) == "done\n"
    assert cdc.get(task)["state"] == "Paused"
    assert cli("task", "pause", task, code=1) == f"milvus-cdc task pause: the task has paused, task_id: {task}\n"
    cli("task", "resume", task)
    cli("task", "delete", task)
    assert "not found" in cli("task", "get", task, code=1)
    cli("task", "delete", task, code=1)
    cli("task", "delete", task, "--ignore-not-found")
    assert cli("status", "--once").endswith("no tasks\n")


def test_request_of_a_file(cli, cdc, source, target):
    """The same request as POST /cdc takes; a finding and a warning go to standard error."""
    task = fresh("task")
    path = cdc.path("request.json")
    path.write_text(json.dumps({"request_type": "create", "request_data": {
        "task_id": task, "milvus_connect_param": {"uri": target.uri},
        "collection_infos": [{"name": "no such name"}]}}))
    assert cli("task", "create", "--request", str(path)) == f"{task}\n"
    answer = json.loads(cli("task", "create", "--request", str(path), "--json"))
    assert answer["task_id"] == task
    path.write_text("[1]")
    assert "no JSON object" in cli("task", "create", "--request", str(path), code=1)
    assert "either --request FILE or --target URI" in cli("task", "create", code=1)


def test_no_server(cli, cdc):
    """One sentence and a code of its own; without --server the configuration tells the address."""
    assert "Connection refused" in cli("task", "list", "--server", "http://127.0.0.1:1", code=3)
    assert "not as a milvus-cdc server" in cli("status", "--once", "--server", f"http://{cdc.address}/nowhere", code=3)
    assert "only http and https" in cli("task", "list", "--server", "ftp://x", code=1)
    assert cli("task", "list", "--config", str(cdc.config_path), MILVUS_CDC_SERVER="") == "no tasks\n"


def test_completion(cli, cdc):
    """Made from the table of commands, so that it knows them all."""
    script = cdc.path("completion")
    script.write_text(cli("completion"))
    ask = ('. "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _milvus_cdc; echo ${COMPREPLY[@]}')

    def complete(*words: str) -> list[str]:
        done = subprocess.run(["bash", "-c", ask, str(script), "milvus-cdc", *words], capture_output=True, text=True)
        assert done.returncode == 0 and not done.stderr, done.stderr
        return done.stdout.split()

    assert {"server", "doctor", "task", "status"} <= set(complete(""))
    assert complete("doc") == ["doctor"]
    assert complete("task", "p") == ["pause", "position"]
    assert "--until-lag" in complete("task", "watch", "--")
    assert "--outage" in complete("doctor", "--") and "--until-lag" not in complete("doctor", "--")
