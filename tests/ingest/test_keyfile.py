"""The key file: one key a line, the oldest first; a change of key is begun beside it and ended by one rename."""

import pytest

from experiments.core.errors import ExperimentError
from experiments.ingest.keyfile import KeyFile

FIRST = "5e" * 32


@pytest.fixture
def file(tmp_path):
    found = KeyFile(tmp_path / "unit.key")
    found.path.write_text(FIRST)
    return found


def test_an_old_file_of_one_line_with_or_without_its_end_holds_one_key(file):
    assert file.keys() == (bytes.fromhex(FIRST),)
    file.path.write_text(FIRST + "\n\n")
    assert file.keys() == (bytes.fromhex(FIRST),)


def test_a_change_counts_when_it_has_ended_and_not_before(file):
    assert not file.changing
    coming = file.begin_change()
    assert file.changing
    assert (coming[0], len(coming), len(coming[1])) == (bytes.fromhex(FIRST), 2, 32)
    assert file.keys() == (bytes.fromhex(FIRST),)
    assert file.begin_change() == coming, "begun again it goes on with the same key"
    file.end_change()
    assert (file.keys(), file.changing) == (coming, False)
    assert file.begin_change()[:2] == coming


def test_all_of_it_is_for_its_owner_alone(file):
    created = KeyFile(file.path.with_name("other.key"))
    created.create()
    created.begin_change()
    assert {path.stat().st_mode & 0o777 for path in (created.path, created.pending)} == {0o600}
    created.end_change()
    assert created.path.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in file.path.parent.iterdir()) == ["other.key", "unit.key"]


def test_a_key_is_created_once(file):
    file.create()
    assert file.keys() == (bytes.fromhex(FIRST),)


def test_a_change_of_other_keys_is_not_gone_on_with(file):
    file.begin_change()
    file.path.write_text("77" * 32)
    with pytest.raises(ExperimentError, match=r"unit\.key\.next is not .*unit\.key with one more key"):
        file.begin_change()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "holds 0 bytes"),
        ("5e" * 15, "holds 15 bytes; a key has 16 to 64"),
        ("5e" * 65, "holds 65 bytes; a key has 16 to 64"),
        (f"{FIRST}\nabc", "does not hold a key in hexadecimal"),
        (f"{FIRST}\nä", "does not hold a key in hexadecimal"),
        (f"{FIRST}\n5e5e", "holds 2 bytes"),
    ],
)
def test_what_holds_no_keys_is_named(file, content, says):
    file.path.write_text(content, encoding="utf-8")
    with pytest.raises(ExperimentError, match=says):
        file.keys()


def test_a_missing_file_is_to_be_restored(tmp_path):
    with pytest.raises(ExperimentError, match=r"unit\.key is missing: .* Restore it from your backup"):
        KeyFile(tmp_path / "unit.key").keys()
