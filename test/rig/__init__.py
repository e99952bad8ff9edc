"""Real peers on loopback for tests, the demo and the benchmarks.

    with Rig() as rig:
        source, target = rig.pair()         # etcd, Kafka, a source and a target Milvus
        cdc = rig.cdc(source)               # the server under test
        ...

Everything is a real server, because what this project has to get right is how the real ones behave.
"""

import warnings

warnings.filterwarnings("ignore", message="pkg_resources is deprecated")  # pymilvus 2.3 needs it

from .core import Rig, together  # noqa: E402
from .part import Part, RigError, wait_until  # noqa: E402

__all__ = ["Part", "Rig", "RigError", "together", "wait_until"]
