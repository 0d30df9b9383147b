"""Checks signatures and certificates with the package `cryptography`."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

import cryptography
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from edgetool.trust.checking import MAX_DEPTH
from edgetool.trust.signer import HashName

_HASHES: dict[HashName, hashes.HashAlgorithm] = {
    "sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512(),
}  # fmt: skip


class CryptographyLibrary:
    """A `Checker` in this process."""

    name = f"cryptography {cryptography.__version__}"

    def is_signed(self, data: bytes, signature: bytes, *, public_key: bytes, hash_name: HashName) -> bool:
        try:
            key = load_der_public_key(public_key)
            if not isinstance(key, ec.EllipticCurvePublicKey):
                return False
            key.verify(signature, data, ec.ECDSA(_HASHES[hash_name]))
        except (InvalidSignature, UnsupportedAlgorithm, ValueError):
            return False
        return True

    def distrust(self, chain: Sequence[bytes], authorities: Sequence[bytes], *, at: int) -> str | None:
        try:
            own, *others = (x509.load_der_x509_certificate(der) for der in chain)
            store = Store([x509.load_der_x509_certificate(der) for der in authorities])
            policy = (
                PolicyBuilder()
                .store(store)
                .time(datetime.datetime.fromtimestamp(at, datetime.UTC))
                .max_chain_depth(MAX_DEPTH)
                .extension_policies(ca_policy=_authority_policy(), ee_policy=ExtensionPolicy.permit_all())
            )
            policy.build_client_verifier().verify(own, others)
        except VerificationError as error:
            return str(error).split(" (encountered", maxsplit=1)[0].removeprefix("validation failed: ")
        except (ValueError, UnsupportedAlgorithm) as error:
            return f"a certificate is damaged: {str(error)[:80]}"
        return None


def _authority_policy() -> ExtensionPolicy:
    """What an authority's certificate must and must not say, beside `CA:TRUE`, which the verifier looks for itself.

    The library's own policies are those of the web: they demand extensions that private authorities leave out.
    """
    return (
        ExtensionPolicy.permit_all()
        .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, None)
        .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _may_issue)
    )


def _may_issue(policy: Policy, certificate: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    if usage is not None and not usage.key_cert_sign:
        raise ValueError(f"{certificate.subject.rfc4514_string()} may not issue certificates")
