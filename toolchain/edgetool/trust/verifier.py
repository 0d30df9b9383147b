"""The command line of `edgetool verify`, which is also all of `edgetool-verify.pyz`.

Runs with Python 3.8 and its standard library; what checks signatures is loaded when there is one to check.
"""

from __future__ import annotations

import argparse
import calendar
import json
import os
import sys
import time
from pathlib import Path

from edgetool.bundle.verify import BUNDLE_IS, MANIFEST, printable
from edgetool.trust.checking import Trust
from edgetool.trust.named_trust import UnusableError, trust_in_authorities, trust_in_key
from edgetool.trust.verification import Demands, Outcome, verify_signed

_UNUSABLE, _UNCHECKED = 2, 5
_UNCHECKED_CODE = "signature-unchecked"
_TIMES = ("%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ")


def main(arguments: list[str] | None = None, *, on_device: bool = False) -> int:
    """Check bundles and say what came of it.

    Args:
        arguments: of the command line.
        on_device: a bundle passes only for a reason that the command line names: a key, an authority, the content
            digest, or `--hashes-only`. Elsewhere one that is not signed passes, too, where none of these is named.

    Returns:
        0 when all bundles are sound, 7 when one is not, 5 when a signature was not checked, 2 when something that the
        command line names cannot be used; the largest where bundles differ.
    """
    parser = _parser(on_device=on_device)
    options = parser.parse_args(arguments)
    if not on_device and options.write_verifier is not None and not options.bundle:
        return _write_verifier(options.write_verifier)
    if wrong := _contradiction(options):
        parser.error(wrong)
    try:
        trust = _trust(options)
    except UnusableError as error:
        print(f"error[{error.code}]: {printable(str(error))}", file=sys.stderr)
        return _UNUSABLE
    demands = Demands(trust, options.digest, options.target, options.hashes_only, named=on_device)
    return max(_report(bundle, demands, options) for bundle in options.bundle)


def _parser(*, on_device: bool) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edgetool-verify.pyz" if on_device else "edgetool verify",
        description="Check every file of bundles against their manifests, and their signatures.",
    )
    add = parser.add_argument
    add("bundle", type=Path, nargs="*", metavar="BUNDLE", help="the folder NAME.edgebundle")
    add("--key", type=Path, metavar="FILE", help="public key that must have signed, PEM")
    add("--ca", type=Path, metavar="FILE", help="certificates of authorities that may vouch for the signer, PEM")
    add("--signature", type=Path, metavar="FILE", help="the signature; BUNDLE.sig when left out")
    add("--target", metavar="NAME", help="the target that bundles must be for")
    add("--digest", metavar="SHA256", help="the content digest that is expected")
    add(
        "--at",
        type=_time,
        metavar="TIME",
        help="when certificates must be valid: 2030-01-31, in UTC; now when left out",
    )
    add("--hashes-only", action="store_true", help="check no signature: find damage, not forgery")
    add("--json", action="store_true", help="print the outcome of each bundle as a JSON line")
    add("--quiet", "-q", action="store_true", help="print nothing about bundles that pass")
    if not on_device:
        add(
            "--write-verifier", type=Path, metavar="FILE", help="write edgetool-verify.pyz, which does this on a device"
        )
    return parser


def _contradiction(options: argparse.Namespace) -> str | None:
    """Why options cannot stand together; None when they can."""
    trusts = options.key is not None or options.ca is not None
    if not options.bundle:
        return "name a bundle"
    if options.key is not None and options.ca is not None:
        return "--key and --ca are two ways of trusting: choose one"
    if options.hashes_only and (trusts or options.signature is not None):
        return "--hashes-only checks no signature, so it takes no --key, --ca and --signature"
    if options.signature is not None and not trusts:
        return "--signature needs --key or --ca: a signature proves nothing where its signer is not known"
    if options.signature is not None and len(options.bundle) > 1:
        return "--signature is of one bundle"
    if options.at is not None and options.ca is None:
        return "--at needs --ca: a bare key does not expire"
    if getattr(options, "write_verifier", None) is not None:
        return "--write-verifier stands alone"
    return None


def _time(text: str) -> int:
    for form in _TIMES:
        try:
            return calendar.timegm(time.strptime(text, form))
        except ValueError:
            continue
    raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 2030-01-31 or 2030-01-31T12:00:00Z")


def _trust(options: argparse.Namespace) -> Trust | None:
    at = int(time.time()) if options.at is None else options.at
    if options.key is not None:
        return trust_in_key(options.key, at=at)
    return None if options.ca is None else trust_in_authorities(options.ca, at=at)


def _report(bundle: Path, demands: Demands, options: argparse.Namespace) -> int:
    """Check one bundle and print what came of it; returns its exit code."""
    try:
        outcome = verify_signed(bundle, demands, signature=options.signature)
    except OSError as error:
        print(f"error[bundle-not-found]: {printable(str(error))}", file=sys.stderr)
        print(f"  hint: {BUNDLE_IS}", file=sys.stderr)
        return _UNUSABLE
    if options.json:
        print(json.dumps({**outcome.to_json(), "bundle": str(bundle)}))
    elif not outcome.exit_code and not options.quiet:
        print(_line(bundle, outcome))
    for fault in outcome.faults:
        print(f"{bundle}: {fault}", file=sys.stderr)
    if outcome.faults and not os.path.lexists(bundle / MANIFEST):
        print(f"  hint: {BUNDLE_IS}", file=sys.stderr)
    if outcome.exit_code == _UNCHECKED:
        print(f"error[{_UNCHECKED_CODE}]: {bundle}: signature not checked: {outcome.detail}", file=sys.stderr)
    return outcome.exit_code


def _line(bundle: Path, outcome: Outcome) -> str:
    files = outcome.files
    said = f"signed by {outcome.detail}" if outcome.status == "valid" else outcome.detail
    return f"{bundle}: sound, {files.files} files, {files.size} bytes, content {files.content_digest}, {said}"


def _write_verifier(path: Path) -> int:
    from edgetool.trust.pyz import write_verifier

    write_verifier(path)
    print(f"wrote {path}")
    return 0
