"""Users, passwords and TLS towards every peer: what works, what is said when it does not, and that it mends itself
when the other side does. No secret shows up anywhere.

Milvus 2.3.5 with authorizationEnabled and tlsMode 1 and 2; Kafka with SASL_PLAINTEXT, SSL, SASL_SSL and client
certificates; etcd with users and mutual TLS.
"""

import contextlib
import socket
import ssl
import threading

import pytest
from pymilvus import Role, connections, utility

from helpers import fill, fresh, simple, wait_collection, wait_equal, wait_until
from rig import together
from rig.part import http_get
from test_faults import waits_for
from test_tasks import only

SECRETS = ("root:Milvus", "cm9vdDpNaWx2dXM", "kafka-cdc-secret", "etcd-root-secret", "First-Pass1", "Other-Pass2",
           "wrong-secret")


@pytest.fixture(scope="module")
def one_way(rig):
    """A target that asks for a login and shows a certificate."""
    part = rig.milvus("oneway", target=True, auth=True, tls=1, dml_channels=4)
    part.connect()
    yield part
    connections.disconnect(part.name)
    rig.remove(part)


@pytest.fixture(scope="module")
def mutual(rig):
    """One that asks for a certificate, too."""
    part = rig.milvus("mutual", target=True, auth=True, tls=2, dml_channels=4)
    part.connect()
    yield part
    connections.disconnect(part.name)
    rig.remove(part)


@pytest.fixture
def secret_cdc(new_cdc):
    """A maker of servers as new_cdc; at the end nothing that they logged or answered holds a secret."""
    made = []

    def make(*args, **options):
        made.append(new_cdc(*args, **options))
        return made[-1]

    yield make
    for cdc in made:
        said = [cdc.log_path.read_text()]
        with contextlib.suppress(OSError):  # one that was stopped
            said += [str(cdc.post("list")), cdc.metrics()]
            said += [str(cdc.post("get", {"task_id": task["task_id"]})) for task in cdc.list()]
            said += [http_get(f"http://{cdc.address}/{page}", 10).decode() for page in ("", "cdc/status.json")]
        found = [(secret, text[max(0, text.find(secret) - 200):][:300]) for secret in SECRETS
                 for text in said if secret in text]
        assert not found


def refusal(cdc, name: str = "", **connect) -> str:
    """What create answers, which must be an error."""
    answer = cdc.post("create", {"milvus_connect_param": connect, "db_collections": only(name or fresh())})
    assert answer["code"] == 500, answer
    return answer["message"]


def refused_at_once(secret_cdc, target, cases) -> None:
    """A server a configuration; each must say its text. Together, as each asks for some seconds."""
    servers = [secret_cdc(config) for config, _ in cases]
    answers = together(*(lambda cdc=cdc: refusal(cdc, uri=target.uri) for cdc in servers))
    wrong = [(config, text, answer) for (config, text), answer in zip(cases, answers) if text not in answer]
    assert not wrong


def says(cdc, task: str, *parts: str, timeout: float = 40) -> None:
    """Waits until the task waits for something with these words, and is still Running."""
    wait_until(lambda: all(part in waits_for(cdc, task) for part in parts), timeout, f"waits_for says {parts}")
    assert cdc.get(task)["state"] == "Running"


def in_order(cdc, task: str, timeout: float = 60) -> None:
    wait_until(lambda: waits_for(cdc, task) == "", timeout, "the task is in order again")


# the target --------------------------------------------------------------------------------------

WAYS = ["one way", "mutual", "system roots, host and port, user and password", "another server name"]


@pytest.mark.parametrize("way", WAYS)
def test_target_over_tls(secret_cdc, rig, source, one_way, mutual, way):
    part, connect, env = one_way, {}, {}
    if way == "mutual":
        part = mutual
    elif way.startswith("system"):
        env = {"SSL_CERT_FILE": str(rig.certs.ca)}
        connect = {"uri": "", "host": "127.0.0.1", "port": part.port(), "enable_tls": True, "token": "",
                   "username": "root", "password": "Milvus", "dial_config": {}}
    elif way.startswith("another"):
        connect = {"dial_config": {**part.dial_config, "server_name": "localhost"}}
    cdc = secret_cdc(env=env)
    name = fresh()
    task = cdc.create(part, only(name), milvus_connect_param=connect)
    collection = simple("source", name)
    fill(collection, range(200))
    copy = wait_collection(name, part.name)
    wait_equal(collection, copy)
    collection.delete("id in [1, 2, 3]")
    wait_equal(collection, copy)
    collection.drop()
    wait_until(lambda: not utility.has_collection(name, using=part.name), 30, "it is dropped")
    in_order(cdc, task)


def test_create_names_the_cause(secret_cdc, rig, target, one_way, mutual):
    cdc, certs, token = secret_cdc(), rig.certs, "root:Milvus"
    foreign, files = certs.pair("other-client"), mutual.dial_config
    cases = [
        (one_way, {"token": "root:wrong-secret"}, "please check username and password are correct"),
        (one_way, {"username": "nobody", "password": "wrong-secret"}, "please check username and password"),
        (one_way, {"token": "wrong-secret"}, "please check api key is correct"),
        (one_way, {}, "missing authorization in header"),
        (one_way, {"token": token, "dial_config": {**one_way.dial_config, "server_name": "elsewhere.test"}},
         'not for "elsewhere.test" but for localhost, 127.0.0.1'),
        (one_way, {"token": token, "dial_config": {"server_pem_path": str(certs.other_ca)}},
         f"signed by /CN=rig ca, which is not in {certs.other_ca}"),
        (one_way, {"token": token, "dial_config": {}}, "which is not in the system's roots"),
        (one_way, {"token": token, "uri": f"http://{one_way.address}", "dial_config": {}},
         "does this port want TLS (https://)?"),
        (target, {"uri": f"https://{target.address}"}, "does this port speak plain text"),
        (mutual, {"token": token, "dial_config": {"server_pem_path": str(certs.ca)}}, "a client certificate"),
        (mutual, {"token": token, "dial_config": {**files, "client_pem_path": str(foreign.cert),
                                                  "client_key_path": str(foreign.key)}}, "certificate"),
        (mutual, {"token": token, "dial_config": {**files, "client_key_path": ""}}, "belong together"),
        (mutual, {"token": token, "dial_config": {**files, "client_key_path": str(foreign.key)}},
         f"key {foreign.key} does not belong to the certificate"),
        (one_way, {"token": token, "dial_config": {"server_pem_path": "/nowhere/ca.pem"}},
         "CA file /nowhere/ca.pem: No such file"),
        (one_way, {"token": token, "dial_config": {"server_pem_path": str(certs.garbled())}},
         f"CA file {certs.garbled()} is damaged"),
    ]
    for part, connect, text in cases:
        connect = {"uri": part.uri, "dial_config": part.dial_config, "connect_timeout": 10, **connect}
        message = refusal(cdc, **connect)
        assert "fail to connect the milvus: " in message and text in message, (connect, message)
    assert cdc.list() == []


def test_password_changed_while_running(secret_cdc, source, one_way):
    """The task of that user waits and mends itself; one of another user, in the same session, does not even notice."""
    utility.create_user("repl", "First-Pass1", using=one_way.name)
    Role("admin", using=one_way.name).add_user("repl")
    cdc = secret_cdc()
    names = fresh(), fresh()
    first = cdc.create(one_way, only(names[0]), milvus_connect_param={"token": "repl:First-Pass1"})
    one = simple("source", names[0])
    fill(one, range(100))
    copy = wait_collection(names[0], one_way.name)
    wait_equal(one, copy)
    utility.update_password("repl", "First-Pass1", "Other-Pass2", using=one_way.name)
    says(cdc, first, "auth check failure")
    fill(one, range(100, 200))
    second = cdc.create(one_way, only(names[1]))
    two = simple("source", names[1])
    fill(two, range(100))
    wait_equal(two, wait_collection(names[1], one_way.name))
    says(cdc, first, "auth check failure", "the login of another task")
    assert waits_for(cdc, second) == ""
    late = one.create_partition("late")  # what a task creates goes with its own login
    utility.update_password("repl", "Other-Pass2", "First-Pass1", using=one_way.name)
    in_order(cdc, first)
    fill(one, range(200, 250), partition_name="late")
    wait_equal(one, copy, timeout=60)
    assert copy.has_partition(late.name)
    cdc.delete(second)  # the session goes on with the first login
    fill(one, range(300, 350))
    wait_equal(one, copy)


@contextlib.contextmanager
def tls_server(pair):
    """Shakes hands with a certificate, and nothing more; its address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    context.set_alpn_protocols(["h2"])
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                link, _ = listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError):
                context.wrap_socket(link, server_side=True).close()

    threading.Thread(target=serve, daemon=True).start()
    yield f"127.0.0.1:{listener.getsockname()[1]}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def test_certificate_replaced_while_running(secret_cdc, rig, source, one_way):
    proxy = rig.proxy("secured", to=one_way.address)
    cdc = secret_cdc()
    name = fresh()
    task = cdc.create(one_way, only(name), milvus_connect_param={"uri": f"https://{proxy.address}"})
    collection = simple("source", name)
    copy = wait_collection(name, one_way.name)
    for kind, text in (("expired", "the peer's certificate ended at"), ("wrong-name", "but for elsewhere.test"),
                       ("other-server", "signed by /CN=rig other-ca")):
        with tls_server(rig.certs.pair(kind)) as address:
            proxy.target(address)
            proxy.cut()
            says(cdc, task, text)
    fill(collection, range(100))
    proxy.target(one_way.address)
    wait_equal(collection, copy, timeout=60)
    in_order(cdc, task)
    rig.remove(proxy)


def test_stored_task_waits_for_its_files(secret_cdc, source, one_way, target, tmp_path):
    """A missing file keeps no other task from starting, and its return needs no restart."""
    ca = tmp_path / "ca.pem"
    ca.write_text(open(one_way.dial_config["server_pem_path"]).read())
    cdc = secret_cdc()
    names = fresh(), fresh()
    first = cdc.create(one_way, only(names[0]), milvus_connect_param={"dial_config": {"server_pem_path": str(ca)}})
    second = cdc.create(target, only(names[1]))
    ca.rename(tmp_path / "away.pem")
    cdc.restart()
    wait_until(lambda: len(cdc.list()) == 2, 20, "the tasks are loaded")
    says(cdc, first, f"CA file {ca}: No such file")
    in_order(cdc, second)
    (tmp_path / "away.pem").rename(ca)
    collection = simple("source", names[0])
    fill(collection, range(50))
    wait_equal(collection, wait_collection(names[0], one_way.name))


# the source's Kafka ------------------------------------------------------------------------------

@pytest.fixture
def kafka(rig, queue):
    if queue != "kafka":
        pytest.skip("the source is not on Kafka")
    return rig.part("kafka")


LOGINS = [("SASL_PLAINTEXT", "PLAIN"), ("SASL_PLAINTEXT", "SCRAM-SHA-256"), ("SASL_SSL", "PLAIN"),
          ("SASL_SSL", "SCRAM-SHA-512"), ("SSL", ""), ("MUTUAL", "")]


@pytest.mark.parametrize("listener, mechanism", LOGINS)
def test_source_kafka(secret_cdc, kafka, source, target, listener, mechanism):
    cdc = secret_cdc({"sourceConfig": {"kafka": kafka.client(listener, mechanism)}})
    name = fresh()
    task = cdc.create(target, only(name))
    collection = simple("source", name)
    fill(collection, range(100))
    wait_equal(collection, wait_collection(name, "target"))
    in_order(cdc, task)


def test_source_kafka_names_the_cause(secret_cdc, rig, kafka, target):
    certs = rig.certs
    sasl, mutual = kafka.client("SASL_SSL"), kafka.client("MUTUAL")
    cases = [
        ({**sasl, "saslPassword": "wrong-secret"}, "wrong user name or password"),
        ({**sasl, "saslMechanisms": "SCRAM-SHA-256", "saslPassword": "wrong-secret"}, "wrong user name or password"),
        ({**kafka.client("SASL_PLAINTEXT"), "address": kafka.address}, "does not offer this SASL mechanism"),
        ({**sasl, "consumer": {"ssl.ca.location": str(certs.other_ca)}}, "its signer is not in ssl.ca.location"),
        ({**mutual, "consumer": {"ssl.ca.location": str(certs.ca)}}, "TLS alert from the broker"),
        ({"address": kafka.listener("SASL_PLAINTEXT")}, "does the port want TLS or a login"),
        ({**kafka.client("SSL"), "address": kafka.address}, "does the port speak TLS"),
    ]
    refused_at_once(secret_cdc, target, [({"sourceConfig": {"kafka": block}}, text) for block, text in cases])


def test_source_kafka_password_mended(secret_cdc, kafka, source, target):
    """A task whose password does not fit any more waits, whole, until it does."""
    cdc = secret_cdc({"sourceConfig": {"kafka": kafka.client("SASL_PLAINTEXT", "SCRAM-SHA-256")}})
    name = fresh()
    task = cdc.create(target, only(name))
    collection = simple("source", name)
    fill(collection, range(100))
    copy = wait_collection(name, "target")
    wait_equal(collection, copy)
    kafka.set_password("Other-Pass2")
    try:
        cdc.restart()
        fill(collection, range(100, 200))
        says(cdc, task, "wrong user name or password")
    finally:
        kafka.set_password(kafka.PASSWORD)
    wait_equal(collection, copy, timeout=60)
    in_order(cdc, task)


# the source's etcd -------------------------------------------------------------------------------

def mutual_tls(rig, **more) -> dict:
    mine, etcd = rig.certs.pair("client"), rig.part("etcd")
    return {"sourceConfig": {"etcd": {
        "address": ["127.0.0.1:1", etcd.tls_address], "enableTLS": True, "tlsCACertPath": str(rig.certs.ca),
        "tlsCertPath": str(mine.cert), "tlsKeyPath": str(mine.key), "tlsMinVersion": "1.3", **more}}}


def test_source_etcd_over_mutual_tls(secret_cdc, rig, source, target):
    """With a second endpoint that is dead."""
    cdc = secret_cdc(mutual_tls(rig))
    name = fresh()
    task = cdc.create(target, only(name))
    collection = simple("source", name)
    fill(collection, range(100))
    wait_equal(collection, wait_collection(name, "target"))
    in_order(cdc, task)


def test_source_etcd_names_the_cause(secret_cdc, rig, target):
    etcd = rig.part("etcd")
    cases = [(mutual_tls(rig, address=[etcd.tls_address], tlsCertPath="", tlsKeyPath=""), "a client certificate"),
             (mutual_tls(rig, address=[etcd.tls_address], tlsCACertPath=str(rig.certs.other_ca)),
              "signed by /CN=rig ca, which is not in"),
             (mutual_tls(rig, address=[etcd.address]), "does this port speak plain text"),
             ({"sourceConfig": {"etcd": {"address": [etcd.tls_address]}}}, "does this port want TLS (https://)?")]
    refused_at_once(secret_cdc, target, cases)


def test_source_etcd_with_users(secret_cdc, rig, source, target):
    """On a copy of the source's etcd, as Milvus 2.3.5 knows no etcd passwords."""
    collection = simple("source")
    fill(collection, range(100))
    etcd = rig.etcd("etcd-users")
    for key, value in rig.part("etcd").prefix(f"{source.name}/").items():
        etcd.put(key, value)
    etcd.enable_auth()
    login = {"address": [etcd.address], "enableAuth": True, "username": "root", "password": etcd.ROOT_PASSWORD}
    cdc = secret_cdc({"sourceConfig": {"etcd": login}})
    task = cdc.create(target, {"default": [{"name": collection.name, "use_start_position": True}]})
    wait_until(lambda: utility.has_collection(collection.name, using="target"), 30, "it is created")
    etcd.set_password("Other-Pass2")
    etcd.restart()  # which ends the token, too
    says(cdc, task, "authentication failed, invalid user ID or password")
    etcd.set_password(etcd.ROOT_PASSWORD)
    in_order(cdc, task)
    cases = [({"password": "wrong-secret"}, "authentication failed, invalid user ID or password"),
             ({"enableAuth": False}, "user name is empty")]
    refused_at_once(secret_cdc, target, [({"sourceConfig": {"etcd": {**login, **m}}}, text) for m, text in cases])
    cdc.stop()
    rig.remove(etcd)
