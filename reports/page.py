"""Render the weekly report and publish it: one self-contained page and the JSON beside it.

The page runs no script and fetches nothing, and says so in its content security policy.
"""

import json
import os
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from reports.context import Progress, heroes, page_context, silent
from reports.document import report_document
from reports.errors import ReportError
from reports.gallery import pictures
from reports.model import WeeklyReport

PAGE_LIMIT = 1_000_000
"""Bytes; thumbnails that would make the page heavier are left out."""


def template_folder() -> Path:
    """``templates/`` inside the installed package, or beside it in a checkout, where edits show at once."""
    package = Path(__file__).resolve().parent
    for folder in (package / "templates", package.parent / "templates"):
        if (folder / "weekly.html.j2").is_file():
            return folder
    raise ReportError(
        f"the page templates are missing: neither {package} nor {package.parent} has templates/weekly.html.j2"
    )


@cache
def _environment(folder: Path) -> Environment:
    return Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_unbroken,
    )


def _unbroken(value: object) -> object:
    """A number stays on one line with its percent sign, a p-value with its letter."""
    if type(value) is not str:
        return value
    return value.replace(" %", "\N{NO-BREAK SPACE}%").replace("p = ", "p\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}")


def render_report(report: WeeklyReport, progress: Progress = silent) -> str:
    """The whole page as HTML; the same report gives the same page.

    Raises:
        ReportError: for a verdict, reason or decision without words, or a picture no browser shows.
    """
    template = _environment(template_folder()).get_template("weekly.html.j2")
    context = page_context(report, progress)
    bare = len(template.render(context, pictures={}).encode())
    twice = {(section.name, tile.file_name) for section in report.sections for tile in heroes(section)}
    return template.render(context, pictures=pictures(report, PAGE_LIMIT - bare, twice))


def write_report(report: WeeklyReport, out: Path, progress: Progress = silent) -> tuple[Path, Path]:
    """Write ``{week}.html`` and ``{week}.json`` into ``out``, each whole or not at all.

    A file that would not change is not touched. Returns the two paths.
    """
    page = render_report(report, progress)
    document = json.dumps(report_document(report), ensure_ascii=False, allow_nan=False, indent=2) + "\n"
    out.mkdir(parents=True, exist_ok=True)
    paths = out / f"{report.week}.html", out / f"{report.week}.json"
    for path, text in zip(paths, (page, document), strict=True):
        _publish(path, text.encode())
    return paths


def _publish(path: Path, content: bytes) -> None:
    if path.is_file() and path.read_bytes() == content:
        return
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        aside.write_bytes(content)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
