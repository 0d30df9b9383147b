"""Whether the project's edgetool.lock is of the build that made a bundle: if not, another revision's may be."""

from __future__ import annotations

import json
from pathlib import Path

from edgetool.engine.lock import LOCK_NAME, read_lock
from edgetool.engine.origin import portable
from edgetool.errors import ConfigError
from edgetool.reproduce.causes import Account


def lock_remark(then: Account, root: Path) -> str | None:
    """One sentence; None where there is no lock of the target, or the bundle does not tell its steps."""
    try:
        lock = read_lock(root / LOCK_NAME, then.manifest.target.name)
    except ConfigError:
        return None
    recorded = {str(step["name"]): {key: step[key] for key in step if key != "name"} for step in then.steps}
    if not recorded:
        return None
    differing = [
        name for name, parts in recorded.items() if json.loads(json.dumps(portable(lock.steps.get(name, {})))) != parts
    ]
    if not differing:
        return f"{LOCK_NAME} is of the build that made this bundle"
    return f"{LOCK_NAME} is of another build (see {', '.join(differing)}); the bundle's own may be in the history"
