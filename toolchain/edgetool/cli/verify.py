"""`edgetool verify`: every file of a bundle against its hash, and the whole against its signature.

`edgetool.cli.entry` runs the verifier without loading the command line's library; what is declared here is for
`--help` and shell completion, and a test holds both to the same options.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from edgetool.cli.options import Json, Quiet, flag


def verify(
    bundle: Annotated[list[Path] | None, typer.Argument(metavar="BUNDLE", help="Folders NAME.edgebundle.")] = None,
    key: Annotated[
        Path | None, typer.Option("--key", metavar="FILE", help="Public key that must have signed, PEM.")
    ] = None,
    ca: Annotated[
        Path | None,
        typer.Option("--ca", metavar="FILE", help="Certificates of authorities that may vouch for the signer, PEM."),
    ] = None,
    signature: Annotated[
        Path | None, typer.Option("--signature", metavar="FILE", help="The signature; BUNDLE.sig when left out.")
    ] = None,
    target: Annotated[
        str | None, typer.Option("--target", metavar="NAME", help="The target that bundles must be for.")
    ] = None,
    digest: Annotated[
        str | None, typer.Option("--digest", metavar="SHA256", help="The content digest that is expected.")
    ] = None,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="TIME", help="When certificates must be valid: 2030-01-31, in UTC; or now."),
    ] = None,
    hashes_only: Annotated[bool, flag("--hashes-only", help="Check no signature: find damage, not forgery.")] = False,
    write_verifier: Annotated[
        Path | None,
        typer.Option(
            "--write-verifier", metavar="FILE", help="Write edgetool-verify.pyz, which does this on a device."
        ),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check every file of a bundle, and its signature.

    Needs nothing but Python's standard library, and the package cryptography or the program openssl for signatures. A
    signature counts only where --key or --ca says who is trusted.
    """
    from edgetool.trust.verifier import main

    values = {
        "--key": key,
        "--ca": ca,
        "--signature": signature,
        "--target": target,
        "--digest": digest,
        "--at": at,
        "--write-verifier": write_verifier,
    }
    flags = {"--hashes-only": hashes_only, "--json": json, "--quiet": quiet}
    named = [f"{name}={value}" for name, value in values.items() if value is not None]
    sys.exit(main([*named, *(name for name, is_set in flags.items() if is_set), "--", *map(str, bundle or ())]))
