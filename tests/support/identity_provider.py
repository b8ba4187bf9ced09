"""An identity provider: real keys, real tokens, a key set behind a real HTTP server."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from typing_extensions import override

ISSUER = "https://id.example.org"
AUDIENCE = "https://bank.example.org/mcp"


class Provider:
    """Signs tokens, and publishes the public half of its keys; counts who asks for them."""

    def __init__(self) -> None:
        self.private: dict[str, tuple[str, Any]] = {}
        self.published: list[dict[str, Any]] = []
        self.requests = 0
        self.status = 200
        self.url = ""

    def make_key(self, key_id: str, algorithm: str = "RS256", **extra: Any) -> None:
        """Make and publish a key."""
        if algorithm.startswith(("RS", "PS")):
            key: Any = rsa.generate_private_key(65_537, extra.pop("bits", 2_048))
            public = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
        elif algorithm == "EdDSA":
            key = ed25519.Ed25519PrivateKey.generate()
            public = OKPAlgorithm.to_jwk(key.public_key(), as_dict=True)
        else:
            curve = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
            key = ec.generate_private_key(curve[algorithm])
            public = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
        public.pop("key_ops", None)
        self.private[key_id] = (algorithm, key)
        self.published.append(public | {"kid": key_id, "use": "sig", "alg": algorithm} | extra)

    def withdraw(self, key_id: str) -> None:
        """Publish a key no more."""
        self.published = [each for each in self.published if each["kid"] != key_id]

    def token(self, key_id: str = "k1", **claims: Any) -> str:
        """Sign a token; a claim of None is left out."""
        algorithm, key = self.private[key_id]
        return jwt.encode(claims_of(**claims), key, algorithm, headers={"kid": key_id})


def claims_of(**changes: Any) -> dict[str, Any]:
    """Return claims that a bank accepts, changed; a claim of None is left out."""
    now = int(time.time())
    claims: dict[str, Any] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "agent-7",
        "iat": now,
        "exp": now + 86_400,  # longer than any test takes
        "tenant": "default",
        "roles": ["developer"],
    }
    return {name: value for name, value in (claims | changes).items() if value is not None}


@contextmanager
def provider() -> Iterator[Provider]:
    """Run a provider whose key set is at `url`."""
    running = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the base class's name
            running.requests += 1
            body = json.dumps({"keys": running.published}).encode()
            self.send_response(running.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        @override
        def log_message(self, *_args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.url = f"http://127.0.0.1:{server.server_port}/keys"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
