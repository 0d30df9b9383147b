"""The whole report as JSON. Its schema is published: docs/reference/report.schema.json."""

from __future__ import annotations

import json

from edgetool.report.document import Summary


def render(summary: Summary) -> str:
    """One object; numbers that JSON cannot say are null."""
    return json.dumps(summary.to_json(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
