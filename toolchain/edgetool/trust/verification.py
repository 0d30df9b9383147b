"""Checks a bundle and its signature, with what this machine has. Runs with Python 3.8 and its standard library."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path

from edgetool.bundle.verify import MAX_JSON, Fault, Verification, printable, verify
from edgetool.trust.checking import Checker, CheckerMissingError, RefusedError, Trust, check

SUFFIX = ".sig"

_SOUND, _UNCHECKED, _FAULTY = 0, 5, 7


@dataclass(frozen=True)
class Outcome:
    """What came of checking a bundle and its signature.

    Attributes:
        files: the bundle's files against its manifest.
        place: where the signature is, or would be.
        status: of the signature: `valid`, `refused`, `absent`, or `unchecked`.
        detail: who signed, why the signature was refused, or why nobody looked at it.
        passes: False where a signature was to be checked and could not be.
        checked_by: what did the cryptography; None where nothing did.
    """

    files: Verification
    place: Path
    status: str
    detail: str
    passes: bool = True
    checked_by: str | None = None

    @property
    def faults(self) -> tuple[Fault, ...]:
        refused = (Fault("signature", self.place.name, self.detail),) if self.status == "refused" else ()
        return self.files.faults + refused

    @property
    def exit_code(self) -> int:
        """0 sound, 5 a signature was not checked, 7 a fault."""
        if self.faults:
            return _FAULTY
        return _SOUND if self.passes else _UNCHECKED

    def to_json(self) -> dict[str, object]:
        return {
            **self.files.to_json(),
            "sound": not self.faults,
            "faults": [{"kind": row.kind, "path": printable(row.path), "message": row.message} for row in self.faults],
            "signature": {
                "status": self.status,
                "file": str(self.place),
                "detail": self.detail,
                "checked_by": self.checked_by,
            },
        }


@dataclass(frozen=True)
class Demands:
    """What a bundle must be to pass.

    Attributes:
        trust: who must have signed; None where nobody has to.
        digest: the content digest; None for any.
        target: name of the target; None for any.
        hashes_only: an unchecked signature passes, for the user asked for no more.
        named: a bundle passes only for a reason that was named: `trust`, `digest` or `hashes_only`.
    """

    trust: Trust | None = None
    digest: str | None = None
    target: str | None = None
    hashes_only: bool = False
    named: bool = False


def signature_of(bundle: Path) -> Path:
    """Where a bundle's signature lies: beside it, for nothing that a bundle does not list may lie inside."""
    whole = bundle.absolute()
    return whole.with_name(whole.name + SUFFIX)


def verify_signed(bundle: Path, demands: Demands, *, signature: Path | None = None) -> Outcome:
    """Check every file of a bundle, then that somebody who is trusted signed exactly these files.

    Args:
        bundle: the folder.
        demands: what it must be.
        signature: the file; `signature_of(bundle)` when left out.

    Raises:
        OSError: there is no such folder, or it cannot be read.
    """
    place = signature or signature_of(bundle)
    files = verify(bundle, digest=demands.digest, target=demands.target)
    if demands.trust is None:
        return _unchecked(files, place, demands)
    if files.faults:
        return Outcome(files, place, "unchecked", "the files are not as recorded")
    try:
        data = _read(place)
        checker = _checker()
        signer = check(data, files.hashes, trust=demands.trust, checker=checker)
    except RefusedError as error:
        return Outcome(files, place, "refused", str(error))
    except CheckerMissingError as error:
        return Outcome(files, place, "unchecked", str(error), passes=False)
    return Outcome(files, place, "valid", signer, checked_by=checker.name)


def _unchecked(files: Verification, place: Path, demands: Demands) -> Outcome:
    """No key is trusted, so no signature is looked at: that passes where the user cannot take it for a check."""
    there = place.exists() or place.is_symlink()
    known = demands.hashes_only or demands.digest is not None
    passes = known or not (there or demands.named)
    if not passes:
        detail = "name the signer's key (--key) or its authority (--ca), or ask for --hashes-only"
    elif demands.hashes_only:
        detail = "hashes only, signature not checked"
    else:
        detail = "signature not checked" if there else "not signed"
    return Outcome(files, place, "unchecked" if there else "absent", detail, passes=passes)


def _read(place: Path) -> bytes:
    """The bytes of a signature file. Raises RefusedError."""
    try:
        if not stat.S_ISREG(place.stat().st_mode):
            raise RefusedError("the signature is not a regular file")
        with place.open("rb") as file:
            data = file.read(MAX_JSON + 1)
    except FileNotFoundError as error:
        raise RefusedError("there is no signature") from error
    except OSError as error:
        raise RefusedError(f"the signature cannot be read: {error.strerror}") from error
    if len(data) > MAX_JSON:
        raise RefusedError(f"the signature is larger than {MAX_JSON >> 20} MiB")
    return data


def _checker() -> Checker:
    """The library where it is installed, else the program. Raises CheckerMissingError."""
    try:
        from edgetool.trust.cryptography_library import CryptographyLibrary
    except ImportError:
        from edgetool.trust.openssl_program import OpensslProgram

        return OpensslProgram()
    return CryptographyLibrary()
