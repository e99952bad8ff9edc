"""Certificates of a rig, good ones and bad ones, made by the openssl program when first asked for.

    certs.ca                 the authority that everything trusts
    certs.pair("server")     a certificate with its key
    certs.pair("client")     ...

| name         | what is special                                        |
|--------------|--------------------------------------------------------|
| server       | localhost, 127.0.0.1                                   |
| client, root | user certificates; the name is the common name         |
| expired      | like server, ended a day ago                           |
| wrong-name   | for elsewhere.test only                                |
| other-server | like server, of another authority                      |
| other-client | like client, of another authority                      |
"""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path
from typing import NamedTuple

HERE = ("localhost", "127.0.0.1")
DAYS = 30
CURVE = ("ec", "-pkeyopt", "ec_paramgen_curve:P-256")  # made at once
RSA = ("rsa:2048",)  # for servers: Pulsar 3.0 reads no other keys


class Pair(NamedTuple):
    """Paths of PEM files. both: the key and the certificate in one file, as Java's servers want it."""

    cert: Path
    key: Path
    both: Path


class Kind(NamedTuple):
    ca: str = "ca"
    names: tuple = HERE
    days: int = DAYS


KINDS = {
    "server": Kind(), "client": Kind(names=()), "root": Kind(names=()), "expired": Kind(days=-1),
    "wrong-name": Kind(names=("elsewhere.test",)), "other-server": Kind(ca="other-ca"),
    "other-client": Kind(ca="other-ca", names=()),
}


class Certs:
    """A folder of certificates; what is there is used again."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._lock = threading.Lock()

    @property
    def ca(self) -> Path:
        return self._authority("ca")

    @property
    def other_ca(self) -> Path:
        return self._authority("other-ca")

    def pair(self, name: str) -> Pair:
        kind = KINDS[name]
        ca = self._authority(kind.ca)
        made = Pair(*(self.folder / f"{name}.{end}" for end in ("pem", "key", "both.pem")))
        with self._lock:
            if not made.both.exists():
                self._sign(name, kind, ca, made)
                made.both.write_text(made.key.read_text() + made.cert.read_text())
        return made

    def garbled(self) -> Path:
        """A PEM file whose inside is none."""
        path = self.folder / "garbled.pem"
        self.folder.mkdir(parents=True, exist_ok=True)
        path.write_text("-----BEGIN CERTIFICATE-----\nbm90IGEgY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----\n")
        return path

    def _authority(self, name: str) -> Path:
        cert = self.folder / f"{name}.pem"
        with self._lock:
            if not cert.exists():
                self.folder.mkdir(parents=True, exist_ok=True)
                self._openssl("req", "-x509", "-newkey", *CURVE, "-nodes", "-keyout", self.folder / f"{name}.key",
                              "-out", cert, "-subj", f"/CN=rig {name}", "-days", DAYS)
        return cert

    def _sign(self, name: str, kind: Kind, ca: Path, made: Pair) -> None:
        # both uses: etcd's gateway shows its server's certificate to itself as a client
        wanted = ["-addext", "extendedKeyUsage=serverAuth,clientAuth"]
        if kind.names:
            alternatives = (("IP:" if n[0].isdigit() else "DNS:") + n for n in kind.names)
            wanted += ["-addext", "subjectAltName=" + ",".join(alternatives)]
        request = self.folder / f"{name}.csr"
        self._openssl("req", "-newkey", *(RSA if kind.names else CURVE), "-nodes", "-keyout", made.key,
                      "-out", request, "-subj", f"/CN={name}", *wanted)
        self._openssl("x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca.with_suffix(".key"),
                      "-CAcreateserial", "-days", kind.days, "-copy_extensions", "copy", "-out", made.cert)

    @staticmethod
    def _openssl(*args) -> None:
        subprocess.run(["openssl", *map(str, args)], check=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
