"""Signs bytes together with what they are: DSSE, https://github.com/secure-systems-lab/dsse/blob/master/protocol.md."""

from __future__ import annotations

import base64
import hashlib

from edgetool.artifact import JsonValue
from edgetool.trust.signer import Signer


def pre_authentication(payload_type: str, payload: bytes) -> bytes:
    """What is really signed (PAE): type and payload with their lengths, so that neither can be moved into the other."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def key_id(signer: Signer) -> str:
    """Tells which key to check with: the sha256 of its public half in PEM."""
    return hashlib.sha256(signer.public_key).hexdigest()


def envelope(payload_type: str, payload: bytes, signer: Signer) -> dict[str, JsonValue]:
    """The payload with its signature, as JSON."""
    signature = signer.sign(pre_authentication(payload_type, payload))
    return {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": payload_type,
        "signatures": [{"keyid": key_id(signer), "sig": base64.b64encode(signature).decode()}],
    }
