"""Packs are written whole or not at all, and read back as they were meant."""

import errno
import hashlib
import os
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.numpy import load_file, save_file

from creatives import packaging
from creatives.engines.optimise import Optimise
from creatives.engines.palette import Palette
from creatives.engines.reference import network_hash
from creatives.errors import CreativeError
from creatives.packaging import add_pack, check_new_name, write_pack
from creatives.packs import SHIPPED, PackError, StyleLibrary, read_pack

FACTS = {
    "name": "dusk", "look": 'Colours of "dusk", a back\\slash and a tab\t.', "engine": "palette", "licence": "CC0",
    "author": "Zoë", "made": "by hand\nin two lines",
    "parameters": {"look": "duotone", "colours": ["#101020", "#f0e0d0"], "contrast": 1.5},
}  # fmt: skip

PICTURE = f'picture = "p.png"\npicture_sha256 = "{"0" * 64}"\n'

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
    told = ('Colours of "dusk", a back\\slash and a tab .', "Zoë", "by hand in two lines")
    assert (pack.look, pack.author, pack.made) == told, "each in one line"
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


@pytest.mark.parametrize("name", ["LICENSE", "preview.webp"])
def test_a_file_that_leads_out_of_a_pack_is_not_copied(tmp_path, name):
    write_pack(tmp_path / "dusk", **FACTS, weights=None)
    (tmp_path / "private").write_text("a key")
    (tmp_path / "dusk" / name).symlink_to(tmp_path / "private")
    with pytest.raises(PackError, match=f"dusk/{name} leads out of the pack"):
        add_pack(tmp_path / "dusk", tmp_path / "packs")
    assert list((tmp_path / "packs").iterdir()) == []


def test_a_manifest_that_is_a_pipe_is_not_waited_for(tmp_path):
    (tmp_path / "dusk").mkdir()
    os.mkfifo(tmp_path / "dusk" / "style.toml")
    with pytest.raises(PackError, match=r"style\.toml is a pipe"):
        read_pack(tmp_path / "dusk")


@pytest.mark.parametrize("kind", ["a folder", "a pipe", "a link that leads in a circle", "a link that leads nowhere"])
def test_weights_that_are_no_file_are_named_for_what_they_are(tmp_path, kind):
    write_pack(tmp_path / "dusk", **FACTS, weights={"numbers": np.arange(4, dtype=np.float16)})
    weights = tmp_path / "dusk" / "weights.safetensors"
    weights.unlink()
    makers = {"a folder": weights.mkdir, "a pipe": lambda: os.mkfifo(weights)}
    makers.get(kind, lambda: weights.symlink_to(weights.name if "circle" in kind else "nowhere"))()
    with pytest.raises(PackError, match=f"weights.safetensors is {kind}; a style pack has a file of that name, or no"):
        read_pack(tmp_path / "dusk")


def test_a_pack_that_may_not_be_read_is_no_style_and_all_others_are(tmp_path, monkeypatch):
    for name in ("dawn", "dusk"):
        write_pack(tmp_path / name, **(FACTS | {"name": name}), weights=None)
    real = Path.iterdir

    def locked(self):
        if self.name == "dusk":
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return real(self)

    monkeypatch.setattr(Path, "iterdir", locked)
    library = StyleLibrary((tmp_path,))
    assert library.get("dawn").name == "dawn"
    with pytest.raises(PackError, match=r"dusk cannot be read \(permission denied\): change its permissions"):
        library.get("dusk")


@pytest.mark.parametrize("name", ["model.pth", "model.pkl", "MODEL.PTH"])
def test_a_pack_that_could_run_code_is_not_taken_in(tmp_path, name):
    write_pack(tmp_path / "dusk", **FACTS, weights=None)
    (tmp_path / "dusk" / name).write_bytes(b"")
    with pytest.raises(PackError, match="may run code"):
        add_pack(tmp_path / "dusk", tmp_path / "packs")
    assert not (tmp_path / "packs").exists()


@pytest.mark.parametrize(
    ("engine", "parameters", "weights", "says"),
    [
        ("cartoon", "", None, "there is no file of weights"),
        ("cartoon", "", {"numbers": np.zeros(4, np.float32)}, "weights of another network"),
        ("network", 'network = "own"\n', None, "there is no file of weights"),
        ("network", 'network = "own"\n', {"adapter": np.zeros(3, np.float32)}, "no adapter of"),
        ("reference", f'{PICTURE}network = "{network_hash()}"\n', None, "there is no picture"),
        ("optimise", PICTURE, None, "there is no picture"),
    ],
    ids=["no cartoonist", "another cartoonist", "no adapter", "short adapter", "no picture", "none to optimise for"],
)
def test_a_pack_that_can_never_draw_is_not_taken_in(tmp_path, engine, parameters, weights, says):
    folder = pack_by_hand(tmp_path / "dusk", engine, parameters, weights)
    read_pack(folder)
    with pytest.raises(PackError, match=says) as refusal:
        add_pack(folder, tmp_path / "packs")
    assert str(tmp_path / "dusk") in str(refusal.value), "where people find it"
    assert list((tmp_path / "packs").iterdir()) == []


def test_an_engine_that_fails_is_told_in_one_line(tmp_path, monkeypatch):
    def fail(*_given, **_named):
        raise RuntimeError("size mismatch:\n\tcopying a parameter")

    write_pack(tmp_path / "dusk", **FACTS, weights=None)
    monkeypatch.setattr(Palette, "apply", fail)
    with pytest.raises(PackError, match=r"dusk: no picture can be drawn \(RuntimeError: size mismatch: copying a par"):
        add_pack(tmp_path / "dusk", tmp_path / "packs")
    assert list((tmp_path / "packs").iterdir()) == []


def test_a_style_that_takes_minutes_is_taken_in_undrawn_with_the_picture_it_names(tmp_path, monkeypatch):
    monkeypatch.setattr(Optimise, "mix", lambda *_given, **_named: pytest.fail("minutes are spent"))
    folder = pack_by_hand(tmp_path / "dusk", "optimise", PICTURE)
    Image.new("RGB", (8, 8), "red").save(folder / "p.png")
    with pytest.raises(PackError, match="is not the picture the pack names"):
        add_pack(folder, tmp_path / "packs")
    digest = hashlib.sha256((folder / "p.png").read_bytes()).hexdigest()
    (folder / "style.toml").write_text((folder / "style.toml").read_text().replace("0" * 64, digest))
    assert (add_pack(folder, tmp_path / "packs").folder / "p.png").is_file()


@pytest.mark.parametrize("key", ["look", "licence", "author", "made"])
@pytest.mark.parametrize("control", ["\x1b[31m", "\x07", "\x7f", "\x9b31m"])
def test_what_a_terminal_would_obey_is_refused(tmp_path, key, control):
    folder = pack_by_hand(tmp_path / "dusk", "palette", 'look = "film"\n')
    read_pack(folder)
    table = tomllib.loads((folder / "style.toml").read_text())
    changed = packaging._toml({**table, key: f"A look that is {control} long enough."})
    (folder / "style.toml").write_text(changed)
    with pytest.raises(CreativeError, match=f"{key}: holds a control character") as refusal:
        read_pack(folder)
    assert control not in str(refusal.value)


def test_a_picture_s_name_does_not_cost_the_training(tmp_path):
    """Files may be named so; packs must not speak so."""
    write_pack(tmp_path / "dusk", **(FACTS | {"made": "Learned from a\x1b[31m\x9bb.png."}), weights=None)
    assert read_pack(tmp_path / "dusk").made == "Learned from a [31m b.png."


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "style.toml is a folder"),
        ("x = " + "[" * 5000, "nested too deeply"),
        (f'picture = "{"x" * 300}"', "longer than the 255 bytes"),
        ('picture = "\\u001b[31m.png"', "holds a control character"),
        ("#" * 2**20, "larger than 1024 KiB"),
        (f"size = {'9' * 5000}", "holds a number with thousands of digits"),
    ],
    ids=["folder", "deep", "long", "control", "large", "digits"],
)
def test_a_manifest_that_cannot_be_used_is_told_in_one_line(tmp_path, content, says):
    folder = pack_by_hand(tmp_path / "dusk", "optimise", f'picture_sha256 = "{"0" * 64}"\n{content}\n')
    if content is None:
        (folder / "style.toml").unlink()
        (folder / "style.toml").mkdir()
    with pytest.raises(CreativeError, match=says) as refusal:
        read_pack(folder)
    assert "\n" not in str(refusal.value)
    assert "\x1b" not in str(refusal.value)


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ("", "parameters: look is missing; it may be duotone, film"),
        ('look = ["film"]', "parameters: look ['film'] is none of duotone, film"),
        ("look = {film = 1}", "parameters: look {'film': 1} is none of duotone, film"),
    ],
)
def test_a_look_that_is_none_is_refused_with_those_there_are(tmp_path, parameters, says):
    with pytest.raises(CreativeError, match=re.escape(says) + "$"):
        read_pack(pack_by_hand(tmp_path / "dusk", "palette", parameters))


def test_an_engine_that_is_none_is_told_with_the_pack_that_asks_for_it(tmp_path):
    with pytest.raises(PackError, match=r"dusk/style\.toml: there is no engine 'pallete': did you mean 'palette'\?"):
        read_pack(pack_by_hand(tmp_path / "dusk", "pallete", ""))


def test_a_manifest_may_be_saved_by_any_editor_as_utf_8(tmp_path):
    path = pack_by_hand(tmp_path / "dusk", "palette", 'look = "film"\n') / "style.toml"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_pack(tmp_path / "dusk").parameters["look"] == "film"
    path.write_bytes(path.read_text("utf-8-sig").encode("utf-16"))
    with pytest.raises(PackError, match=r"is not UTF-8 text \(byte 0\); save it as UTF-8"):
        read_pack(tmp_path / "dusk")


@pytest.mark.parametrize(
    ("engine", "parameters", "says"),
    [
        ("network", 'full = "1"', "full: input should be a valid number (given: '1')"),
        ("network", "full = true", "full: input should be a valid number (given: true)"),
        ("network", "tones = true", "tones: input should be a valid integer (given: true)"),
        ("network", "tones = 3.0", "tones: input should be a valid integer (given: 3.0)"),
        ("network", "white_ground = 1", "white_ground: input should be a valid boolean (given: 1)"),
        ("network", 'calm = "false"', "calm: input should be a valid boolean (given: 'false')"),
        ("reference", f"{PICTURE}size = 512.0", "size: input should be a valid integer (given: 512.0)"),
        ("optimise", f"{PICTURE}style_weight = nan", "style_weight: input should be a finite number (given: nan)"),
        ("optimise", f'{PICTURE}scales = "3"', "scales: input should be a valid integer (given: '3')"),
        ("palette", 'look = "film"\nwarmth = true', "warmth: input should be a valid number (given: true)"),
        ("filters", 'look = "halftone"\nangle = nan', "angle: input should be a finite number (given: nan)"),
        ("filters", 'look = "halftone"\nangle = inf', "angle: input should be a finite number (given: inf)"),
        ("filters", 'look = "poster"\ncolours = "11"', "colours: input should be a valid integer (given: '11')"),
    ],
)
def test_what_is_no_number_does_not_pass_for_one(tmp_path, engine, parameters, says):
    networks = {"network": 'network = "own"\n', "reference": f'network = "{network_hash()}"\n'}
    with pytest.raises(CreativeError, match=re.escape(f"parameters: {says}") + "$"):
        read_pack(pack_by_hand(tmp_path / "dusk", engine, networks.get(engine, "") + parameters))


def test_a_whole_number_stands_for_the_same_number(tmp_path):
    looks = 'look = "film"\nsaturation = '
    whole, same = (
        read_pack(pack_by_hand(tmp_path / name / "dusk", "palette", looks + number))
        for name, number in (("whole", "1"), ("same", "1.0"))
    )
    assert whole.identity == same.identity


def pack_by_hand(folder, engine, parameters, weights=None):
    """As somebody else's tool may write it: nothing is checked."""
    folder.mkdir(parents=True)
    named = ""
    if weights is not None:
        save_file(weights, folder / "weights.safetensors")
        named = f'weights_sha256 = "{hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()}"\n'
    (folder / "style.toml").write_text(
        f'name = "{folder.name}"\nlook = "A look of a test."\nengine = "{engine}"\nlicence = "CC0"\nauthor = "us"\n'
        f'made = "by hand"\n{named}[parameters]\n{parameters}'
    )
    return folder


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
