"""The command line. ``main`` is what ``adstyle`` runs; each command imports its work inside its own function."""

import gc
import sys

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
    """An importer that finds no pandas: Arrow would load it at its first array, which takes as long as many a command.

    Nothing here uses it.
    """

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:  # noqa: ARG004 - Python's names
        """As `importlib.abc.MetaPathFinder.find_spec`."""
        if name == "pandas":
            raise ModuleNotFoundError("no pandas in a command", name=name)
