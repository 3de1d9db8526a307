"""The parts of the README that are made from the code: ``make docs`` renews them, a test compares them."""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import typer.main

README = Path(__file__).resolve().parents[2] / "README.md"


def commands() -> str:
    """Every command with its arguments and options."""
    from experiments.cli.app import app

    root = typer.main.get_command(app)
    return "\n".join(line for path, command in _leaves("adstyle", root) for line in _command(path, command))


def life() -> str:
    """What may follow on what in an experiment's life."""
    from experiments.core.lifecycle import draw_transitions

    return draw_transitions()


def styles() -> str:
    """Every shipped style with its look in one sentence."""
    from experiments.composition import library_of

    rows = (f"| `{pack.name}` | {pack.engine} | {pack.look} |" for pack in library_of(None).packs())
    return "\n".join(("| style | engine | look |", "| --- | --- | --- |", *rows)) + "\n"


def rejects() -> str:
    """Every reason for which a line of a log may be rejected."""
    from reports.words import REJECTS

    rows = (f"| `{code}` | {text} |" for code, text in sorted(REJECTS.items()))
    return "\n".join(("| code | what is wrong with the line |", "| --- | --- |", *rows)) + "\n"


PARTS: Mapping[str, Callable[[], str]] = {"commands": commands, "life": life, "styles": styles, "rejects": rejects}


def renew(readme: str) -> str:
    """The README with every part between its marks made anew."""
    for name, make in PARTS.items():
        begin, end = f"<!-- {name}: made by `make docs` -->", f"<!-- end of {name} -->"
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        readme, found = pattern.subn(f"{begin}\n\n{make()}\n{end}".replace("\\", r"\\"), readme)
        if found != 1:
            raise ValueError(f"README.md has {found} parts {name!r}; it needs one, between {begin} and {end}")
    return readme


def _leaves(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    children = getattr(command, "commands", None)
    if children is None:
        yield path, command
        return
    for name, child in children.items():
        yield from _leaves(f"{path} {name}", child)


def _command(path: str, command: Any) -> Iterator[str]:
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    options = [parameter for parameter in command.params if parameter.param_type_name == "option"]
    usage = " ".join([path, *(_usage(argument) for argument in arguments)])
    yield f"**`{usage}`**  "
    yield " ".join((command.help or "").split())
    yield ""
    for option in options:
        name = ", ".join(option.opts)
        if option.type_descriptor.annotation is not bool:
            name += f" {option.metavar or option.name.upper()}"
        needed = " Required." if option.required else ""
        yield f"- `{name}`: {option.help}{needed}"
    if options:
        yield ""


def _usage(argument: Any) -> str:
    name = (argument.metavar or argument.name or "").upper().strip("[].")
    many = "..." if argument.nargs == -1 else ""
    return f"{name}{many}" if argument.required else f"[{name}{many}]"


if __name__ == "__main__":
    README.write_text(renew(README.read_text(encoding="utf-8")), encoding="utf-8")
