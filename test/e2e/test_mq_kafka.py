"""The reader of Kafka topics, in C, against a real broker that is also restarted in the middle."""

import os
import subprocess
import threading
from pathlib import Path

import pytest

from rig import Rig
from rig.part import wait_until

BUILD = Path(__file__).resolve().parents[2] / "build"
PROGRAM = "source.test_mq_kafka_real"


@pytest.fixture(scope="module")
def kafka():
    """A broker of its own: it is restarted."""
    with Rig() as rig:
        yield rig.kafka()


def test_reader(kafka, tmp_path):
    found = [p for p in (BUILD / preset / "test" / PROGRAM for preset in ("asan", "release")) if p.exists()]
    if not found:
        pytest.skip(f"{PROGRAM} is not built: cmake --preset asan && ninja -C build/asan")
    flag = tmp_path / "restart now"
    env = dict(os.environ, CDC_TEST_KAFKA=kafka.address, CDC_TEST_KAFKA_RESTART=str(flag))
    restarted = []

    def restart():
        wait_until(flag.exists, 120, "the test asks for a restart")
        kafka.stop()
        kafka.start()
        restarted.append(True)

    thread = threading.Thread(target=restart, daemon=True)
    thread.start()
    done = subprocess.run([found[0]], cwd=BUILD.parent, env=env, capture_output=True, text=True, timeout=240)
    thread.join(60)
    assert done.returncode == 0 and "[       OK ]" in done.stdout, done.stdout + done.stderr
    assert restarted
    outage = [line for line in done.stderr.splitlines() if "comp=kafka" in line]
    assert len(outage) < 12, "an outage must be a few lines:\n" + "\n".join(outage)
