"""The commands of the pages for newcomers, run as they stand there, on two Milvus of their own.

A block marked as sh is run, with the addresses of the rig in place of those of the page, in one shell a chain of pages.
A comment "<!-- test: WHAT -->" is something that a person does between two blocks.
"""

from __future__ import annotations

import os
import re
import sys

import pytest

from pages import Shell, steps
from rig.ports import reserve
from rig.server import REPOSITORY, default_binary

pytestmark = pytest.mark.only_queue("kafka")


@pytest.fixture(scope="module")
def pair(rig):
    """A source and a target that nobody else uses, for their roles change."""
    both = rig.pair(source="left", target="right", dml_channels=4)
    yield both
    for milvus in both:
        milvus.kill()
        rig.remove(milvus)


@pytest.fixture
def shell(rig, pair, tmp_path):
    """A shell in which the pages' addresses mean the rig's."""
    left, right = pair
    ours = reserve()
    etcd, kafka = rig.part("etcd").address, rig.part("kafka").address
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "milvus-cdc").symlink_to(default_binary())
    (tools / "python3").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (tools / "python3").chmod(0o755)
    shell = Shell(["bash", "-e"], tmp_path, {
        "http://10.0.0.1:19530": left.uri, "http://10.0.0.2:19530": right.uri, "10.0.0.1:2379": etcd, "10.0.0.2:2379": etcd,
        "10.0.0.1:9092": kafka, "10.0.0.2:9092": kafka, "by-dev-2": "right", "by-dev": "left",
        "127.0.0.1:8444": f"127.0.0.1:{ours.base}", "localhost:8444": f"127.0.0.1:{ours.base}",
        "127.0.0.1:8445": f"127.0.0.1:{ours.base + 1}"}, PATH=f"{tools}:{os.environ['PATH']}")
    yield shell
    shell.end()
    ours.close()


def test_readme(shell, tmp_path):
    """Its configuration stands in a block of its own kind."""
    configured = re.search(r"^```yaml\n(.*?)^```$", (REPOSITORY / "README.md").read_text(), re.M | re.S).group(1)
    (tmp_path / "configs").mkdir()
    for name, real in shell.names.items():
        configured = configured.replace(name, real)
    (tmp_path / "configs/cdc.yaml").write_text(f'address: {shell.names["localhost:8444"]}\n{configured}')
    blocks = [block for kind, block in steps("README.md") if kind == "sh"]
    assert len(blocks) >= 5
    said = "".join(shell.run(block) for block in blocks)
    assert '"task_id":"copy"' in said and "milvus_cdc_task_num" in said
    shell.run("milvus-cdc task delete copy")


def test_tutorial_faq_and_failover(shell, pair):
    """The pages one after the other, as a newcomer reads them; the tutorial's end comes last."""
    left, right = pair
    tutorial = steps("docs/tutorial.md")
    end = tutorial.index(("head", "8. Clean up"))
    said = {}
    for page, chain in (("tutorial", tutorial[:end]), ("faq", steps("docs/faq.md")), ("failover", steps("docs/failover.md"))):
        said[page] = ""
        for kind, what in chain:
            if kind == "sh":
                said[page] += shell.run(what)
            elif kind == "test":
                ACTIONS[what](shell, left, right)
    shell.run("kill %1")
    assert said["tutorial"].count("equal on both sides") == 2
    assert "DOC-ETCD-ROOT" in said["tutorial"] and re.search("DOC-ETCD-ROOT.*\\n.*left", said["tutorial"])
    assert "exit code 2" in said["tutorial"] and re.search("tutorial: identical, 990 rows equal", said["tutorial"])
    assert "DOC-TARGET-EXISTS" in said["failover"] and "equal on both sides" in said["failover"]


def set_role(milvus, target: bool) -> None:
    """As somebody edits milvus.yaml and starts the server again."""
    if milvus.alive():
        milvus.kill()
    milvus.options["target"] = target
    milvus.start()


def write(shell, left, right) -> None:
    """The applications have moved: the tutorial's writer on the new source."""
    shell.run(f"sed s,{left.uri},{right.uri}, write.py > write2.py\npython3 write2.py 5000")


ACTIONS = {
    "the source is killed": lambda shell, left, right: left.kill(),
    "the target becomes a source": lambda shell, left, right: set_role(right, target=False),
    "the source becomes a target": lambda shell, left, right: set_role(left, target=True),
    "the applications write": write,
    "pymilvus is installed": lambda *_: None,  # make package-test installs it
}
