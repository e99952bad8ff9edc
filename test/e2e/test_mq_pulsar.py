"""The reader of Pulsar topics, in C, against a real broker that is also restarted in the middle."""

import os
import subprocess
import threading
from pathlib import Path

import pytest

from rig import Rig
from rig.part import wait_until

BUILD = Path(__file__).resolve().parents[2] / "build"
PROGRAM = "source.test_mq_pulsar_real"


@pytest.fixture(scope="module")
def pulsar():
    """A broker of its own: it is restarted."""
    with Rig() as rig:
        yield rig.pulsar()


def test_reader(pulsar, tmp_path):
    found = [p for p in (BUILD / preset / "test" / PROGRAM for preset in ("asan", "release")) if p.exists()]
    if not found:
        pytest.skip(f"{PROGRAM} is not built: cmake --preset asan && ninja -C build/asan")
    flag = tmp_path / "restart now"
    env = dict(os.environ, CDC_TEST_PULSAR=pulsar.address, CDC_TEST_PULSAR_WEB=pulsar.web_address,
               CDC_TEST_PULSAR_RESTART=str(flag))
    restarted = []

    def restart():
        wait_until(flag.exists, 240, "the test asks for a restart")
        pulsar.stop()
        pulsar.start()
        flag.unlink()
        restarted.append(True)

    thread = threading.Thread(target=restart, daemon=True)
    thread.start()
    done = subprocess.run([found[0]], cwd=BUILD.parent, env=env, capture_output=True, text=True, timeout=400)
    thread.join(120)
    assert done.returncode == 0 and "[       OK ]" in done.stdout, done.stdout + done.stderr
    assert restarted
