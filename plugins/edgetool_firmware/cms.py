"""CMS SignedData (RFC 5652) over a small file, by any key that can sign: those in a token, too.

Binary, without signed attributes, so that no clock is part of it: by an RSA key, equal content gives an equal message. The
hash is SHA-256, with identifiers as RFC 5754 wants them.
"""

from __future__ import annotations

from edgetool.errors import ConfigError
from edgetool.trust.signer import Signer
from edgetool_firmware.der import NULL, OCTETS, element, explicit, identifier, integer, sequence, set_of, split

_DATA = identifier("1.2.840.113549.1.7.1")
_SIGNED_DATA = identifier("1.2.840.113549.1.7.2")
_SHA256 = sequence(identifier("2.16.840.1.101.3.4.2.1"))
_SCHEMES = {
    "rsa": sequence(identifier("1.2.840.113549.1.1.1"), element(NULL, b"")),
    "ec": sequence(identifier("1.2.840.10045.4.3.2")),  # ecdsa-with-SHA256
}
_VERSION = integer(1)
_EMAIL, _CODE, _ANY = "1.3.6.1.5.5.7.3.4", "1.3.6.1.5.5.7.3.3", "2.5.29.37.0"


def sign_detached(content: bytes, signer: Signer) -> bytes:
    """A message (DER) that leaves the content out."""
    return _message(content, signer, sequence(_DATA))


def sign_inline(content: bytes, signer: Signer) -> bytes:
    """A message (DER) that holds the content."""
    return _message(content, signer, sequence(_DATA, explicit(0, element(OCTETS, content))))


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
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        purposes = {purpose.dotted_string for purpose in usage}
    except x509.ExtensionNotFound:
        purposes = set() if code_signing else {_ANY}
    if not purposes & {wanted, _ANY}:
        raise ConfigError(
            "certificate-purpose",
            f"the certificate's extended key usage does not have {name}, for which the device checks",
            where=signer.source,
            hint=f"issue it with extendedKeyUsage={name}, or change `purpose` of the format and of the device",
        )


def _message(content: bytes, signer: Signer, encapsulated: bytes) -> bytes:
    signature = signer.sign(content)
    information = sequence(
        _VERSION, _issuer_and_serial(signer.certificates[0]), _SHA256, _SCHEMES[signer.kind], element(OCTETS, signature)
    )
    signed = sequence(
        _VERSION, set_of((_SHA256,)), encapsulated, set_of(signer.certificates, tag=0xA0), set_of((information,))
    )
    return sequence(_SIGNED_DATA, explicit(0, signed))


def _issuer_and_serial(certificate: bytes) -> bytes:
    """Copied byte by byte, for a verifier compares bytes. The certificate is known to be well-formed."""
    _, signed, _ = split(split(certificate)[1])
    if signed[0] == 0xA0:  # the version, which certificates of version 1 leave out
        signed = split(signed)[2]
    serial, _, rest = split(signed)
    _, _, rest = split(rest)  # the issuer's signature scheme
    issuer, _, _ = split(rest)
    return sequence(issuer, serial)
