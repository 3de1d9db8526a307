"""OpenVINO as it is used here: it tells nobody.

Its converter reports every conversion to Google Analytics unless ``openvino_telemetry`` is missing; where that cannot
be imported it puts a stub in its place (openvino/tools/ovc/telemetry_utils.py). AdStyle works offline and says so.
"""

import sys
from typing import Any


def load_openvino() -> Any:
    """The package, imported without what reports."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # an import of it fails
    import openvino

    return openvino
