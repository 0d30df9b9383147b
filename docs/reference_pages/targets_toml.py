"""docs/reference/targets-toml.md: every table and key of the format, its rules, and the boards."""

from __future__ import annotations

from edgetool.config import boards, schema
from reference_pages import NOTICE
from reference_pages.tables import cell, table

_RULES = """\
## Rules

- `extends` lays a target over a board of the catalogue or over another target: tables are merged key by key,
  everything else, lists too, is replaced. `edgetool targets show NAME --origin` says where each value is from.
- A target without a backend is a base for others and cannot be built.
- A table inside of a target is named like a backend that an installed plugin offers, or that any target of
  the file names; the backend's own schema checks it. One that the target does not use is a warning.
- `include` paths are relative to the file that includes and may leave its folder; links are followed, because
  a targets file is trusted like code. Included files share targets and recipes only, must not form a circle,
  and lie below the file that includes them.
- Relative paths and `module:function` are looked for beside the targets file that the command was given.
- `--set KEY=VALUE` changes one value: keys dotted, positions in lists as numbers from 0, the value as TOML or
  bare text.
"""


def page() -> str:
    """Every table and key of the format."""
    return "\n".join(
        [
            "# targets.toml",
            "",
            NOTICE,
            "",
            "One file says what is built, for which hardware, and what fails the build. The format is closed: an",
            "unknown key is an error with a suggestion, and all mistakes are reported at once, each with its line.",
            "`edgetool targets validate` checks a file, `edgetool targets schema` prints a JSON schema for editors.",
            "",
            "Quantities carry their unit: times `ns us ms s min h`, sizes `B KB MB GB KiB MiB GiB`, shares `%`.",
            "",
            *table("The file", schema.TargetsFile, ""),
            _RULES,
            *_boards(),
        ]
    )


def _boards() -> list[str]:
    lines = ["## Boards of the catalogue", "", "| board | what it is | extends |", "|---|---|---|"]
    for name in boards.board_names():
        tree = boards.find_board(name)
        if tree is not None:
            base = tree.values.get("extends")
            lines.append(f"| `{name}` | {cell(tree.values['description'])} | {f'`{base}`' if base else ''} |")
    return lines
