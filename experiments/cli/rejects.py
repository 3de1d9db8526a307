"""``adstyle events rejects`` and ``replay``: lines that were rejected, to be repaired or judged again."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from experiments.cli.shell import Shell, console, one_line, print_json, progress_bar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from experiments.ingest.feed import Feed
    from experiments.ingest.rejected import Exported, Origin

Reason = Annotated[str | None, typer.Option(metavar="CODE", help="Only lines rejected for this reason.")]
File = Annotated[str | None, typer.Option("--file", metavar="NAME", help="Only lines of the file of this name.")]
AsJson = Annotated[bool, typer.Option("--json", help="One object a line.")]


def rejects(
    context: typer.Context,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write them there for repair, a file for each they came in.")
    ] = None,
    reason: Reason = None,
    file: File = None,
    as_json: AsJson = False,
) -> None:
    """What is kept of rejected lines, by file and reason; with --out as files to repair and ingest again."""
    from experiments.ingest.feed import feeds
    from experiments.ingest.rejected import counted, export
    from reports.words import reject_reason

    shell: Shell = context.obj
    with shell.open() as stores:
        if out is not None:
            known = feeds(stores.workspace.folder("feeds"))
            with one_line():
                written = export(stores.lake, stores.hasher(), out, reason, file)
            for each in written:
                _tell_written(each, known, as_json)
            return
        counts = counted(stores.lake, reason, file)
    for (origin, why), count in counts.items():
        if as_json:
            print_json({**_document(origin), "reason": why, "count": count})
        else:
            console().print(f"{origin.name}: {count:,} × {reject_reason(why)} ({why})")
    if not counts and not as_json:
        console().print("No rejected lines are kept.")


def replay(
    context: typer.Context,
    reason: Reason = None,
    file: File = None,
    zone: Annotated[str | None, typer.Option(metavar="ZONE", help="As for ingest: of times without one.")] = None,
    as_json: AsJson = False,
) -> None:
    """Judge kept rejects again as they are: good ones enter the lake, once, and are rejects no more."""
    from experiments.core.errors import ExperimentError
    from experiments.jobs.ingest import replay as replay_kept
    from reports.words import reject_reason

    shell: Shell = context.obj
    with shell.open() as stores, progress_bar() as progress:
        done, refused = replay_kept(stores, reason, file, progress, zone)
    for each in done:
        counts = {"tried": each.tried, "accepted": each.accepted, "duplicate": each.duplicate}
        if as_json:
            delivery = each.delivery.sha256 if each.delivery else None
            told = {"rejected": dict(each.rejected), "left": dict(each.left), "replay": delivery}
            print_json({**_document(each.origin), **counts, **told})
            continue
        console().print(
            f"{each.origin.name}: {each.tried:,} tried = {each.accepted:,} accepted + {each.duplicate:,} duplicate "
            f"+ {sum(each.rejected.values()):,} still rejected"
        )
        for why, count in each.rejected.items():
            console().print(f"{each.origin.name}: {count:,} × {reject_reason(why)}")
        _tell_left(each.origin, each.left, "not judged again")
    if not done and not refused and not as_json:
        console().print("No rejected lines are kept.")
    if refused:
        raise ExperimentError("; ".join(refused))


def _tell_written(each: "Exported", known: "Mapping[str, Feed]", as_json: bool) -> None:
    if as_json:
        path = str(each.path) if each.path else None
        print_json({**_document(each.origin), "path": path, "lines": each.lines, "left": dict(each.left)})
        return
    if each.path:
        console().print(f"{each.path}: {each.lines:,} lines; repair them, then {_how(each.origin, each.path, known)}")
    _tell_left(each.origin, each.left, "not written")


def _tell_left(origin: "Origin", left: "Mapping[str, int]", what: str) -> None:
    from reports.words import reject_reason

    for why, count in left.items():
        lines = "1 line is" if count == 1 else f"{count:,} lines are"
        console().print(f"{origin.name}: {lines} {what}: {reject_reason(why)}")


def _how(origin: "Origin", path: Path, known: "Mapping[str, Feed]") -> str:
    """How a repaired file is ingested: its name does not always say what it is."""
    from shlex import quote

    from experiments.ingest.feed import feed_for

    feed = feed_for(path.name, known, None)
    named = feed.name if feed else None
    options = f" --format {origin.feed or 'adstyle'}" if named != origin.feed else ""
    if options or not (feed or path.name.lower().startswith(origin.kind)):
        options += f" --kind {origin.kind}"
    return f"adstyle ingest {quote(str(path))}{options}"


def _document(origin: "Origin") -> dict[str, Any]:
    return {
        "file": origin.name, "delivery": origin.delivery, "kind": origin.kind, "format": origin.feed or "adstyle"
    }  # fmt: skip
