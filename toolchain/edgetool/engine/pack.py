"""What follows the bundle where the target names package formats: its signature, and the packages."""

from __future__ import annotations

import time

from edgetool.bundle.read import read_bundle
from edgetool.engine.deliver import Delivery
from edgetool.engine.events import StepFinished
from edgetool.engine.order import PackageOrder, fulfil
from edgetool.engine.stepper import Stepper
from edgetool.exporters.package import Package
from edgetool.trust.signer import Signer


def pack(order: PackageOrder, delivery: Delivery, signer: Signer | None, stepper: Stepper) -> tuple[Package, ...]:
    """Write every package beside the bundle; those of an earlier build are replaced.

    Raises:
        EdgetoolError: as `package` does.
    """
    bundle = read_bundle(delivery.bundle, digest=delivery.content_digest)
    output = delivery.bundle.absolute().parent
    done, started = [], time.monotonic()
    for row in fulfil(order, bundle, signer, output=output, overwrite=True):
        done.append(row)
        stepper.tell(StepFinished(stepper.target, row.format, time.monotonic() - started, cached=False))
        started = time.monotonic()
    return tuple(done)
