"""The status page in a real browser: what it shows, and what can be done with it by keyboard alone.

The pictures are left in build/results, to be looked at.
"""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from browser import Browser
from helpers import fill, fresh, simple, wait_until
from queues import channels_of
from rig.server import REPOSITORY
from test_doctor import position, vchannel

pytestmark = pytest.mark.only_queue("kafka")

PICTURES = REPOSITORY / "build/results"
HOSTILE = "<img src=x onerror=window.hit=1>\"'><script>window.hit=1</script>"


@pytest.fixture(scope="module")
def browser():
    browser = Browser()
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def world(rig, source, target):
    """A server with a task that runs, one that rests, and one whose start the queue does not hold."""
    cdc = rig.cdc(source, name="cdc-page")
    flows, rests, fails = (simple("source", load=False, shards_num=2) for _ in range(3))
    cdc.create(target, {"default": [{"name": flows.name}]}, task_id="flows")
    cdc.create(target, {"default": [{"name": rests.name}]}, task_id="rests")
    cdc.pause_task("rests")
    beyond = position(channels_of(source, fails)[0], 10**12)
    lost = {"name": fails.name, "positions": {vchannel(source, fails): beyond}}
    cdc.create(target, {"default": [lost]}, task_id="fails")
    cdc.create(target, {"default": [{"name": fresh()}]}, task_id=HOSTILE)
    fill(flows, range(1000))
    wait_until(lambda: cdc.get("flows")["detail"]["rows_written"] >= 1000, 60, "the rows are written")
    wait_until(lambda: "Failed" in cdc.get("fails")["detail"]["waits_for"], 60, "the collection has failed")
    yield SimpleNamespace(cdc=cdc, flows=flows, fails=fails)
    assert cdc.stop() and not cdc.findings(), cdc.findings()
    rig.remove(cdc)


def card(task: str) -> str:
    """Script: the card of a task."""
    return f"[...document.querySelectorAll('.task')].find(c => c.querySelector('h2').textContent === {json.dumps(task)})"


def says(browser: Browser, task: str, what: str) -> None:
    browser.wait(f"{card(task)} && {card(task)}.innerText.includes({json.dumps(what)})", f"{task} shows {what}")


@pytest.fixture
def page(browser, world):
    browser.messages.clear()
    browser.screen(1280, 900, dark=False)
    browser.open(f"http://{world.cdc.address}/")
    browser.wait("document.querySelectorAll('.task').length === 4", "all tasks are shown")
    yield browser
    assert browser.messages == []


def test_what_it_shows(page, world):
    says(page, "flows", "Running")
    says(page, "rests", "manually pause")
    assert world.cdc.get("rests")["detail"]["lag_ms"] is None  # nothing was acknowledged: not a lag of 0
    says(page, "rests", "not known")
    says(page, "fails", "failed")
    says(page, "fails", world.fails.name)
    says(page, "fails", "10")  # the gap, with its numbers
    page.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    says(page, "flows", "Acknowledged")
    rows = page.wait(f"[...({card('flows')}).querySelectorAll('tbody tr')].map(r => [...r.cells].map(d => d.textContent))"
                     ".filter(r => /[0-9]:[0-9]/.test(r[1]) && /all of it|behind/.test(r[2]) && /all of it|behind/.test(r[3]))",
                     "three watermarks a channel")
    assert len(rows) == 2 and all("rootcoord-dml" in row[0] for row in rows), rows
    fill(world.flows, range(1000, 3000))
    page.wait(f"/[1-9].* rows\\/s/.test({card('flows')}.innerText)", "the throughput moves")
    page.wait(f"({card('flows')}).querySelector('svg .line').getAttribute('d').split('L').length > 2", "the chart grows")
    page.picture(PICTURES / "page-wide-light.png")
    page.screen(1280, 900, dark=True)
    page.picture(PICTURES / "page-wide-dark.png")


def test_on_a_phone(page):
    page.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    for dark in (True, False):
        page.screen(360, 740, dark=dark)
        page.wait("innerWidth === 360 && document.documentElement.scrollWidth <= 360", "nothing is wider than the screen")
        page.picture(PICTURES / f"page-phone-{'dark' if dark else 'light'}.png", whole=dark)
    colours = []
    for dark in (True, False):
        page.screen(360, 740, dark=dark)
        colours.append(page.run("getComputedStyle(document.body).backgroundColor"))
    assert colours[0] != colours[1]


def reach(page: Browser, what: str) -> None:
    """Tab until the focus is on the element with this label or text."""
    for _ in range(60):
        page.key("Tab")
        if page.run("(document.activeElement.ariaLabel || document.activeElement.textContent)") == what:
            return
    raise AssertionError(f"Tab never comes to {what}")


def test_pause_and_resume_by_keyboard(page, world):
    state = lambda: world.cdc.get("flows")["state"]
    reach(page, "Pause task flows")
    page.key("Enter")
    page.wait("document.getElementById('ask').open", "it asks")
    assert "Pause flows?" in page.text()
    assert page.run("document.activeElement.textContent") == "Cancel"
    page.picture(PICTURES / "page-ask.png")
    page.key("Escape")
    page.wait("!document.getElementById('ask').open", "Escape means no")
    assert state() == "Running"
    assert page.run("document.activeElement.ariaLabel") == "Pause task flows"  # back where it was
    page.key("Enter")
    page.key("Enter")  # on Cancel
    assert state() == "Running"
    for verb, after in (("Pause", "Paused"), ("Resume", "Running")):
        assert page.wait(f"document.activeElement.ariaLabel === '{verb} task flows'", "the button follows the state")
        page.key(" ")
        reach(page, verb)
        page.key("Enter")
        says(page, "flows", after)
        page.wait("!document.getElementById('ask').open", "the question is gone")
        assert state() == after


def test_an_answer_that_is_no(page, world):
    """Somebody else was faster: the page says what the server says."""
    page.run(f"({card('flows')}).querySelector('button').click()")
    world.cdc.pause_task("flows")
    page.run("document.getElementById('ask-yes').click()")
    page.wait("document.getElementById('ask-why').textContent.includes('the task has paused')", "it says why")
    page.key("Escape")
    world.cdc.resume_task("flows")
    says(page, "flows", "Running")


def test_doctor(page):
    page.run("document.getElementById('look').click()")
    page.wait("document.getElementById('doctor').innerText.includes('DOC-')", "the doctor has looked", timeout=120)
    assert "DOC-QUEUE-GONE" in page.text() and "Fix: " in page.text()
    page.picture(PICTURES / "page-doctor.png")


def test_hostile_names(page):
    """A task with such an id is there; here everything else is hostile as well."""
    says(page, HOSTILE, HOSTILE)
    task = {"task_id": "evil", "state": HOSTILE, "target": HOSTILE, "reason": HOSTILE, "waits_for": HOSTILE, "lag_ms": HOSTILE,
            "collection_states": {HOSTILE: HOSTILE}, "skipped_operations": [HOSTILE, {"text": HOSTILE}, 7],
            "waiting_operations": [{"operation": HOSTILE, "reason": HOSTILE}],
            "late_streams": [{"collection": HOSTILE, "channel": HOSTILE, "late_ms": 1}],
            "channels": [{"source": HOSTILE, "target": HOSTILE, "head_ms": HOSTILE, "streams": HOSTILE}],
            "findings": [{"code": HOSTILE, "severity": HOSTILE, "subject": HOSTILE, "seen": HOSTILE, "means": HOSTILE,
                          "fix": HOSTILE}]}
    page.run(f"show({json.dumps({'version': HOSTILE, 'source': {'a': HOSTILE}, 'store': HOSTILE, 'tasks': [task]})})")
    assert page.run("document.body.innerText").count("window.hit=1") > 20
    for wrong in ({}, {"tasks": 3}, {"tasks": [{}]}, {"tasks": [{"task_id": 5, "channels": 7, "findings": "x"}]}):
        page.run(f"show({json.dumps(wrong)})")  # wrong types are shown as text or left out
    assert page.run("window.hit === undefined && document.images.length === 0 && document.scripts.length === 1")


def test_nothing_of_others_runs(page):
    """The policy, tried: markup that a fault would let in does nothing."""
    page.run("document.body.insertAdjacentHTML('beforeend', '<img src=/x onerror=\"window.hit=1\"><p style=\"color:red\" id=p>x</p>')")
    page.wait("document.images[0].complete", "the picture is refused")
    assert page.run("window.hit === undefined && getComputedStyle(document.getElementById('p')).color") != "rgb(255, 0, 0)"
    assert any("Content Security Policy" in text for text in page.messages)
    page.messages.clear()


def test_a_server_that_is_away(page, world):
    world.cdc.stop()
    page.wait("document.getElementById('link').textContent.startsWith('no answer for')", "it says so")
    world.cdc.start()
    page.wait("document.getElementById('link').textContent === 'live'", "it goes on by itself")
    assert all("ERR_CONNECTION_REFUSED" in text for text in page.messages), page.messages
    page.messages.clear()
