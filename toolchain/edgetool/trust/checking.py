"""Decides whether a signature vouches for what was found in a bundle. Runs with Python 3.8 and its standard library.

Who does the cryptography is for the caller to choose: a `Checker` knows nothing of bundles.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from edgetool.bundle.verify import MANIFEST, printable
from edgetool.trust.ec_keys import curve_bits
from edgetool.trust.model_signing import HASHES, Envelope, Statement, key_hint, read_envelope, read_statement
from edgetool.trust.x509_der import ANY_PURPOSE, CODE_SIGNING, Certificate, read_certificate

if TYPE_CHECKING:
    from edgetool.trust.signer import HashName

MAX_DEPTH = 8
_SHOWN = 3
_HINT = 16  # hex digits of a key that are shown


class RefusedError(Exception):
    """A signature does not vouch for the bundle; the message says why."""


class CheckerMissingError(Exception):
    """What checks signatures is not on this machine."""


class Checker(Protocol):
    """Something that knows cryptography.

    Attributes:
        name: with its version, to be shown.
    """

    @property
    def name(self) -> str: ...

    def is_signed(self, data: bytes, signature: bytes, *, public_key: bytes, hash_name: HashName) -> bool:
        """Whether `signature` (ECDSA-Sig-Value) over `data` is by that key (SubjectPublicKeyInfo, DER)."""

    def distrust(self, chain: Sequence[bytes], authorities: Sequence[bytes], *, at: int) -> str | None:
        """Why no authority vouches for the first certificate of the chain; None where one does.

        Args:
            chain: DER, the one in question first, then any that may stand between it and an authority.
            authorities: DER of the certificates that are trusted.
            at: the time that counts, in seconds since 1970.
        """


@dataclass(frozen=True)
class Trust:
    """Whom the user trusts: one public key, or authorities who vouch for keys.

    Attributes:
        public_key: SubjectPublicKeyInfo, DER; None where authorities are trusted.
        authorities: certificates, DER.
        at: the time at which certificates have to be valid, in seconds since 1970.
    """

    public_key: bytes | None
    authorities: tuple[bytes, ...]
    at: int


def check(data: bytes, hashes: Mapping[str, str], *, trust: Trust, checker: Checker) -> str:
    """Check a signature against what a bundle holds.

    Args:
        data: the signature file.
        hashes: path to sha256 hex of every file of the bundle.
        trust: whom to believe.
        checker: does the cryptography.

    Returns:
        Who signed, in words.

    Raises:
        RefusedError: the signature does not vouch for these files.
        CheckerMissingError: the checker cannot work.
    """
    try:
        envelope = read_envelope(data)
        chain = [read_certificate(der) for der in envelope.certificates]
    except ValueError as error:
        raise RefusedError(f"it is not a signature that can be checked: {error}") from error
    key, signer = _trusted_key(envelope, chain, trust, checker)
    bits = curve_bits(key)
    if bits is None:
        raise RefusedError(f"{signer} is not of the curves P-256, P-384 and P-521")
    hash_name = HASHES[bits]
    if not checker.is_signed(envelope.signed_bytes, envelope.signature, public_key=key, hash_name=hash_name):
        raise RefusedError(f"{signer} did not make it, or it was changed since")
    try:
        statement = read_statement(envelope.payload)
    except ValueError as error:
        raise RefusedError(str(error)) from error
    if reason := _disagreement(statement, hashes):
        raise RefusedError(reason)
    return signer


def staleness(data: bytes, hashes: Mapping[str, str]) -> str | None:
    """Why a signature cannot be of a bundle, whoever made it; None where it may be.

    Args:
        data: the file; None is also the answer for one of another format, about which nothing is known here.
        hashes: path to sha256 hex of every file of the bundle.
    """
    try:
        statement = read_statement(read_envelope(data).payload)
    except ValueError:
        return None
    return _disagreement(statement, hashes)


def _trusted_key(envelope: Envelope, chain: Sequence[Certificate], trust: Trust, checker: Checker) -> tuple[bytes, str]:
    """The key that has to have signed, and its name."""
    if trust.public_key is not None:
        hint = key_hint(trust.public_key)
        if envelope.key_hint is not None and envelope.key_hint != hint:
            made_with = printable(envelope.key_hint[:_HINT])
            raise RefusedError(f"it was made with another key: {made_with}…, the trusted one is {hint[:_HINT]}…")
        return trust.public_key, f"key {hint[:_HINT]}…"
    if not chain:
        raise RefusedError("it carries no certificate: it was made with a bare key")
    own = chain[0]
    name = certificate_name(own)
    if not own.begins <= trust.at:
        raise RefusedError(f"{name} is not valid before {_date(own.begins)}; the time is {_date(trust.at)}")
    if not trust.at < own.ends:  # as OpenSSL has it: in the last second a certificate has expired
        raise RefusedError(f"{name} expired on {_date(own.ends)}; the time is {_date(trust.at)}")
    if fault := purpose_fault(chain):
        raise RefusedError(fault)
    reason = checker.distrust(envelope.certificates, trust.authorities, at=trust.at)
    if reason is not None:
        raise RefusedError(f"no trusted authority vouches for {name}: {printable(reason)}")
    return own.public_key, name


def purpose_fault(chain: Sequence[Certificate]) -> str | None:
    """Why certificates are not for signing code, whoever issued them; None where they are.

    RFC 5280, sections 4.2.1.3 and 4.2.1.12. A certificate that says nothing of its use at all is refused, too.

    Args:
        chain: the signer's own first, those of its issuers after it.
    """
    own, *others = chain
    name = certificate_name(own)
    if own.signs is False:
        return f"{name} is not for signatures: its key usage lacks digitalSignature"
    if own.purposes is not None and not own.purposes & {CODE_SIGNING, ANY_PURPOSE}:
        return f"{name} is not for code: its extended key usage lacks codeSigning"
    if own.signs is None and own.purposes is None:
        return f"{name} does not say that it is for signatures: it needs keyUsage or extendedKeyUsage"
    for other in others:
        if other.purposes is not None and not other.purposes & {CODE_SIGNING, ANY_PURPOSE}:
            return f"{certificate_name(other)} may not vouch for code: its extended key usage lacks codeSigning"
    return None


def certificate_name(certificate: Certificate) -> str:
    """What a certificate is called in messages."""
    return f"the certificate of {printable(certificate.name)[:80]!r}"


def _disagreement(statement: Statement, hashes: Mapping[str, str]) -> str | None:
    signed = statement.hashes
    missing = sorted(signed.keys() - hashes.keys())
    added = sorted(hashes.keys() - signed.keys())
    changed = sorted(path for path in signed.keys() & hashes.keys() if signed[path] != hashes[path])
    if MANIFEST in changed:
        name = printable(statement.name)[:120]
        return f"it was made for another bundle, {name!r}: {_count(changed, missing, added)} differ"
    parts = (("changed since", changed), ("gone", missing), ("not signed", added))
    return "; ".join(f"{state}: {_some(paths)}" for state, paths in parts if paths) or None


def _count(*paths: Sequence[str]) -> str:
    count = sum(map(len, paths))
    return f"{count} file" if count == 1 else f"{count} files"


def _some(paths: Sequence[str]) -> str:
    shown = ", ".join(printable(path) for path in paths[:_SHOWN])
    return f"{shown} and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else shown


def _date(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(max(seconds, 0)))
