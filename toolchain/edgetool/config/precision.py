"""What `precision = "auto"` chooses from: recipes of the file, or one a precision where the file names none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgetool.config.schema import PassTable
from edgetool.config.tree import Tree


@dataclass(frozen=True, slots=True)
class CandidateRecipe:
    """One of several recipes of which a build keeps the best.

    Attributes:
        name: of the recipe, or of the precision where it is none of the file's.
        passes: in order.
        fact: name of the target's fact that rules it out where it is false; None where nothing does.
        written: the file has this recipe.
    """

    name: str
    passes: tuple[PassTable, ...]
    fact: str | None = None
    written: bool = False


PRECISIONS = (
    CandidateRecipe("float32", (PassTable(use="simplify"),)),
    CandidateRecipe("float16", (PassTable(use="simplify"), PassTable(use="cast-fp16")), fact="fp16"),
    CandidateRecipe("int8", (PassTable(use="simplify"), PassTable(use="quantize-static")), fact="int8"),
)
"""The candidates of a target that names none."""

_RIVALS = (("recipe", ("precision", "candidates")), ("precision", ("recipe",)))
"""A key, and what else says which passes are applied."""


def candidates_of(names: list[str], recipes: Mapping[str, tuple[PassTable, ...]]) -> tuple[CandidateRecipe, ...]:
    """The named recipes, or one a precision."""
    return tuple(CandidateRecipe(name, recipes[name], written=True) for name in names) or PRECISIONS


def laid_over(base: Tree, over: Tree) -> Tree:
    """The base without what a target takes back that says `recipe` over `precision`, or `precision` over `recipe`."""
    for key, rivals in _RIVALS:
        if key in over.values:
            base = _without(base, rivals)
    return base


def as_commanded(tree: Tree) -> Tree:
    """A target's table, where `--set` of `recipe` or `precision` takes the place of what the file says."""
    for key, rivals in _RIVALS:
        if key in tree.values and tree.origin((key,)).kind == "override":
            tree = _without(tree, [rival for rival in rivals if tree.origin((rival,)).kind != "override"])
    return tree


def _without(tree: Tree, keys: tuple[str, ...] | list[str]) -> Tree:
    if not any(key in tree.values for key in keys):
        return tree
    return Tree(
        {key: value for key, value in tree.values.items() if key not in keys},
        {path: origin for path, origin in tree.origins.items() if path[:1] not in [(key,) for key in keys]},
    )
