"""Keys that never leave their token: a smart card, a USB token or a hardware security module, spoken to by PKCS#11."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgetool.errors import ConfigError, UnavailableError
from edgetool.trust.certificates import check_certificates
from edgetool.trust.pem import check_kind
from edgetool.trust.pkcs11_uri import TokenUri, parse_token_uri, read_pin
from edgetool.trust.signer import HashName, KeyKind

if TYPE_CHECKING:
    from pkcs11 import Session, Token


@dataclass(frozen=True, slots=True)
class TokenSigner:
    """A key in a token. Each signature opens a session of its own, for tokens close those that wait."""

    uri: TokenUri
    public_key: bytes
    certificates: tuple[bytes, ...]
    kind: KeyKind
    bits: int

    @property
    def source(self) -> str:
        return self.uri.shown

    @property
    def deterministic(self) -> bool:
        """A token draws the random number of ECDSA itself."""
        return self.kind == "rsa"

    def sign(self, data: bytes, *, hash_name: HashName = "sha256") -> bytes:
        from pkcs11 import Mechanism

        with _errors(self.uri), _session(self.uri) as session:
            key = _private_key(session, self.uri)
            if self.kind == "rsa":
                mechanisms = {
                    "sha256": Mechanism.SHA256_RSA_PKCS,
                    "sha384": Mechanism.SHA384_RSA_PKCS,
                    "sha512": Mechanism.SHA512_RSA_PKCS,
                }
                return bytes(key.sign(data, mechanism=mechanisms[hash_name]))
            # Many tokens know no ECDSA with a hash, and all know the plain one.
            pair = key.sign(hashlib.new(hash_name, data).digest(), mechanism=Mechanism.ECDSA)
        return _as_der(bytes(pair))


def token_signer(named: str, certificates: tuple[bytes, ...]) -> TokenSigner:
    """The key that a `pkcs11:` URI names, checked against its certificate.

    Args:
        named: RFC 7512, with `module-path`, and `token` and `object` or `id` as far as they are needed.
        certificates: DER, the key's own first; may be empty.

    Raises:
        ConfigError: `pkcs11-uri-invalid`, `token-pin`, `token-key-not-found`, `key-unsuitable`; and as
            `check_certificates`.
        UnavailableError: `requirement-missing`, `token-not-found`, `token-failed`.
    """
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    uri = parse_token_uri(named)
    _require_library(uri)
    with _errors(uri), _session(uri) as session:
        public = _public_key(session, uri, certificates)
    kind, bits = check_kind(public, uri.shown)
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    check_certificates(certificates, pem, source=uri.shown)
    return TokenSigner(uri, pem, certificates, kind, bits)


@contextmanager
def _session(uri: TokenUri) -> Iterator[Session]:
    pin = read_pin(uri)
    with _token(uri).open(user_pin=pin) as session:
        yield session


def _token(uri: TokenUri) -> Token:
    import pkcs11

    try:
        library = pkcs11.lib(uri.module_path)
    except (RuntimeError, OSError) as error:
        raise UnavailableError(
            "token-not-found",
            f"the token's library cannot be loaded: {str(error)[:200]}",
            where=uri.shown,
            hint="name it by module-path in the URI or by EDGETOOL_PKCS11_MODULE; it comes with the token's driver",
        ) from error
    present = (slot.get_token() for slot in library.get_slots(token_present=True))
    there = [token for token in present if token.flags & pkcs11.TokenFlag.TOKEN_INITIALIZED]
    fitting = [
        token for token in there if uri.fits_token(token.label, token.serial, token.manufacturer_id, token.model)
    ]
    if len(fitting) == 1:
        return fitting[0]
    labels = ", ".join(sorted({repr(token.label) for token in there if token.label})) or "none"
    raise UnavailableError(
        "token-not-found",
        "no token fits the URI" if not fitting else f"{len(fitting)} tokens fit the URI",
        where=uri.shown,
        hint=f"name one with token=LABEL; there are: {labels}",
    )


def _private_key(session: Session, uri: TokenUri) -> Any:
    from pkcs11 import ObjectClass

    found = _objects(session, uri, ObjectClass.PRIVATE_KEY)
    if len(found) == 1:
        return found[0]
    if not found and read_pin(uri) is None:
        raise _pin_error("the token has no such key that it shows without the PIN", uri)
    raise ConfigError(
        "token-key-not-found",
        "the token has no such private key" if not found else f"{len(found)} private keys of the token fit the URI",
        where=uri.shown,
        hint="name one with object=LABEL or id=%01; `pkcs11-tool --module LIBRARY --login -O` lists them",
    )


def _objects(session: Session, uri: TokenUri, kind: Any) -> list[Any]:
    from pkcs11 import Attribute

    template: dict[Any, Any] = {Attribute.CLASS: kind}
    if uri.label is not None:
        template[Attribute.LABEL] = uri.label
    if uri.id is not None:
        template[Attribute.ID] = uri.id
    return list(session.get_objects(template))


def _public_key(session: Session, uri: TokenUri, certificates: tuple[bytes, ...]) -> Any:
    """From the private key itself, its public twin, or the certificate that the user named."""
    from cryptography.hazmat.primitives.serialization import load_der_public_key
    from cryptography.x509 import load_der_x509_certificate
    from pkcs11 import Attribute, KeyType, ObjectClass, PKCS11Error
    from pkcs11.util.ec import encode_ec_public_key
    from pkcs11.util.rsa import encode_rsa_public_key

    private = _private_key(session, uri)
    if private.key_type not in (KeyType.RSA, KeyType.EC):
        raise ConfigError(
            "key-unsuitable",
            "this key cannot sign: update systems check keys of kind EC and RSA only",
            where=uri.shown,
            hint="make one: pkcs11-tool --module LIBRARY --login --keypairgen --key-type EC:prime256v1 --label NAME",
        )
    encode = encode_rsa_public_key if private.key_type is KeyType.RSA else encode_ec_public_key
    with contextlib.suppress(PKCS11Error):  # keys without an id, tokens that hide what is public
        twins = [row for row in _objects(session, uri, ObjectClass.PUBLIC_KEY) if row[Attribute.ID] == private.id]
        if twins:
            return load_der_public_key(encode(twins[0]))
    if certificates:
        return load_der_x509_certificate(certificates[0]).public_key()
    raise ConfigError(
        "token-key-not-found",
        "the token does not show the public half of the key",
        where=uri.shown,
        hint="name the key's certificate with --certificate, or store the public key in the token under the same id",
    )


@contextmanager
def _errors(uri: TokenUri) -> Iterator[None]:
    """What the token refuses, as an error that says what to do. None of them holds the PIN."""
    import pkcs11

    try:
        yield
    except (pkcs11.PinIncorrect, pkcs11.PinLenRange, pkcs11.PinInvalid) as error:
        raise _pin_error("the token refuses the PIN", uri) from error
    except pkcs11.PinLocked as error:
        raise _pin_error("the token has locked its PIN after too many wrong ones", uri) from error
    except (pkcs11.UserNotLoggedIn, pkcs11.PinExpired) as error:
        raise _pin_error("the token wants a PIN", uri) from error
    except pkcs11.PKCS11Error as error:
        raise UnavailableError(
            "token-failed",
            f"the token gave up: {type(error).__name__}",
            where=uri.shown,
            hint="see whether it is plugged in, and what `pkcs11-tool --module LIBRARY --login --test` says",
        ) from error


def _pin_error(message: str, uri: TokenUri) -> ConfigError:
    return ConfigError(
        "token-pin",
        message,
        where=uri.shown,
        hint="put it into the environment variable EDGETOOL_PIN, or into a file named by pin-source in the URI",
    )


def _require_library(uri: TokenUri) -> None:
    try:
        import pkcs11  # noqa: F401 # asked for here, so that what follows can rely on it
    except ImportError as error:
        raise UnavailableError(
            "requirement-missing",
            "keys in tokens need the package python-pkcs11, which is not installed",
            where=uri.shown,
            hint="pip install python-pkcs11",
        ) from error


def _as_der(pair: bytes) -> bytes:
    """ECDSA-Sig-Value of the two numbers that a token gives, one behind the other."""
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    half = len(pair) // 2
    return encode_dss_signature(int.from_bytes(pair[:half]), int.from_bytes(pair[half:]))
