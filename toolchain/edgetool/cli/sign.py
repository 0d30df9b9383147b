"""`edgetool sign`: one file beside a bundle that says who made it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgetool.cli.bundled import BundlePath
from edgetool.cli.options import Json, Quiet
from edgetool.cli.output import Output

Key = Annotated[str, typer.Option("--key", metavar="KEY", help="Private key: PEM file, env:NAME, or pkcs11: URI.")]
Certificate = Annotated[
    Path | None, typer.Option("--certificate", metavar="FILE", help="Certificate of the key, PEM, issuers after it.")
]
Into = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="The signature; BUNDLE.sig when left out.")
]


def sign(
    bundle: BundlePath,
    key: Key,
    certificate: Certificate = None,
    output_path: Into = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Sign BUNDLE, after checking every byte of it.

    The signature is a file of the OpenSSF model-signing format. It goes beside the bundle, and packages carry it along.
    The password of an encrypted key is taken from EDGETOOL_KEY_PASSWORD, the PIN of a token from EDGETOOL_PIN.
    """
    from edgetool.disk import shown
    from edgetool.trust.attestation import attest
    from edgetool.trust.keys import exposure, load_signer
    from edgetool.trust.signing import sign_bundle

    output = Output(json, quiet)
    signer = load_signer(key, certificate=certificate)
    if exposed := exposure(key):  # after it is known to be a private key
        output.talk(f"warning: {exposed}")
    done = sign_bundle(bundle, signer, destination=output_path)
    provenance = attest(bundle, signer, folder=done.path.parent)
    output.result(
        {
            "signature": str(done.path),
            "provenance": str(provenance) if provenance else None,
            "content_digest": done.content_digest,
            "key": done.key,
            "certified": done.certified,
            "deterministic": signer.deterministic,
        },
        f"signed {shown(done.path)}   key {done.key[:16]}…, content {done.content_digest}",
    )
