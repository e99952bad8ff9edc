"""JSON web tokens for Pulsar, signed with a secret key (HS256) or a key pair (RS256)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import subprocess
import time
from pathlib import Path


def _part(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class Issuer:
    """Mints tokens. kind: secret or pair; the keys lie in the folder and are used again."""

    def __init__(self, folder: Path, kind: str):
        self.kind = kind
        self.secret, self.private, self.public = (folder / n for n in ("secret.key", "private.pem", "public.der"))

    def prepare(self) -> None:
        """Makes the keys if they are missing."""
        if self.kind == "secret" and not self.secret.exists():
            self.secret.write_bytes(os.urandom(32))
        if self.kind == "pair" and not self.public.exists():
            self._openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", self.private)
            self._openssl("pkey", "-in", self.private, "-pubout", "-outform", "DER", "-out", self.public)

    def settings(self) -> dict:
        """What the broker needs in order to check tokens."""
        if self.kind == "secret":
            return {"tokenSecretKey": f"file://{self.secret}"}
        return {"tokenPublicKey": f"file://{self.public}"}

    def token(self, subject: str, valid_s: float | None = None, secret: bytes = b"") -> str:
        """A token of a role. valid_s: until it ends, negative for an ended one; secret: sign with that."""
        claims: dict = {"sub": subject}
        if valid_s is not None:
            claims["exp"] = int(time.time() + valid_s)
        algorithm = "HS256" if secret or self.kind == "secret" else "RS256"
        text = ".".join(_part(json.dumps(p).encode()) for p in ({"alg": algorithm, "typ": "JWT"}, claims))
        return f"{text}.{_part(self._sign(text.encode(), secret))}"

    def _sign(self, text: bytes, secret: bytes) -> bytes:
        if secret or self.kind == "secret":
            return hmac.new(secret or self.secret.read_bytes(), text, hashlib.sha256).digest()
        return self._openssl("dgst", "-sha256", "-sign", self.private, stdin=text)

    @staticmethod
    def _openssl(*args, stdin: bytes = b"") -> bytes:
        return subprocess.run(["openssl", *map(str, args)], check=True, input=stdin, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE).stdout
