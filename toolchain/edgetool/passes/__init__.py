"""Base types of passes: `Pass`, its options and its result."""

from edgetool.context import CalibrationSet, PassContext
from edgetool.passes.base import AnyPass, Pass, PassOptions, PassResult, from_fact

__all__ = ["AnyPass", "CalibrationSet", "Pass", "PassContext", "PassOptions", "PassResult", "from_fact"]
