"""Registers the package formats."""

from __future__ import annotations

from edgetool.plugin import ExporterInfo, hookimpl


@hookimpl
def edgetool_exporters() -> list[ExporterInfo]:
    return [
        ExporterInfo("tar", "the bundle as one tar file", "edgetool_firmware.tar:Tar"),
        ExporterInfo(
            "oci", "a CNCF ModelPack artifact, for container registries", "edgetool_firmware.oci.modelpack:Oci"
        ),
        ExporterInfo("oci-image", "an OCI image, for container runtimes", "edgetool_firmware.oci.image:OciImage"),
        ExporterInfo(
            "triton", "a model repository for Triton Inference Server", "edgetool_firmware.triton.exporter:Triton"
        ),
        ExporterInfo("deb", "a Debian package, for dpkg and apt", "edgetool_firmware.deb.exporter:Deb"),
        ExporterInfo("swu", "a signed update for SWUpdate", "edgetool_firmware.swu.swu:Swu"),
        ExporterInfo("mender", "a signed artifact for Mender", "edgetool_firmware.mender.mender:Mender"),
        ExporterInfo("rauc", "a signed bundle for RAUC", "edgetool_firmware.rauc.rauc:Rauc"),
        ExporterInfo("yocto", "a layer with a recipe, for Yocto", "edgetool_firmware.yocto.exporter:Yocto"),
        ExporterInfo("buildroot", "an external tree, for Buildroot", "edgetool_firmware.buildroot.exporter:Buildroot"),
    ]
