"""Public keys as devices are given them: which curve they are of. Runs with Python 3.8 and its standard library."""

from __future__ import annotations

from edgetool.trust.x509_der import pem_blocks

_PREFIXES = {
    bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004"): (256, 91),
    bytes.fromhex("3076301006072a8648ce3d020106052b8104002203620004"): (384, 120),
    bytes.fromhex("30819b301006072a8648ce3d020106052b810400230381860004"): (521, 158),
}
"""How SubjectPublicKeyInfo with a named curve and a whole point begins (RFC 5480): bits, and bytes of it all."""


def curve_bits(public_key: bytes) -> int | None:
    """256, 384 or 521 for a key of such a curve in SubjectPublicKeyInfo, None for any other key."""
    for prefix, (bits, length) in _PREFIXES.items():
        if public_key.startswith(prefix) and len(public_key) == length:
            return bits
    return None


def read_public_key(text: bytes) -> bytes:
    """SubjectPublicKeyInfo of the one public key in a PEM text. Raises ValueError with the reason why there is none."""
    blocks = list(pem_blocks(text))
    kinds = [kind for kind, _ in blocks]
    if any(kind.endswith("PRIVATE KEY") for kind in kinds):
        raise ValueError(
            "it holds a private key, which no device should have: openssl pkey -in KEY -pubout prints the public one"
        )
    if "CERTIFICATE" in kinds:
        raise ValueError(
            "it holds a certificate: name it with --ca, or its key by openssl x509 -in FILE -pubkey -noout"
        )
    keys = [der for kind, der in blocks if kind == "PUBLIC KEY"]
    if len(keys) != 1:
        raise ValueError(f"it holds {len(keys)} PEM public keys, and has to hold one")
    if curve_bits(keys[0]) is None:
        raise ValueError(
            "its public key is not one of the curves P-256, P-384 and P-521, which signatures are made with"
        )
    return keys[0]
