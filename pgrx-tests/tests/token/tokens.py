"""Makes tokens with PyJWT, which shares no code with what verifies them: a request in JSON per line, an answer per line."""

import base64
import hashlib
import hmac
import json
import sys

import jwt
from cryptography.hazmat.primitives.serialization import load_pem_public_key


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(request) -> str:
    return jwt.encode(request["payload"], request["key"], algorithm=request["algorithm"], headers=request["header"])


def by_hand(request) -> str:
    """What a library refuses to make: any header, any payload, an HMAC with any key or no signature."""
    payload = bytes.fromhex(request["bytes"]) if "bytes" in request else json.dumps(request["payload"]).encode()
    message = base64url(json.dumps(request["header"]).encode()) + "." + base64url(payload)
    key = request.get("key")
    signature = hmac.new(key.encode(), message.encode(), hashlib.sha256).digest() if key is not None else b""
    return message + "." + base64url(signature)


def text(request) -> str:
    return f"{base64url(request['header'].encode())}.{base64url(request['payload'].encode())}.{request['signature']}"


def jwk(request) -> str:
    kinds = {"EdDSA": jwt.algorithms.OKPAlgorithm, "ES256": jwt.algorithms.ECAlgorithm, "RS256": jwt.algorithms.RSAAlgorithm}
    kind = kinds[request["algorithm"]]
    found = json.loads(kind.to_jwk(load_pem_public_key(request["key"].encode())))
    return json.dumps({**found, "kid": request["kid"], "use": "sig"})


for line in sys.stdin:
    request = json.loads(line)
    print({"signed": signed, "by hand": by_hand, "text": text, "jwk": jwk}[request["make"]](request), flush=True)
