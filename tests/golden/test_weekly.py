import difflib
import json
from pathlib import Path

import pytest

from reports.document import report_document
from reports.page import render_report

PAGES = Path(__file__).parent / "pages"
FAILED = Path(__file__).parent / "failed"


def render_json(report):
    return json.dumps(report_document(report), ensure_ascii=False, indent=2) + "\n"


@pytest.mark.parametrize(("name", "render"), [("weekly.html", render_report), ("weekly.json", render_json)])
def test_the_page_is_the_golden_one(report, name, render):
    made = render(report)
    golden = PAGES / name
    expected = golden.read_text(encoding="utf-8") if golden.exists() else ""
    if made == expected:
        (FAILED / name).unlink(missing_ok=True)
        return
    FAILED.mkdir(exist_ok=True)
    (FAILED / name).write_text(made, encoding="utf-8")
    changes = difflib.unified_diff(expected.splitlines(), made.splitlines(), "golden", "made", lineterm="", n=0)
    first = "\n".join(line[:300] for line, _ in zip(changes, range(20), strict=False))
    pytest.fail(f"{name} differs from the golden page; it is in {FAILED / name}\n{first}\nSee tests/golden/README.md")
