"""Signs the statement of provenance that lies in a bundle, for verifiers that know attestations and not bundles.

The form is DSSE's: https://github.com/secure-systems-lab/dsse/blob/master/envelope.md. The payload is the file
`provenance.json`, byte for byte; the key is named as the bundle's own signature names it.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

from edgetool.bundle.provenance import PAYLOAD_TYPE, PROVENANCE
from edgetool.disk import host_errors, replace_file
from edgetool.trust.ec_keys import read_public_key
from edgetool.trust.model_signing import HASHES, key_hint, signed_bytes
from edgetool.trust.signer import Signer

SUFFIX = ".provenance.intoto.json"


def attest(bundle: Path, signer: Signer, *, folder: Path) -> Path | None:
    """Write `NAME.edgebundle.provenance.intoto.json` into a folder; None where the bundle has no statement.

    Args:
        bundle: the folder, which was checked.
        signer: an EC key.
        folder: where the bundle's signature lies.

    Raises:
        UnavailableError: the token is gone.
        HostError: disk full, permission denied.
    """
    statement = bundle / PROVENANCE
    with host_errors(statement):
        if not statement.is_file():
            return None
        payload = statement.read_bytes()
    place = folder / f"{bundle.absolute().name}{SUFFIX}"
    replace_file(place, (json.dumps(signed_envelope(payload, signer), indent=2) + "\n").encode())
    return place


def signed_envelope(payload: bytes, signer: Signer) -> dict[str, object]:
    """A statement with its signature, as JSON."""
    signature = signer.sign(signed_bytes(payload), hash_name=HASHES[signer.bits])
    named = key_hint(read_public_key(signer.public_key))
    return {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [{"keyid": named, "sig": base64.b64encode(signature).decode()}],
    }
