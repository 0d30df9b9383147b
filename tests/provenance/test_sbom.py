"""The bill of materials: valid, complete, and the same for equal builds."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from edgetool.bundle.licence import licences
from edgetool.bundle.manifest import DataRecord, FileRecord, LoweringRecord, Manifest
from edgetool.bundle.origin import Origin, ReadFile
from edgetool.bundle.purl import purl
from edgetool.bundle.read import read_bundle
from edgetool.bundle.sbom import SBOM, sbom
from tests.bundle.samples import MANIFEST as SAMPLE


def faults(document: object) -> str | None:
    found = JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(document))
    return None if found is None else str(found)


def components(document: Any) -> dict[str, Any]:
    return {row["bom-ref"]: row for row in document["components"]}


@pytest.fixture(scope="module")
def bill(built: Path) -> Any:
    return json.loads((built / SBOM).read_bytes())


def test_the_bill_of_a_real_build_is_valid(bill: Any) -> None:
    assert faults(bill) is None
    bill_of_nothing = {**bill, "components": [{"type": "nonsense", "name": "x"}]}
    assert "nonsense" in str(faults(bill_of_nothing))


def test_it_lists_the_engine_the_source_the_data_and_every_tool(built: Path, bill: Any) -> None:
    manifest = read_bundle(built).manifest
    found = components(bill)
    for record in manifest.files:
        if record.role == "model":
            assert found[record.path]["hashes"] == [{"alg": "SHA-256", "content": record.sha256}]
    assert found["source"]["hashes"][0]["content"] == manifest.source.sha256
    assert [row["name"] for row in found["source"]["components"]] == ["model.onnx"]
    for name, record in (("calibration", manifest.calibration), ("evaluation", manifest.evaluation)):
        assert record is not None
        assert found[name]["type"] == "data"
        assert found[name]["hashes"][0]["content"] == record.digest
        assert str(record.count) in found[name]["description"]
    assert found["runtime"]["purl"] == f"pkg:pypi/onnxruntime@{manifest.runtime.version}"
    for name, version in manifest.tools.items():
        tool = found[f"tool/{name}"]
        assert (tool["version"], tool["scope"]) == (version, "excluded")
        assert tool["purl"].startswith("pkg:") and tool["purl"].split("@")[0].endswith(name)
    model = bill["metadata"]["component"]
    assert (model["type"], model["name"], model["version"]) == ("machine-learning-model", "tiny", "1.0.0")
    assert model["licenses"] == [{"expression": "MIT OR Apache-2.0", "acknowledgement": "declared"}]


def test_its_card_tells_the_figures_of_the_validation(built: Path, bill: Any) -> None:
    manifest = read_bundle(built).manifest
    card = bill["metadata"]["component"]["modelCard"]
    assert card["modelParameters"]["inputs"] == [{"format": "x: float32[batch, 3, 8, 8]"}]
    assert card["modelParameters"]["datasets"] == [{"ref": "calibration"}, {"ref": "evaluation"}]
    metrics = {row["type"]: row for row in card["quantitativeAnalysis"]["performanceMetrics"]}
    cosine = metrics["cosine similarity, against the float reference"]
    assert float(cosine["value"]) == manifest.validation["outputs"][0]["cosine"]
    assert cosine["slice"] == "output y, 4 evaluation samples"
    assert "dimension batch is from 1 to 4" in card["considerations"]["technicalLimitations"]
    assert card["considerations"]["performanceTradeoffs"] == ["it computes in int8"]


def test_the_graph_of_dependencies_knows_every_component_once(bill: Any) -> None:
    refs = [row["ref"] for row in bill["dependencies"]]
    assert sorted(refs) == sorted({"model", *components(bill)})
    named = {ref for row in bill["dependencies"] for ref in row.get("dependsOn", ())}
    assert named == {ref for ref in refs if ref != "model"}
    on = {row["ref"]: row["dependsOn"] for row in bill["dependencies"]}
    sources = {row["bom-ref"] for row in bill["components"] if row.get("scope") == "optional"}
    assert "src/selftest.c" in sources
    assert set(on["model"]) == {"model/model.onnx", "runtime", *sources}
    assert {"source", "calibration", "tool/onnxruntime"} <= set(on["model/model.onnx"])


def test_the_serial_number_comes_from_the_content() -> None:
    once, again = sbom(SAMPLE), sbom(SAMPLE)
    assert once == again
    assert "timestamp" not in once["metadata"]
    other = sbom(replace(SAMPLE, version="2"))
    assert other["serialNumber"] != once["serialNumber"]
    dated = sbom(replace(SAMPLE, created="2023-11-14T22:13:20Z"))
    assert dated["metadata"]["timestamp"] == "2023-11-14T22:13:20Z"
    assert faults(dated) is None


def hostile(manifest: Manifest) -> Manifest:
    text = 'a "quoted" <tag> name\n $(id) \u202e ünï'
    return replace(
        manifest,
        name=text,
        source=replace(manifest.source, text=text, sha256="not a digest", license=text),
        evaluation=DataRecord(0, "short"),
        validation={"status": "unverified", "why_not": text, "outputs": [{"output": text, "cosine": None}]},
        verdicts=({"name": text, "status": "missed"},),
        lowerings=(LoweringRecord(text, text, 1),),
        tools={"Torch_Vision": "2.13.0+cpu", "python": "3.11.7", "a b/c": "1 2"},
        files=(FileRecord("model/weights of ü.bin", 1, "0" * 64, "model"),),
    )


def test_what_a_model_is_called_cannot_make_it_invalid() -> None:
    manifest = hostile(SAMPLE)
    origin = Origin(plugins={"acme passes": "1"}, files=(ReadFile("x", "missing", "source"),))
    document = sbom(manifest, origin)
    assert faults(document) is None
    found = components(document)
    assert found["source"]["hashes"] == []
    assert found["tool/Torch_Vision"]["purl"] == "pkg:pypi/torch-vision@2.13.0%2Bcpu"
    assert found["tool/a b/c"]["purl"] == "pkg:pypi/a%20b%2Fc@1%202"
    limits = document["metadata"]["component"]["modelCard"]["considerations"]["technicalLimitations"]
    assert any("is missed" in text for text in limits)


def test_purls_are_read_back_by_their_own_library() -> None:
    from packageurl import PackageURL

    for name, version in (("onnx-ir", "1.1.0"), ("torch", "2.13.0+cpu"), ("python", "3.11.7"), ("Foo_Bar", None)):
        parsed = PackageURL.from_string(purl(name, version))
        assert parsed.version == version
        assert parsed.name == name.lower().replace("_", "-")
        assert parsed.type == ("generic" if name == "python" else "pypi")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (None, []),
        ("  ", []),
        ("MIT", [{"license": {"id": "MIT", "acknowledgement": "declared"}}]),
        ("proprietary", [{"license": {"name": "proprietary", "acknowledgement": "declared"}}]),
        ("MIT AND (BSD-3-Clause OR Zlib)", [{"expression": "MIT AND (BSD-3-Clause OR Zlib)",
                                             "acknowledgement": "declared"}]),
        ("MIT or so", [{"license": {"name": "MIT or so", "acknowledgement": "declared"}}]),
    ],
)  # fmt: skip
def test_only_spdx_licences_are_called_so(text: str | None, wanted: object) -> None:
    assert licences(text) == wanted


def test_every_licence_that_is_called_so_is_one() -> None:
    from edgetool.bundle.licence import KNOWN

    document = sbom(SAMPLE)
    for name in KNOWN:
        document["metadata"]["component"]["licenses"] = [{"license": {"id": name}}]
        assert faults(document) is None, name


def test_writing_it_imports_nothing_heavy() -> None:
    import subprocess

    code = "import sys, edgetool.bundle.write; print(sorted({'numpy', 'onnx', 'cryptography'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
