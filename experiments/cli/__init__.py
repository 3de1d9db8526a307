"""The command line. ``main`` is what ``adstyle`` runs; each command imports its work inside its own function."""

import gc
import sys
from types import FrameType

_OURS = ("creatives", "experiments", "reports")
_OBJECTS = 200_000
"""New ones before unreachable ones are looked for: what a command loads is thousands at a time, and all of it stays."""


def main() -> None:
    """Run ``adstyle`` with the arguments of this process and exit with its code."""
    set_process_up()
    from experiments.cli.app import run

    sys.exit(run(sys.argv[1:]))


def set_process_up() -> None:
    """What a command's process has otherwise than Python does."""
    gc.set_threshold(_OBJECTS, *gc.get_threshold()[1:])
    sys.meta_path.insert(0, _WithoutPandas)


class _WithoutPandas:
    """An importer that finds no pandas for our packages; engines that others add may use it.

    Ours do not, but Arrow would load it at their first array, which takes as long as many a command.
    """

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:  # noqa: ARG004 - Python's names
        """As `importlib.abc.MetaPathFinder.find_spec`."""
        if name == "pandas" and _asking().partition(".")[0] in _OURS:
            raise ModuleNotFoundError("no pandas in a command", name=name)


def _asking() -> str:
    """The module whose code wants an import; Arrow's own has no frames, and so it is who called Arrow."""
    frame: FrameType | None = sys._getframe(2)
    while frame and frame.f_globals.get("__name__", "").startswith("importlib."):
        frame = frame.f_back
    return str(frame.f_globals.get("__name__", "")) if frame else ""
