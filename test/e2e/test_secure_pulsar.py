"""A Pulsar with tokens and TLS: rows come over, and what is wrong with a token or a certificate is said."""

import re

import pytest

from helpers import fill, fresh, simple, wait_collection, wait_equal, wait_until
from rig.server import ApiError
from test_tasks import only

pytestmark = pytest.mark.only_queue("pulsar")


@pytest.fixture(scope="module")
def guarded(rig):
    """A source on a broker that asks for tokens and has a port with TLS."""
    rig.pulsar("guard", tls="server", token="secret")
    milvus = rig.milvus("guarded", mq="pulsar", broker="guard", dml_channels=2)
    milvus.connect()
    yield milvus
    rig.remove(milvus)
    rig.remove(rig.part("guard"))


@pytest.fixture
def guard(rig, guarded):
    return rig.part("guard")


@pytest.fixture
def serve(new_cdc, guarded, guard, rig):
    """A maker of servers that come over TLS with a good token, but for what it is given."""
    def make(**more):
        block = {"address": guard.tls_url, "tlsTrustCertsFilePath": str(rig.certs.ca), **more}
        return new_cdc({"sourceConfig": {"pulsar": block}}, source=guarded)

    return make


def replicates(server, target) -> None:
    name = fresh()
    server.create(target, only(name))
    collection = simple("guarded", name, shards_num=2)
    fill(collection, range(200))
    collection.delete("id in [1, 2]")
    wait_equal(collection, wait_collection(name, "target"), timeout=60)


def complains(server, target, pattern: str) -> None:
    """A create on that server is refused with what is wrong, and no secret with it.

    A broker that has just started may be too slow for an answer at first.
    """
    name, said = fresh(), ""

    def probe() -> bool:
        nonlocal said
        with pytest.raises(ApiError) as refused:
            server.create(target, only(name))
        said = str(refused.value)
        return bool(re.search(pattern, said))

    try:
        wait_until(probe, 60, pattern)
    finally:
        print(said)
    assert "eyJ" not in said + server.log_path.read_text()  # how tokens begin


def test_rows_over_tls_with_a_token(serve, target):
    replicates(serve(), target)


@pytest.mark.parametrize("what, pattern", [
    ("of another secret", "(?i)authenticat"), ("expired", "(?i)authenticat"),
    ("of a role without rights", "(?i)authoriz|permission"), ("none", "(?i)authenticat")])
def test_token_that_is_refused(serve, guard, target, what, pattern):
    tokens = {"of another secret": lambda: guard.token("cdc", secret=b"x" * 32),
              "expired": lambda: guard.token("cdc", valid_s=-60),
              "of a role without rights": lambda: guard.token("stranger")}
    more = {"authParams": f"token:{tokens[what]()}"} if what in tokens else {"authPlugin": "", "authParams": ""}
    complains(serve(**more), target, pattern)


def test_broker_that_is_not_trusted(serve, rig, target):
    complains(serve(tlsTrustCertsFilePath=str(rig.certs.other_ca)), target, "signed by .* which is not in")


def test_expired_certificate(serve, guard, target):
    guard.options["cert"] = "expired"
    guard.restart()
    try:
        complains(serve(), target, "certificate ended at")
    finally:
        guard.options["cert"] = "server"


def test_mutual_tls(serve, guard, rig, target):
    """The broker asks for a certificate: none is refused, ours is taken."""
    guard.options.update(tls="mutual", token="")
    guard.restart()
    complains(serve(authPlugin="", authParams=""), target, "(?i)certificate")
    mine = rig.certs.pair("client")
    replicates(serve(authPlugin="org.apache.pulsar.client.impl.auth.AuthenticationTls",
                     authParams=f"tlsCertFile:{mine.cert},tlsKeyFile:{mine.key}"), target)
