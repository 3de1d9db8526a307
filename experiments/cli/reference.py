"""The README's command reference, made from the commands: ``make docs`` renews it, a test compares it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

BEGIN, END = "<!-- commands: made by `make docs` -->", "<!-- end of commands -->"


def commands_markdown() -> str:
    """Every command with its arguments and options, as Markdown."""
    from experiments.cli.app import app

    root = typer.main.get_command(app)
    return "\n".join(line for path, command in _leaves("adstyle", root) for line in _section(path, command))


def renew(readme: str) -> str:
    """The README with the reference between its marks made anew."""
    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    return pattern.sub(lambda _: f"{BEGIN}\n\n{commands_markdown()}\n{END}", readme)


def _leaves(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    children = getattr(command, "commands", None)
    if children is None:
        yield path, command
        return
    for name, child in children.items():
        yield from _leaves(f"{path} {name}", child)


def _section(path: str, command: Any) -> Iterator[str]:
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    options = [parameter for parameter in command.params if parameter.param_type_name == "option"]
    usage = " ".join([path, *(_usage(argument) for argument in arguments)])
    yield f"**`{usage}`** {' '.join((command.help or '').split())}"
    for option in options:
        name = ", ".join(option.opts)
        if getattr(option, "is_flag", False):
            said = f"`{name}`"
        else:
            said = f"`{name} {option.metavar or option.type.name.upper()}`"
        yield f"- {said}: {getattr(option, 'help', '')}"
    yield ""


def _usage(argument: Any) -> str:
    name = (argument.metavar or argument.name or "").upper().strip("[].")
    many = "..." if argument.nargs == -1 else ""
    return f"{name}{many}" if argument.required else f"[{name}{many}]"


if __name__ == "__main__":
    page = Path(__file__).resolve().parents[2] / "README.md"
    page.write_text(renew(page.read_text(encoding="utf-8")), encoding="utf-8")
