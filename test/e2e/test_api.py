"""The API of a running server: the table of cases, odd requests, and many requests about one task at once."""

import http.client
import json
import threading
import time
import urllib.request
from pathlib import Path

import pytest
from pymilvus import utility

from helpers import fresh, simple, wait_collection, wait_until

CASES = [json.loads(line) for line in (Path(__file__).parents[1] / "data" / "api_cases.jsonl").read_text().splitlines()]


def raw(cdc, body: bytes, method: str = "POST", timeout: float = 60) -> tuple[int, dict]:
    """The HTTP status and the answer to a body as it is."""
    request = urllib.request.Request(cdc.uri, data=None if method == "GET" else body, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=timeout) as answer:
        text = answer.read()
        assert answer.headers["Content-Type"] == "application/json"
        assert text.endswith(b"\n")
        return answer.status, json.loads(text)


def test_table(new_cdc, source, target):
    """Every refusal with its text and code, the worked examples of exclusion, maintenance."""
    cdc = new_cdc({"maxNameLength": 20})
    wrong = []
    for case in (c for c in CASES if "title" not in c and "fake" not in c):
        body = case["send"] if "send" in case else \
            '{"request_type":"%s","request_data":%s}' % (case["type"], case["data"])
        body = body.replace("@URI@", target.uri).replace("@CHANNEL@", source.replicate_channel)
        status, answer = raw(cdc, body.encode(), case.get("method", "POST"))
        good = status == 200 and answer.get("code") == case["code"]
        if "warnings" not in (case.get("answer") or {}):
            (answer.get("data") or {}).pop("warnings", None)  # they depend on the source and the target
        if "like" in case:
            good = good and answer.get("message", "").startswith(case["like"])
        else:
            good = good and answer.get("message") == case.get("message") and answer.get("data") == case.get("answer")
        if not good:
            wrong.append(f"{body}\n  got  {answer}\n  want {case}")
    assert not wrong, "\n".join(wrong[:5])
    assert cdc.list() == []


def test_odd_bodies(cdc):
    """Nothing a client sends ends the server or hides the answer."""
    for body in (b"\xff\xfe", b'{"request_type":"get","request_data":{"task_id":"\xff"}}', b"\x00", b"[" * 100000,
                 b'{"request_type":"list","request_data":' + b'{"a":' * 5000 + b"1" + b"}" * 5001,
                 b'{"request_type":"list","request_data":{"a":[' + b"1," * 300000 + b"1]}}"):
        status, answer = raw(cdc, body)
        assert (status, answer["code"]) == (200, 500)
        assert answer["message"].startswith("fail to unmarshal the request, error: ")
    # one object deep, under the limits
    assert raw(cdc, b'{"request_type":"list","request_data":{"a":' + b"[" * 1000 + b"]" * 1000 + b"}}")[1]["code"] == 200
    # 4 MiB is the limit; its sender gets an answer
    with pytest.raises(urllib.error.HTTPError) as refused:
        raw(cdc, b'{"request_type":"list","request_data":{"a":"' + b"x" * (5 << 20) + b'"}}')
    assert refused.value.code == 413
    assert json.load(refused.value) == {"code": 413, "message": "the request body is larger than 4 MiB"}
    # a client that goes away in the middle
    host, port = cdc.address.split(":")
    gone = http.client.HTTPConnection(host, int(port), timeout=10)
    gone.putrequest("POST", "/cdc")
    gone.putheader("Content-Length", "1000")
    gone.endheaders()
    gone.send(b'{"request_type"')
    gone.close()
    with pytest.raises(urllib.error.HTTPError) as missing:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(cdc.uri + "x", timeout=10)
    assert missing.value.code == 404
    assert cdc.list() == []


def test_what_the_reference_client_expects(cdc, source, target):
    """HTTP 200 always; get and list carry data, a missing task none; states change with the answer."""
    connect = {"uri": target.uri, "token": "root:Milvus", "connect_timeout": 10}
    task = cdc.ask("create", {"milvus_connect_param": connect, "collection_infos": [{"name": fresh()}],
                              "rpc_channel_info": {"name": source.replicate_channel}})["task_id"]
    assert len(task) == 32
    assert cdc.post("get", {"task_id": task})["data"]["task"]["state"] == "Running"
    assert [t["task_id"] for t in cdc.post("list")["data"]["tasks"]] == [task]
    shown = json.dumps([cdc.get(task), cdc.list()])
    assert "Milvus" not in shown and "token" not in shown and "password" not in shown
    assert cdc.post("pause", {"task_id": task}) == {"code": 200}
    assert cdc.get(task)["state"] == "Paused"
    assert cdc.get(task)["reason"] == "manually pause through http interface"
    assert cdc.post("resume", {"task_id": task}) == {"code": 200}
    assert cdc.get(task)["state"] == "Running" and "reason" not in cdc.get(task)
    position = cdc.position(task)
    assert set(position) == {"positions", "op_positions", "target_positions"}
    assert cdc.post("delete", {"task_id": task}) == {"code": 200}
    assert "data" not in cdc.post("get", {"task_id": task})
    assert cdc.post("list") == {"code": 200, "data": {"tasks": []}}


def test_one_task_from_many_sides(cdc, source, target):
    """create, pause, resume, delete, get, list, position of one task at once: each answer is one that some order of
    the requests could give, and the server is whole afterwards."""
    name = fresh()
    data = {"milvus_connect_param": {"uri": target.uri, "connect_timeout": 10}, "task_id": "many",
            "db_collections": {"default": [{"name": name}]}}
    allowed = {"create": {"", "duplicate"}, "pause": {"", "the task has paused", "not found the task"},
               "resume": {"", "the task has running", "not found the task"}, "delete": {"", "not found the task"},
               "get": {"", "not found: [many]"}, "list": {""}, "position": {""}}
    odd, slowest = [], {}

    def ask(kind: str):
        begin = time.monotonic()
        answer = cdc.post(kind, data if kind == "create" else {"task_id": "many"})
        slowest[kind] = max(slowest.get(kind, 0), time.monotonic() - begin)
        text = answer.get("message", "")
        if not any(part in text if part else not text for part in allowed[kind]):
            odd.append((kind, answer))

    def run(number: int):
        kinds = ["create", "pause", "resume", "get", "list", "position", "delete"]
        for turn in range(12):
            ask(kinds[(turn * 3 + number) % len(kinds)])

    threads = [threading.Thread(target=run, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not any(thread.is_alive() for thread in threads)
    assert not odd
    cdc.post("delete", {"task_id": "many", "ignore_not_found": True})
    cdc.ask("create", data)
    collection = simple("source", name)
    assert wait_collection(name, "target").schema.fields[0].name == collection.schema.fields[0].name
    text = cdc.metrics()
    assert 'milvus_cdc_task_num{task_state="Running"} 1' in text
    cdc.delete("many")


def test_nobody_waits_for_a_pause(new_cdc, rig, source, target):
    """While a task whose target has gone is being paused, get, list, metrics and other tasks answer at once."""
    cdc = new_cdc()
    other = rig.milvus("target3", target=True, dml_channels=4)
    try:
        name = fresh()
        stuck = cdc.create(other, {"default": [{"name": name}]})
        fine = cdc.create(target, {"default": [{"name": fresh()}]})
        other.connect()
        simple("source", name, load=False)
        wait_until(lambda: utility.has_collection(name, using="target3"), 30, "it exists on the other target")
        other.kill()
        pause = threading.Thread(target=lambda: cdc.pause_task(stuck))
        pause.start()
        slowest = 0.0
        while pause.is_alive() or not slowest:
            begin = time.monotonic()
            assert len(cdc.list()) == 2
            cdc.get(stuck)
            cdc.get(fine)
            cdc.position(fine)
            cdc.metrics()
            slowest = max(slowest, time.monotonic() - begin)
        pause.join(60)
        assert slowest < 1.5
        assert cdc.get(stuck)["state"] == "Paused"
        cdc.delete(stuck)
        assert len(cdc.list()) == 1
    finally:
        rig.remove(other)
