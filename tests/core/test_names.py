"""Names: slugs only, and a refusal that helps."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.core.names import BadName, check_name, slugified


@pytest.mark.parametrize("name", ["a", "7", "spring-sale", "x" * 63, "a--b", "a-"])
def test_slugs_pass_unchanged(name):
    assert check_name("experiment", name) == name


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "experiment name '' is empty; use 1 to 63 of a-z, 0-9 and -"),
        ("../etc", "experiment name '../etc' holds '.'; use only a-z, 0-9 and -, beginning with a letter or digit; "
                   "'etc' would do"),
        ("Frühling 2026", "experiment name 'Frühling 2026' holds 'F'; use only a-z, 0-9 and -, beginning with a letter "
                          "or digit; 'fruhling-2026' would do"),
        ("-x", "experiment name '-x' begins with a hyphen; 'x' would do"),
        ("x" * 64, f"experiment name '{'x' * 63}…' has 64 characters; at most 63 fit; '{'x' * 63}' would do"),
        ("春", "experiment name '春' holds '春'; use only a-z, 0-9 and -, beginning with a letter or digit"),
        ("a\n", "experiment name 'a\\n' holds '\\n'; use only a-z, 0-9 and -, beginning with a letter or digit; "
                "'a' would do"),
    ],
)  # fmt: skip
def test_the_refusal_says_which_why_and_what_instead(name, says):
    with pytest.raises(BadName) as refusal:
        check_name("experiment", name)
    assert str(refusal.value) == says


@given(st.text() | st.from_regex(r"[a-z0-9-]*", fullmatch=True))
def test_a_name_passes_only_if_it_is_safe_as_a_path(name):
    safe = set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") and 1 <= len(name) <= 63 and name[0] != "-"
    with contextlib.nullcontext() if safe else pytest.raises(BadName):
        check_name("brief", name)


@given(st.text())
def test_what_is_suggested_would_pass(name):
    suggestion = slugified(name)
    assert suggestion == "" or check_name("brief", suggestion) == suggestion
