"""The JSON schema of targets.toml, with which editors complete and check the file while it is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgetool.config.options import options_of
from edgetool.config.schema import TargetsFile

if TYPE_CHECKING:
    import pydantic

    from edgetool.plugin.manager import Plugins


def json_schema(plugins: Plugins) -> dict[str, Any]:
    """The schema of the file, and inside of it those of the options of all plugins that load here."""
    schema = TargetsFile.model_json_schema()
    definitions: dict[str, Any] = schema["$defs"]
    for name in plugins.backends:
        _add_table(definitions, "TargetTable", name, options_of("backends", name, plugins))
    for name in plugins.importers:
        _add_table(definitions, "ModelTable", name, options_of("importers", name, plugins))
    for table in ("TargetTable", "ModelTable"):
        definitions[table]["additionalProperties"] = {"type": "object"}  # of plugins that are not installed here
    definitions["PassTable"]["properties"]["use"]["examples"] = sorted(plugins.passes)
    definitions["PassTable"]["allOf"] = [
        _pass_entry(definitions, name, options)
        for name in sorted(plugins.passes)
        if (options := options_of("passes", name, plugins)) is not None
    ]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "targets.toml"}


def _add_table(definitions: dict[str, Any], table: str, name: str, options: type[pydantic.BaseModel] | None) -> None:
    if options is not None:
        definitions[table]["properties"][name] = _nested(definitions, name, options)


def _pass_entry(definitions: dict[str, Any], name: str, options: type[pydantic.BaseModel]) -> dict[str, Any]:
    """If `use` is this pass, then the other keys are its options."""
    schema = _nested(definitions, name, options)
    schema["properties"] = {"use": {"const": name}, **schema.get("properties", {})}
    return {"if": {"properties": {"use": {"const": name}}}, "then": schema}


def _nested(definitions: dict[str, Any], name: str, options: type[pydantic.BaseModel]) -> dict[str, Any]:
    """The schema of a plugin's options; its own definitions move up, under the plugin's name."""
    schema = options.model_json_schema(ref_template=f"#/$defs/{name}.{{model}}")
    definitions.update({f"{name}.{key}": value for key, value in schema.pop("$defs", {}).items()})
    return schema
