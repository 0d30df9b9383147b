"""Follows `extends`, looks names up, and turns the tables of a file into resolved targets."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from edgetool.config.boards import board_names, find_board
from edgetool.config.mistakes import Mistake
from edgetool.config.positions import KeyPath
from edgetool.config.precision import as_commanded, candidates_of, laid_over
from edgetool.config.result import ResolvedTarget
from edgetool.config.schema import FactsTable, PassTable, TargetTable
from edgetool.config.tree import Origin, Tree, overlay
from edgetool.nearest import one_of


@dataclass(frozen=True)
class Chain:
    """A target laid over all that it extends.

    Attributes:
        name: of the target.
        own: what the file says in its own table.
        tree: everything, with origins.
        extends: names of what it was laid over, nearest first.
        whole: False where something that it extends could not be found.
    """

    name: str
    own: Tree
    tree: Tree
    extends: tuple[str, ...] = ()
    whole: bool = True

    @property
    def backend(self) -> str | None:
        found = self.tree.values.get("backend")
        return found if isinstance(found, str) else None

    @property
    def backends(self) -> tuple[str, ...]:
        """The backend and its fallbacks."""
        return tuple(name for name in (self.backend, *_texts(self.tree.values.get("fallback"))) if name)


def follow(file: Tree) -> tuple[dict[str, Chain], list[Mistake]]:
    """One chain for every target of the file."""
    mistakes: list[Mistake] = []
    chains = {}
    for name in _tables(file, "targets"):
        own = as_commanded(file.below(("targets", name)))
        tree, extends, mistake = _follow(file, own, ("targets", name), (name,))
        chains[name] = Chain(name, own, tree, extends, whole=mistake is None)
        if mistake:
            mistakes.append(mistake)
    return chains, list({_once(mistake): mistake for mistake in mistakes}.values())


def _once(mistake: Mistake) -> str:
    """Targets that extend the same broken one, and all of a circle, would report it once each."""
    return mistake.message if mistake.code == "extends-cycle" else str(mistake.origin)


def _follow(
    file: Tree, tree: Tree, path: KeyPath, passed: tuple[str, ...]
) -> tuple[Tree, tuple[str, ...], Mistake | None]:
    base = tree.values.get("extends")
    if not isinstance(base, str):
        return tree, (), None

    def mistake(code: str, message: str, hint: str | None) -> Mistake:
        return Mistake(code, tree.origin(("extends",)), (*path, "extends"), message, hint)

    if base in passed:
        circle = passed[passed.index(base) :]
        first = circle.index(min(circle))
        names = " -> ".join((*circle[first:], *circle[:first], circle[first]))
        return tree, (), mistake("extends-cycle", f"extends itself: {names}", "break the circle")
    found = _base(file, base)
    if isinstance(found, Tree):
        path = path if base.startswith("@") else ("targets", base)
        below, extends, broken = _follow(file, found, path, (*passed, base))
        return overlay(laid_over(below, tree), tree), (base, *extends), broken
    code, kind = ("unknown-board", "boards") if base.startswith("@") else ("unknown-target", "targets")
    return tree, (), mistake(code, f"there is no {kind[:-1]} {base!r}", one_of(base, {*found} - {*passed}, what=kind))


def _base(file: Tree, name: str) -> Tree | Collection[str]:
    """The table of a board or target, or the names that there are."""
    if name.startswith("@"):
        return find_board(name) or board_names()
    names = _tables(file, "targets")
    return as_commanded(file.below(("targets", name))) if name in names else names


def check_names(file: Tree, chains: Mapping[str, Chain], known_backends: Collection[str]) -> Iterator[Mistake]:
    """Every name that a target mentions must mean something."""
    declared = {*known_backends, *(name for chain in chains.values() for name in chain.backends)}
    extended = {base for chain in chains.values() for base in chain.extends}
    recipes = _tables(file, "recipes")
    for name, chain in chains.items():
        at: KeyPath = ("targets", name)
        own = chain.own
        recipe = own.values.get("recipe")
        if isinstance(recipe, str) and recipe not in recipes:
            hint = one_of(recipe, recipes, what="recipes")
            yield _mistake("unknown-recipe", own, at, ("recipe",), f"there is no recipe {recipe!r}", hint)
        yield from _check_candidates(chain, recipes)
        for index, other in enumerate(_texts(own.values.get("stands_in_for"))):
            key = ("stands_in_for", index)
            others = set(chains) - {name}
            if other not in others:
                hint = one_of(other, others, what="targets")
                text = "stands in for itself" if other == name else f"there is no target {other!r}"
                yield _mistake("unknown-target", own, at, key, text, hint)
        for index, other in enumerate(_texts(own.values.get("fallback"))):
            if other in (chain.backend, *_texts(own.values["fallback"])[:index]):
                hint = "list other backends, each once"
                text = f"{other!r} was tried before it gets to this fallback"
                yield _mistake("invalid-value", own, at, ("fallback", index), text, hint)
        if chain.whole and chain.backend is None and name not in extended:
            hint = 'write one, such as backend = "onnxruntime", or extend a board that has one'
            yield _mistake("target-without-backend", own, at, (), "the target has no backend", hint)
        yield from _unknown_keys(chain, declared)


def _check_candidates(chain: Chain, recipes: Collection[str]) -> Iterator[Mistake]:
    """`precision` and `recipe` exclude each other; `candidates` are recipes, each named once, two at least."""
    own, at = chain.own, ("targets", chain.name)
    if "precision" in own.values and "recipe" in own.values:
        hint = "remove one of the two; recipes to choose from go into candidates = [...]"
        text = "excludes `recipe`: it builds several recipes and keeps the best"
        yield _mistake("invalid-value", own, at, ("precision",), text, hint)
    names = _texts(own.values.get("candidates"))
    if "candidates" in own.values and "precision" not in chain.tree.values:
        text = 'has no effect without precision = "auto"'
        yield _mistake("invalid-value", own, at, ("candidates",), text, 'write precision = "auto" beside it')
    elif "candidates" in own.values and len(names) < 2:
        yield _mistake(
            "invalid-value", own, at, ("candidates",), "wants two recipes at least", "one alone is a `recipe`"
        )
    for index, name in enumerate(names):
        key = ("candidates", index)
        if name not in recipes:
            hint = one_of(name, recipes, what="recipes")
            yield _mistake("unknown-recipe", own, at, key, f"there is no recipe {name!r}", hint)
        elif name in names[:index]:
            yield _mistake("invalid-value", own, at, key, f"{name!r} is named twice", "name each recipe once")


def _unknown_keys(chain: Chain, declared: Collection[str]) -> Iterator[Mistake]:
    """A key that the schema does not know must be the table of a backend."""
    at: KeyPath = ("targets", chain.name)
    for key, value in chain.own.values.items():
        if key in TargetTable.model_fields:
            continue
        if key not in declared:
            hint = _meant_table(key, declared) if isinstance(value, dict) else _meant_key(key, at)
            yield _mistake("unknown-key", chain.own, at, (key,), "unknown key", hint)
        elif not isinstance(value, dict):
            hint = f"write its options into [targets.{chain.name}.{key}]"
            yield _mistake("invalid-value", chain.own, at, (key,), "wants a table of the backend's options", hint)


def _meant_table(key: str, declared: Collection[str]) -> str | None:
    return one_of(key, {*declared, "facts", "budget", "builder", "package"}, what="tables")


def _meant_key(key: str, at: KeyPath) -> str | None:
    from edgetool.config.translate import suggestion  # most files hold no mistakes

    return suggestion(TargetTable, (key,), at=at)


def warnings(chains: Mapping[str, Chain]) -> Iterator[Mistake]:
    """What is allowed but has no effect."""
    for name, chain in chains.items():
        at: KeyPath = ("targets", name)
        for key in chain.own.values:
            if key not in TargetTable.model_fields and key not in chain.backends and chain.backend:
                text = f"no effect: the target is built by {' or '.join(chain.backends)}"
                yield _mistake("unused-table", chain.own, at, (key,), text, None)
        facts = chain.own.values.get("facts", {})
        for key in facts if isinstance(facts, dict) else ():
            if key not in FactsTable.model_fields:
                hint = one_of(key, FactsTable.model_fields, what="facts")
                yield _mistake(
                    "unknown-fact", chain.own, at, ("facts", key), "only a plugin of yours can know it", hint
                )


def resolve(chain: Chain, recipes: Mapping[str, tuple[PassTable, ...]]) -> ResolvedTarget | None:
    """The target, or None for a base. The chain must have passed all checks."""
    if chain.backend is None:
        return None
    table = TargetTable.model_validate(chain.tree.values)
    return ResolvedTarget(
        name=chain.name,
        description=table.description,
        extends=chain.extends,
        backend=chain.backend,
        # A base may list a fallback that is the first choice of a target that extends it.
        fallback=tuple(name for name in table.fallback if name != chain.backend),
        options=table.extra,
        recipe=table.recipe,
        passes=recipes[table.recipe] if table.recipe else (),
        candidates=candidates_of(table.candidates, recipes) if table.precision else (),
        facts=table.facts.model_dump(mode="json", exclude_unset=True),
        budget=table.budget,
        builder=table.builder,
        stands_in_for=tuple(table.stands_in_for),
        unverified=table.unverified,
        threads=table.threads,
        package=table.package,
        written=chain.tree,
    )


def _mistake(code: str, tree: Tree, at: KeyPath, key: KeyPath, message: str, hint: str | None) -> Mistake:
    origin: Origin = tree.origin(key)
    return Mistake(code, origin, (*at, *key), message, hint, of_table=not key)


def _tables(file: Tree, kind: str) -> Mapping[str, Any]:
    """Targets or recipes by name; the schema complains about what is no table."""
    found = file.values.get(kind)
    return {name: value for name, value in found.items() if isinstance(value, dict)} if isinstance(found, dict) else {}


def _texts(value: object) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()
