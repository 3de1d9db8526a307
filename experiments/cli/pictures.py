"""Looks and finished advertisements: ``styles`` and ``render``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from experiments.cli.shell import Shell, console, one_line, print_json, progress_bar, styled
from experiments.cli.training import register

if TYPE_CHECKING:
    from collections.abc import Sequence

    from creatives.packs import Look, StyleLibrary

styles = typer.Typer(help="The looks that are at hand, and whether they keep their promises.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]
Styles = Annotated[list[str] | None, typer.Argument(help="Style references: ink-wash, ink-wash@0.6, a@1*0.5+b@1*0.5.")]


def _library(shell: Shell) -> "StyleLibrary":
    from experiments.composition import library_of
    from experiments.workspace import NoWorkspace

    try:
        return library_of(shell.workspace())
    except NoWorkspace:
        if shell.workspace_option:
            raise
        return library_of(None)  # looking at the shipped styles needs no workspace


@styles.command("list")
def list_(context: typer.Context, as_json: AsJson = False) -> None:
    """Every style with its engine and its look in one sentence."""
    from rich.table import Table

    library = _library(context.obj)
    packs = library.packs()
    for error in library.broken.values():
        typer.echo(f"No style: {' '.join(str(error).split())}", err=True)
    if as_json:
        for pack in packs:
            print_json({"style": pack.name, "identity": pack.identity, "engine": pack.engine, "look": pack.look})
        return
    table = Table("style", "engine", "look", box=None)
    for pack in packs:
        table.add_row(pack.name, pack.engine, pack.look)
    console().print(table)


@styles.command()
def show(context: typer.Context, name: Annotated[str, typer.Argument(metavar="NAME")], as_json: AsJson = False) -> None:
    """One style: identity, parameters, licence, how it was made."""
    pack = _library(context.obj).get(name)
    document = {
        "style": pack.name,
        "identity": pack.identity,
        "look": pack.look,
        "engine": pack.engine,
        "parameters": pack.parameters,
        "licence": pack.licence,
        "author": pack.author,
        "made": pack.made,
        "folder": str(pack.folder),
    }
    if as_json:
        print_json(document)
        return
    for key, value in document.items():
        console().print(styled(f"{key:<11}", "bold"), str(value))


@styles.command()
def check(
    context: typer.Context,
    names: Annotated[
        list[str] | None, typer.Argument(help="Style references, or folders of packs that were not added.")
    ] = None,
) -> None:
    """Prove that styles keep the promises every style makes; all of them where none is named."""
    from creatives.checks import check_style
    from experiments.core.errors import ExperimentError

    library = _library(context.obj)
    references = names or [pack.name for pack in library.packs()]
    unfit = {} if names else library.broken
    for name, error in unfit.items():
        console().print(f"{name}: {' '.join(str(error).split())}")
    broken = len(unfit)
    with progress_bar() as progress:
        for done, reference in enumerate(references):
            progress("checking styles", done, len(references))
            for promise in check_style(_look(library, reference)):
                broken += 1
                console().print(f"{reference}: {promise}")
    if broken:
        told = "1 promise is broken: mend the pack" if broken == 1 else f"{broken} promises are broken: mend the packs"
        raise ExperimentError(f"{told} named above")
    kept = "1 style keeps its" if len(references) == 1 else f"{len(references)} styles keep their"
    console().print(f"{kept} promises.")


def _look(library: "StyleLibrary", reference: str) -> "Look":
    """A style by its reference or, where none is called so, the pack in a folder of that name."""
    from creatives.packs import Look, UnknownStyle, read_pack

    try:
        return library.resolve(reference)
    except UnknownStyle:
        folder = Path(reference).absolute()
        if not folder.is_dir():
            raise
        pack = read_pack(folder)
        return Look(pack.name, ((pack, 1.0, 1.0),))


@styles.command()
def preview(
    context: typer.Context,
    names: Styles = None,
    picture: Annotated[
        list[Path] | None, typer.Option(help="A photograph; may be given several times. Four come along.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The PNG to write; styles.png if not given.")] = Path("styles.png"),
    tile: Annotated[int, typer.Option(min=64, max=1024, help="Longest side of a tile in pixels.")] = 320,
) -> None:
    """Write a contact sheet (PNG): every style on every photograph."""
    import io

    from creatives.kinds import no_file
    from creatives.manifest import write_whole
    from creatives.pictures import load_photograph
    from creatives.sheet import contact_sheet
    from experiments.core.errors import ExperimentError
    from experiments.demo.photographs import PREVIEWED, photograph

    with one_line():
        if out.is_dir():
            raise ExperimentError(f"--out {out} is a folder; name the PNG in it, such as {out / 'styles.png'}")
        if out.exists() and (kind := no_file(out)):
            raise ExperimentError(f"--out {out} is {kind}; name a PNG to write, such as styles.png")
    library = _library(context.obj)
    references = names or [pack.name for pack in library.packs()]
    looks = [library.resolve(reference) for reference in references]
    pictures = [load_photograph(path) for path in picture or map(photograph, PREVIEWED)]
    with progress_bar() as progress:
        sheet = contact_sheet(looks, pictures, tile=tile, progress=lambda done, of: progress("styling", done, of))
    packed = io.BytesIO()
    sheet.save(packed, format="PNG")
    with one_line():
        write_whole(out, packed.getvalue())
    console().print(str(out))


register(styles)


def render(
    context: typer.Context,
    brief: Annotated[Path, typer.Argument(help="A brief (YAML).")],
    style: Annotated[list[str], typer.Option("--style", help="A style reference; may be given several times.")],
    out: Annotated[Path, typer.Option(help="Folder for the finished files.")],
    slot: Annotated[
        list[str] | None, typer.Option("--slot", metavar="WxH", help="Sizes; the brief's own if not given.")
    ] = None,
) -> None:
    """Turn a brief into finished advertisements. Needs no workspace."""
    from creatives.briefs import load_brief
    from creatives.render import plan_render
    from creatives.render import render as render_tasks
    from creatives.slots import find_slots

    library = _library(context.obj)
    document = load_brief(brief)
    looks = _by_slug([library.resolve(reference) for reference in style])
    tasks = plan_render(document, looks, find_slots(slot or document.slots))
    with progress_bar() as progress:
        variants = render_tasks(tasks, out=out, progress=lambda done, of: progress("rendering", done, of))
    for variant in variants:
        findings = ", ".join(map(str, variant.gate.findings))
        note = f"  quality gate: {findings}" if findings else ""
        console().print(f"{variant.path}  {variant.bytes / 1000:.0f} KB{note}")


def _by_slug(looks: "Sequence[Look]") -> "dict[str, Look]":
    """Two looks of one slug would be one advertisement: a pack may be called as another's strength is written."""
    from experiments.core.errors import ExperimentError

    found: dict[str, Look] = {}
    for look in looks:
        other = found.setdefault(look.slug, look)
        if other.identity != look.identity:
            raise ExperimentError(
                f"styles {other.reference!r} and {look.reference!r} would both be called {look.slug!r}: "
                "render one of them alone, or rename the pack"
            )
    return found
