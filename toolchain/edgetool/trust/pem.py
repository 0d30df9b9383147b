"""Private keys in PEM text."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgetool.errors import ConfigError
from edgetool.trust.certificates import check_certificates
from edgetool.trust.signer import HashName, KeyKind

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
    from cryptography.hazmat.primitives.hashes import HashAlgorithm

SMALLEST_RSA = 2048
CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----")
_MAKE_ONE = "make one: openssl ecparam -name prime256v1 -genkey -noout -out key.pem"


@dataclass(frozen=True, slots=True, repr=False)
class PemSigner:
    """A key in memory. Its `repr` shows nothing of it."""

    source: str
    public_key: bytes
    certificates: tuple[bytes, ...]
    kind: KeyKind
    bits: int
    _key: EllipticCurvePrivateKey | RSAPrivateKey = field(compare=False)

    @property
    def deterministic(self) -> bool:
        return self.kind == "rsa" or _has_rfc6979()

    def sign(self, data: bytes, *, hash_name: HashName = "sha256") -> bytes:
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec, padding

        known: dict[HashName, HashAlgorithm] = {
            "sha256": hashes.SHA256(),
            "sha384": hashes.SHA384(),
            "sha512": hashes.SHA512(),
        }
        algorithm = known[hash_name]
        if isinstance(self._key, ec.EllipticCurvePrivateKey):
            return self._key.sign(data, ec.ECDSA(algorithm, deterministic_signing=_has_rfc6979()))
        return self._key.sign(data, padding.PKCS1v15(), algorithm)


def pem_signer(pem: bytes, *, source: str, password: str | None, certificates: tuple[bytes, ...]) -> PemSigner:
    """The key in a PEM text, checked against its certificate.

    Args:
        pem: PKCS#8, or the traditional forms of EC and RSA.
        source: where it came from, to be shown.
        password: of an encrypted key; a key that is not encrypted needs none.
        certificates: DER, the key's own first; may be empty.

    Raises:
        ConfigError: `key-invalid`, `key-password`, `key-unsuitable`; and as `check_certificates`.
    """
    from cryptography.hazmat.primitives import serialization

    key = _private_key(pem, source, password)
    public = key.public_key()
    kind, bits = check_kind(public, source)
    text = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    check_certificates(certificates, text, source=source)
    return PemSigner(source, text, certificates, kind, bits, key)  # type: ignore[arg-type]  # check_kind refused others


def check_kind(public: PublicKeyTypes, source: str) -> tuple[KeyKind, int]:
    """Kind and size of a key that signs what devices can check. Raises ConfigError `key-unsuitable`."""
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    if isinstance(public, ec.EllipticCurvePublicKey):
        if public.curve.name in CURVES:
            return "ec", public.curve.key_size
        reason = f"its curve is {public.curve.name}, and update systems check {', '.join(CURVES.values())} only"
    elif isinstance(public, rsa.RSAPublicKey):
        if public.key_size >= SMALLEST_RSA:
            return "rsa", public.key_size
        reason = f"an RSA key of {public.key_size} bits can be forged: {SMALLEST_RSA} are the least"
    else:
        name = type(public).__name__.removesuffix("PublicKey")
        reason = f"it is a {name} key, which update systems and the signature format do not know"
    raise ConfigError("key-unsuitable", f"this key cannot sign: {reason}", where=source, hint=_MAKE_ONE)


def _private_key(pem: bytes, source: str, password: str | None) -> PrivateKeyTypes:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    _check_framing(pem, source)
    try:
        return load_pem_private_key(pem, None)
    except TypeError as error:
        if not password:
            raise ConfigError(
                "key-password",
                "the private key is encrypted, and no password is given",
                where=source,
                hint="put its password into the environment variable EDGETOOL_KEY_PASSWORD",
            ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _damaged(source, error) from error
    try:
        return load_pem_private_key(pem, password.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError(
            "key-password",
            "the password in EDGETOOL_KEY_PASSWORD does not open the private key",
            where=source,
            hint="correct the variable; openssl pkey -in KEY -noout asks for the password and says whether it fits",
        ) from error


def _check_framing(pem: bytes, source: str) -> None:
    """Say what a file holds instead of a private key, where its first lines tell."""
    kinds = [match.decode() for match in _BLOCK.findall(pem)]
    private = [kind for kind in kinds if kind.endswith("PRIVATE KEY")]
    if not kinds:
        raise ConfigError(
            "key-invalid",
            "it is not PEM: there is no line -----BEGIN ... PRIVATE KEY-----",
            where=source,
            hint="turn DER into PEM with openssl pkey -inform DER, PKCS#12 with openssl pkcs12 -nodes",
        )
    if not private:
        raise ConfigError(
            "key-invalid",
            f"it holds a {kinds[0].lower()}, not a private key",
            where=source,
            hint="name the file that holds the private key; it never leaves the machine that signs",
        )
    if len(private) > 1:
        raise ConfigError(
            "key-invalid",
            f"it holds {len(private)} private keys, and nothing says which is meant",
            where=source,
            hint="put each key into a file of its own",
        )
    if private[0] == "OPENSSH PRIVATE KEY":
        raise ConfigError(
            "key-invalid",
            "it is in the form that ssh uses",
            where=source,
            hint="use a key of its own for signing, or turn a copy into PEM: ssh-keygen -p -m PKCS8 -f COPY",
        )


def _damaged(source: str, error: Exception) -> ConfigError:
    reason = str(error).split(" See https", maxsplit=1)[0].split("(", maxsplit=1)[0].strip()
    return ConfigError(
        "key-invalid",
        f"the private key is damaged or of an unknown kind: {reason[:120]}",
        where=source,
        hint="openssl pkey -in KEY -noout -text says what OpenSSL makes of it",
    )


def _has_rfc6979() -> bool:
    """Whether equal bytes get equal ECDSA signatures (RFC 6979), which older OpenSSL cannot do."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
    except (UnsupportedAlgorithm, TypeError):
        return False
    return True
