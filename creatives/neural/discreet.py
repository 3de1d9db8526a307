"""OpenVINO as it is used here: it tells nobody, and where it cannot be used says so on one line.

Its converter reports every conversion to Google Analytics unless ``openvino_telemetry`` is missing; where that cannot
be imported it puts a stub in its place (openvino/tools/ovc/telemetry_utils.py). AdStyle works offline and says so.
"""

import sys
from typing import Any

from creatives.errors import CreativeError

BACKEND_VARIABLE = "ADSTYLE_BACKEND"


def load_openvino() -> Any:
    """The package, imported without what reports.

    Raises:
        CreativeError: where it is missing, or does not fit this machine.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # an import of it fails
    try:
        import openvino
    except (ImportError, OSError) as error:
        raise unusable(error) from None
    return openvino


def unusable(error: Exception) -> CreativeError:
    """Plain torch draws nearly the same but not the same bytes, so it does not take over unasked."""
    said = " ".join(str(error).split())
    return CreativeError(f"OpenVINO cannot be used here ({said}): install it again, or set {BACKEND_VARIABLE}=torch")
