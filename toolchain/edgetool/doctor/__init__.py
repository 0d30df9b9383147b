"""Diagnoses: what works on this machine, and what a target's own site says of itself."""

from edgetool.doctor.finding import Finding, Status
from edgetool.doctor.machine import diagnose
from edgetool.doctor.target import Examination, examine

__all__ = ["Examination", "Finding", "Status", "diagnose", "examine"]
