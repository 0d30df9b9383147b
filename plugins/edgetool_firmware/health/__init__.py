"""Programs for the device, which packages carry: POSIX sh, one file each, without Python."""

from __future__ import annotations

from pathlib import Path

HEALTH = "edgetool-health"
SWITCH = "edgetool-switch"


def programs() -> tuple[Path, ...]:
    """Where they lie: `edgetool-health` judges an installed bundle, `edgetool-switch` keeps two of them apart."""
    folder = Path(__file__).parent
    return folder / HEALTH, folder / SWITCH
