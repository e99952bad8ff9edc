"""The client of the target and the replay of rows, in C, against real Milvus servers."""

import os
import subprocess
from pathlib import Path

import pytest

BUILD = Path(__file__).resolve().parents[2] / "build"
PROGRAMS = ["client.test_milvus_real", "client.test_milvus_replay_real", "sink.test_ops_real"]


def run(program: str, milvus) -> None:
    """Runs a C test program against a server; its output is the failure's text."""
    found = [p for p in (BUILD / preset / "test" / program for preset in ("asan", "release")) if p.exists()]
    if not found:
        pytest.skip(f"{program} is not built: cmake --preset asan && ninja -C build/asan")
    env = dict(os.environ, CDC_TEST_MILVUS=milvus.uri, CDC_TEST_MILVUS_TOKEN=milvus.token)
    done = subprocess.run([found[0]], cwd=BUILD.parent, env=env, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0 and "[       OK ]" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("program", PROGRAMS)
def test_program(target, program):
    run(program, target)


def test_with_users(rig):
    """The same verbs with authorization, and the refusal of a wrong password."""
    secured = rig.milvus("secured", target=True, auth=True, dml_channels=4)
    for program in PROGRAMS:
        run(program, secured)
    rig.remove(secured)
