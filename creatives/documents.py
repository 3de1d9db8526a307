"""People's YAML files, read strictly: every mistake becomes one line that says where it is and what would do.

Strictness that YAML itself lacks: a key may be given once, there are no aliases (a few hundred bytes of them unfold to
gigabytes), and plain words mean what they look like: ``no`` is a word (the language), not a false; ``2026-11-01`` and
``12:30`` are text. Only ``true``, ``false``, ``null`` and decimal numbers are read as anything else (the YAML 1.2 core
schema without octal and hexadecimal).
"""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from creatives.errors import CreativeError

LARGEST_BYTES = 1 << 20
"""A document somebody wrote by hand is a few kilobytes; a mebibyte is a mistake."""

_MESSAGES = {"tuple_type": "should be a list", "model_type": "should be keys and values"}
"""Where pydantic speaks of Python's types; by its name of the mistake."""

M = TypeVar("M", bound=BaseModel)
Key = str | int
Lines = dict[tuple[Key, ...], int]


class DocumentError(CreativeError):
    """A document cannot be used; ``problems`` holds one line for each thing that is wrong."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


def read_document(path: Path, model: type[M]) -> M:
    """The YAML file at ``path`` as a ``model``.

    Raises:
        DocumentError: naming the file, the line and the key of every problem.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)
    except FileNotFoundError:
        raise DocumentError([f"{path}: there is no such file{_meant(path)}"]) from None
    except OSError as error:
        raise DocumentError([f"{path}: cannot be read ({error.strerror})"]) from None
    if len(content) > LARGEST_BYTES:
        raise DocumentError([f"{path}: is larger than {LARGEST_BYTES // 1024} KiB; this cannot be a document"])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if b"\0" in content:
            raise DocumentError([f"{path}: is no text; name a document (YAML)"]) from None
        raise DocumentError([f"{path}: is not UTF-8 text (byte {error.start}); save it as UTF-8"]) from None
    return parse_document(text, model, str(path))


def _meant(path: Path) -> str:
    """The document of that name in the folder, or in a folder there; or one that is called nearly so."""
    here = sorted(path.parent.glob("*.yaml"))
    named = [each for each in (*here, *sorted(path.parent.glob("*/*.yaml"))) if each.stem == path.stem]
    near = difflib.get_close_matches(path.name, [each.name for each in here], n=1)
    meant = [*named, *(path.with_name(name) for name in near)]
    return f": did you mean {meant[0]}?" if meant else ""


def parse_document(text: str, model: type[M], where: str) -> M:
    """YAML ``text`` as a ``model``; problems are told as being in ``where``."""
    try:
        loader = _StrictLoader(text)
        node = loader.get_single_node()
        value = {} if node is None else loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise DocumentError([f"{where}{line}: {error.problem or error.context}"]) from None
    except (yaml.YAMLError, ValueError) as error:  # a control character; a value that is not what its tag says
        raise DocumentError([f"{where}: {' '.join(str(error).split())}"]) from None
    except RecursionError:
        raise DocumentError([f"{where}: is nested too deeply to be a document"]) from None
    if not isinstance(value, dict):
        raise DocumentError([f"{where}: holds {_kind(value)}, where keys and values are expected (key: value)"])
    return _validated(value, model, where, dict(_line_numbers(node)) if node else {})


def validate_document(value: Mapping[str, Any], model: type[M], where: str) -> M:
    """Values from elsewhere (TOML, JSON, a database) as a ``model``, with the same messages, less line numbers."""
    return _validated(value, model, where, {})


def _validated(value: Mapping[str, Any], model: type[M], where: str, lines: Lines) -> M:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        details = error.errors(include_url=False)
        places = [detail["loc"] for detail in details]
        # A list of wrong items is also "too short": of two problems, one inside the other, the inner is the cause.
        causes = [
            detail for detail, place in zip(details, places, strict=True)
            if not any(other != place and other[: len(place)] == place for other in places)
        ]  # fmt: skip
        raise DocumentError([_problem(detail, model, where, lines) for detail in causes]) from None


def _problem(detail: Any, model: type[BaseModel], where: str, lines: Lines) -> str:
    # pydantic adds the names of union members and of "[key]" to the location; only what the file holds is told.
    location: tuple[Key, ...] = tuple(detail["loc"])
    known = [location[:end] for end in range(len(location), 0, -1) if location[:end] in lines]
    line = f":{lines[known[0]]}" if known else ""
    path = ".".join(str(key) for key in location)
    if detail["type"] == "missing":
        return f"{where}{line}: {path} is missing"
    if detail["type"] == "extra_forbidden":
        names = _field_names(model, location[:-1])
        return f"{where}{line}: {path} is no known key{suggestion(str(location[-1]), names)}"
    given = detail.get("input")
    message = _MESSAGES.get(detail["type"], detail["msg"].removeprefix("Value error, "))
    message = message[:1].lower() + message[1:]
    if isinstance(given, str):  # pydantic forgets that it is text once a validator of ours has looked at it
        message = message.replace("items after validation", "characters")
    shown = f" (given: {_shown(given)})" if isinstance(given, str | int | float) else ""
    return f"{where}{line}: {path + ': ' if path else ''}{message}{shown}"


def suggestion(name: str, known: Sequence[str]) -> str:
    """``; did you mean 'headline'?`` where a known name is near, else the known names."""
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; known are {', '.join(known)}" if known else ""


def _field_names(model: type[BaseModel], location: tuple[Key, ...]) -> list[str]:
    """The keys that the model, or the model nested at ``location``, knows."""
    models = [model]
    for key in location:
        inner = [m.model_fields[key].annotation for m in models if isinstance(key, str) and key in m.model_fields]
        models = [found for annotation in inner for found in _models_in(annotation)] or models
    return [name for m in models for name in m.model_fields]


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) is not None:
        for argument in get_args(annotation):
            yield from _models_in(argument)


def _shown(value: Any, longest: int = 60) -> str:
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= longest else text[:longest] + "…"


def _kind(value: Any) -> str:
    return {list: "a list", str: "text", type(None): "nothing"}.get(type(value), "a single value")


def _line_numbers(node: yaml.Node, path: tuple[Key, ...] = ()) -> Iterator[tuple[tuple[Key, ...], int]]:
    """(key path, line counted from 1) of every entry below ``node``."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield (*path, key.value), key.start_mark.line + 1
            yield from _line_numbers(value, (*path, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield (*path, index), value.start_mark.line + 1
            yield from _line_numbers(value, (*path, index))


class _StrictLoader(yaml.SafeLoader):
    """Safe YAML without aliases, repeated keys, and surprises in plain words."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own protocol

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            raise yaml.MarkedYAMLError(
                problem=f"*{event.anchor} is an alias; write the value out",
                problem_mark=event.start_mark,  # type: ignore[arg-type]  # the stubs forget the C parser's marks here
            )
        return super().compose_node(parent, index)

    def construct_whole_map(self, node: yaml.MappingNode) -> Iterator[dict[Any, Any]]:
        mapping: dict[Any, Any] = {}
        yield mapping  # PyYAML's protocol: the object first, what is in it afterwards
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a key must be a single word", problem_mark=key.start_mark)
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"{key.value} is given twice", problem_mark=key.start_mark)
            seen.add(key.value)
        # A key is text whatever it looks like: 300x250, 1, null.
        mapping.update((key.value, self.construct_object(value, deep=True)) for key, value in node.value)

    def construct_text(self, node: yaml.ScalarNode) -> str:
        """JSON is YAML, and writes an emoji as two escapes, which only together are a character."""
        try:
            return self.construct_scalar(node).encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            raise yaml.MarkedYAMLError(
                problem="an escape from \\ud800 to \\udfff is half a character; write the character itself",
                problem_mark=node.start_mark,
            ) from None

    def construct_decimal(self, node: yaml.ScalarNode) -> int:
        return int(self.construct_scalar(node))  # PyYAML would read 010 as eight

    def construct_number(self, node: yaml.ScalarNode) -> float:
        return float(self.construct_scalar(node))


_StrictLoader.add_constructor("tag:yaml.org,2002:map", _StrictLoader.construct_whole_map)
_StrictLoader.add_constructor("tag:yaml.org,2002:str", _StrictLoader.construct_text)
_StrictLoader.add_constructor("tag:yaml.org,2002:int", _StrictLoader.construct_decimal)
_StrictLoader.add_constructor("tag:yaml.org,2002:float", _StrictLoader.construct_number)
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", "~nN"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
):
    _StrictLoader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), [*_first, *([""] if _tag == "null" else [])]
    )
