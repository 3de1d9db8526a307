"""Packs are written whole or not at all, and read back as they were meant."""

import errno
import os
import tomllib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.numpy import load_file

from creatives import packaging
from creatives.errors import CreativeError
from creatives.packaging import add_pack, check_new_name, write_pack
from creatives.packs import SHIPPED, PackError, read_pack

FACTS = {
    "name": "dusk", "look": 'Colours of "dusk", a back\\slash and a tab\t.', "engine": "palette", "licence": "CC0",
    "author": "Zoë", "made": "by hand\nin two lines",
    "parameters": {"look": "duotone", "colours": ["#101020", "#f0e0d0"], "contrast": 1.5},
}  # fmt: skip

texts = st.text(st.characters(codec="utf-8"))
scalars = st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
keys = st.from_regex(r"[A-Za-z0-9_-]+", fullmatch=True)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3))


@given(st.dictionaries(keys, values, max_size=4))
def test_toml_reads_back_what_was_written(table):
    assert tomllib.loads(packaging._toml(table)) == table


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), b"bytes", "half \ud800", np.int64(1), object()])
def test_what_toml_would_change_is_refused(value):
    with pytest.raises(PackError, match=r"cannot be a value|half a character"):
        packaging._toml({"key": value})


def test_numpys_floats_are_written_as_numbers():
    assert packaging._toml({"key": np.float64(1.5)}) == "key = 1.5\n"


def test_what_is_written_is_read_back(tmp_path):
    write_pack(tmp_path / "dusk", **FACTS, weights=None, preview=lambda pack: Image.new("RGB", (8, len(pack.name))))
    pack = read_pack(tmp_path / "dusk")
    assert (pack.look, pack.author, pack.made) == (FACTS["look"], FACTS["author"], FACTS["made"])
    assert pack.parameters["contrast"] == 1.5
    assert {path.name for path in (tmp_path / "dusk").iterdir()} == {"style.toml", "preview.webp"}
    with Image.open(tmp_path / "dusk" / "preview.webp") as preview:
        assert preview.size == (8, len("dusk")), "drawn of the pack itself"
    assert [path.name for path in tmp_path.iterdir()] == ["dusk"], "nothing half-made lies beside it"


def test_weights_of_any_layout_are_kept(tmp_path):
    weights = {"turned": np.arange(6, dtype=np.float32).reshape(2, 3).T, "one": np.float16(2.5)}
    write_pack(tmp_path / "dusk", **FACTS, weights=weights)
    found = load_file(tmp_path / "dusk" / "weights.safetensors")
    assert np.array_equal(found["turned"], weights["turned"])
    assert found["one"].shape == ()


def test_changed_weights_are_refused(tmp_path):
    write_pack(tmp_path / "dusk", **FACTS, weights={"numbers": np.arange(4, dtype=np.float16)})
    read_pack(tmp_path / "dusk")
    weights = tmp_path / "dusk" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(PackError, match=r"is not the file named in style\.toml"):
        read_pack(tmp_path / "dusk")


def test_an_existing_folder_stays(tmp_path):
    (tmp_path / "dusk").mkdir()
    (tmp_path / "dusk" / "mine.txt").write_text("mine")
    with pytest.raises(PackError, match="exists: choose another name"):
        write_pack(tmp_path / "dusk", **FACTS, weights=None)
    assert (tmp_path / "dusk" / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"parameters": {"a b": 1}}, "cannot be a key"),
        ({"parameters": {"look": "duotnoe"}}, "look"),
        ({"look": "Short."}, "look"),
        ({"engine": "abacus"}, "abacus"),
        ({"name": "dawn"}, "rename one"),
    ],
    ids=str,
)
def test_a_pack_that_would_be_refused_is_not_written(tmp_path, wrong, says):
    with pytest.raises(CreativeError, match=says) as refusal:
        write_pack(tmp_path / "dusk", **(FACTS | wrong), weights=None)
    assert ".dusk." not in str(refusal.value), "the place aside is gone and would help nobody"
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def full(self, _text, **_options):
        raise OSError(errno.ENOSPC, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        write_pack(tmp_path / "dusk", **FACTS, weights={"numbers": np.zeros(4)})
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_writer_left_goes_with_the_next_attempt_and_nothing_else_does(tmp_path):
    """Another's attempt of this moment stays, and so does what anybody may call by such a name."""
    left, young, theirs = (tmp_path / f".dusk.{name}" for name in ("abcd_123", "zyxw_987", "original"))
    for folder, inside in ((left, "dusk"), (young, "dusk"), (theirs, "photographs")):
        (folder / inside).mkdir(parents=True)
        (folder / inside / "style.toml").write_text("name = ")
    for folder in (left, theirs):
        os.utime(folder, (0, 0))
    write_pack(tmp_path / "dusk", **FACTS, weights=None)
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "dusk", young, theirs])


def test_a_pack_from_elsewhere_is_copied_without_what_lies_beside_it(tmp_path, monkeypatch):
    write_pack(tmp_path / "dusk", **FACTS, weights={"numbers": np.zeros(4)}, preview=lambda _: Image.new("RGB", (8, 8)))
    (tmp_path / "dusk" / "LICENSE").write_text("CC0")
    (tmp_path / "dusk" / "install.sh").write_text("rm -rf")
    monkeypatch.chdir(tmp_path / "dusk")
    pack = add_pack(Path("."), tmp_path / "packs")
    assert pack.folder == tmp_path / "packs" / "dusk"
    assert pack.identity == read_pack(tmp_path / "dusk").identity
    kept = {path.name for path in pack.folder.iterdir()}
    assert kept == {"style.toml", "weights.safetensors", "preview.webp", "LICENSE"}
    with pytest.raises(PackError, match="exists: choose another name"):
        add_pack(tmp_path / "dusk", tmp_path / "packs")


@pytest.mark.parametrize("name", ["model.pth", "model.pkl"])
def test_a_pack_that_could_run_code_is_not_taken_in(tmp_path, name):
    write_pack(tmp_path / "dusk", **FACTS, weights=None)
    (tmp_path / "dusk" / name).write_bytes(b"")
    with pytest.raises(PackError, match="may run code"):
        add_pack(tmp_path / "dusk", tmp_path / "packs")
    assert not (tmp_path / "packs").exists()


@pytest.mark.parametrize("source", ["nowhere", "file"])
def test_what_is_no_folder_is_named(tmp_path, source):
    (tmp_path / "file").write_text("a file")
    with pytest.raises(PackError, match="is no folder"):
        add_pack(tmp_path / source, tmp_path / "packs")


@pytest.mark.parametrize("name", ["", "Dusk", "-dusk", "../dusk", "du sk", "x" * 64, "original", ".dusk", "dusk\n"])
def test_names_that_are_none(tmp_path, name):
    with pytest.raises(PackError, match="is no name for a style"):
        check_new_name(name, tmp_path)


def test_names_that_are_taken(tmp_path):
    check_new_name("dusk", tmp_path)
    shipped = next(path.name for path in SHIPPED.iterdir() if not path.name.startswith("."))
    with pytest.raises(PackError, match="comes along"):
        check_new_name(shipped, tmp_path)
    (tmp_path / "dusk").mkdir()
    with pytest.raises(PackError, match="choose another name"):
        check_new_name("dusk", tmp_path)
