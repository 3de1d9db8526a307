"""The command line. ``main`` is what ``adstyle`` runs; each command imports its work inside its own function."""


def main() -> None:
    """Run ``adstyle`` with the arguments of this process and exit with its code."""
    import sys

    from experiments.cli.app import run

    sys.exit(run(sys.argv[1:]))
