"""From what vl-convert draws to an SVG that belongs to the page: themed, labelled, responsive, and always the same."""

import re
from collections.abc import Mapping
from xml.etree import ElementTree as Tree

NAMESPACE = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"
REFERENCE = re.compile(r"url\(#([^)]+)\)")
# Vega describes each axis and mark in its own words; the chart's title, description and table say it better.
VEGA_ARIA = ("role", "aria-roledescription", "aria-label", "aria-hidden", "pointer-events")


def inline(drawn: str, prefix: str, title: str, description: str, colours: Mapping[str, str]) -> str:
    """The SVG for the page.

    Args:
        drawn: what vl-convert returned.
        prefix: unique in the page; every id becomes ``{prefix}-{n}`` in order of appearance, because vl-convert
            numbers them from a counter that the whole process shares.
        title, description: what a screen reader says.
        colours: CSS variable by the colour that stands in for it; so one drawing serves light and dark pages.
    """
    root = Tree.fromstring(drawn)  # noqa: S314 - drawn by us
    width, height = root.get("width", "0"), root.get("height", "0")
    root.attrib.clear()
    names = {element.get("id"): f"{prefix}-{n}" for n, element in enumerate(root.iterfind(".//*[@id]"))}
    for parent in list(root.iter()):
        for child in list(parent):
            if child.get("display") == "none" or child.get("class") == "background" or _is_backdrop(child, width):
                parent.remove(child)
    for element in root.iter():
        _rename(element, names)
        _theme(element, colours)
        for attribute in (*VEGA_ARIA, "class", "font-family"):
            element.attrib.pop(attribute, None)
    root.attrib.update(
        {
            "class": "drawing",
            "viewBox": f"0 0 {width} {height}",
            "role": "img",
            "aria-labelledby": f"{prefix}-title {prefix}-desc",
        }
    )
    for n, (tag, text) in enumerate((("title", title), ("desc", description))):
        label = Tree.Element(f"{{{NAMESPACE}}}{tag}", {"id": f"{prefix}-{tag}"})
        label.text = text
        root.insert(n, label)
    Tree.register_namespace("", NAMESPACE)
    Tree.register_namespace("xlink", XLINK)
    return Tree.tostring(root, encoding="unicode")


def _is_backdrop(element: Tree.Element, width: str) -> bool:
    return element.tag == f"{{{NAMESPACE}}}rect" and element.get("width") == width


def _rename(element: Tree.Element, names: Mapping[str | None, str]) -> None:
    for attribute, value in element.attrib.items():
        if attribute == "id":
            element.set(attribute, names[value])
        elif attribute.endswith("href") and value.startswith("#"):
            element.set(attribute, f"#{names[value[1:]]}")
        else:
            element.set(attribute, REFERENCE.sub(lambda found: f"url(#{names[found[1]]})", value))


def _theme(element: Tree.Element, colours: Mapping[str, str]) -> None:
    """Move themed colours into ``style``: only there may every browser resolve a variable."""
    styles = []
    for attribute in ("fill", "stroke"):
        variable = colours.get(element.get(attribute, ""))
        if variable:
            del element.attrib[attribute]
            styles.append(f"{attribute}:var({variable})")
    if styles:
        element.set("style", ";".join(styles))
