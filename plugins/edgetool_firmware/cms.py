"""CMS SignedData (RFC 5652), by any key that can sign: those in a token, too.

The signature is over two attributes, the content's type and its SHA-256, so that a content of any size is hashed where
it lies. There is no attribute with a time: by a key whose scheme is not random, equal content gives an equal message.
The hash has the identifiers of RFC 5754.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, TypeVar

from edgetool.errors import ConfigError
from edgetool.trust.signer import Signer
from edgetool_firmware.der import NULL, OCTETS, element, explicit, identifier, integer, sequence, set_of, split

if TYPE_CHECKING:
    from cryptography.x509 import Certificate, ExtensionType

    ExtensionT = TypeVar("ExtensionT", bound=ExtensionType)

_DATA = identifier("1.2.840.113549.1.7.1")
_SIGNED_DATA = identifier("1.2.840.113549.1.7.2")
_CONTENT_TYPE = identifier("1.2.840.113549.1.9.3")
_MESSAGE_DIGEST = identifier("1.2.840.113549.1.9.4")
_SHA256 = sequence(identifier("2.16.840.1.101.3.4.2.1"))
_SCHEMES = {
    "rsa": sequence(identifier("1.2.840.113549.1.1.1"), element(NULL, b"")),
    "ec": sequence(identifier("1.2.840.10045.4.3.2")),  # ecdsa-with-SHA256
}
_VERSION = integer(1)
_EMAIL, _CODE = "1.3.6.1.5.5.7.3.4", "1.3.6.1.5.5.7.3.3"


def sign_detached(digest: bytes, signer: Signer) -> bytes:
    """A message (DER) about a content that travels apart.

    Args:
        digest: SHA-256 of the content.
        signer: with its certificate, which the message carries along with those of its issuers.
    """
    return _message(digest, signer, sequence(_DATA))


def sign_inline(content: bytes, signer: Signer) -> bytes:
    """A message (DER) that holds the content."""
    encapsulated = sequence(_DATA, explicit(0, element(OCTETS, content)))
    return _message(hashlib.sha256(content).digest(), signer, encapsulated)


def require_purpose(signer: Signer, *, code_signing: bool) -> None:
    """Refuse a certificate that the device would refuse.

    Args:
        signer: with its certificate.
        code_signing: the device is set to check for `codeSigning`; else for `emailProtection`, which OpenSSL takes a
            signer of messages to have.

    Raises:
        ConfigError: `certificate-purpose`.
    """
    from cryptography import x509

    certificate = x509.load_der_x509_certificate(signer.certificates[0])
    wanted, name = (_CODE, "codeSigning") if code_signing else (_EMAIL, "emailProtection")
    missing = None
    usage = _extension(certificate, x509.KeyUsage)
    if usage is not None and not (usage.digital_signature or usage.content_commitment):
        missing = "digitalSignature in its key usage"
    extended = _extension(certificate, x509.ExtendedKeyUsage)
    purposes = {purpose.dotted_string for purpose in extended or ()}
    if wanted not in purposes and (extended is not None or code_signing):  # OpenSSL takes no anyExtendedKeyUsage here
        missing = f"{name} in its extended key usage"
    if missing is not None:
        raise ConfigError(
            "certificate-purpose",
            f"the certificate does not have {missing}, for which the device checks",
            where=signer.source,
            hint=f"issue it with keyUsage=digitalSignature and extendedKeyUsage={name}; or say by the option `purpose` "
            "what else the device checks for",
        )


def _extension(certificate: Certificate, kind: type[ExtensionT]) -> ExtensionT | None:
    from cryptography.x509 import ExtensionNotFound

    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except ExtensionNotFound:
        return None


def _message(digest: bytes, signer: Signer, encapsulated: bytes) -> bytes:
    attributes = (_attribute(_CONTENT_TYPE, _DATA), _attribute(_MESSAGE_DIGEST, element(OCTETS, digest)))
    signature = signer.sign(set_of(attributes))
    information = sequence(
        _VERSION,
        _issuer_and_serial(signer.certificates[0]),
        _SHA256,
        set_of(attributes, tag=0xA0),
        _SCHEMES[signer.kind],
        element(OCTETS, signature),
    )
    signed = sequence(
        _VERSION, set_of((_SHA256,)), encapsulated, set_of(signer.certificates, tag=0xA0), set_of((information,))
    )
    return sequence(_SIGNED_DATA, explicit(0, signed))


def _attribute(name: bytes, value: bytes) -> bytes:
    return sequence(name, set_of((value,)))


def _issuer_and_serial(certificate: bytes) -> bytes:
    """Copied byte by byte, for a verifier compares bytes. The certificate is known to be well-formed."""
    _, signed, _ = split(split(certificate)[1])
    if signed[0] == 0xA0:  # the version, which certificates of version 1 leave out
        signed = split(signed)[2]
    serial, _, rest = split(signed)
    _, _, rest = split(rest)  # the issuer's signature scheme
    issuer, _, _ = split(rest)
    return sequence(issuer, serial)
