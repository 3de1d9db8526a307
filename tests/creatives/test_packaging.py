import numpy as np
import pytest
from PIL import Image

from creatives.packaging import add_pack, write_pack
from creatives.packs import PackError, read_pack

FACTS = {
    "name": "dusk", "look": 'Colours of "dusk", a back\\slash and a tab\t.', "engine": "palette", "licence": "CC0",
    "author": "Zoë", "made": "by hand\nin two lines",
    "parameters": {"look": "duotone", "colours": ["#101020", "#f0e0d0"], "contrast": 1.5},
}  # fmt: skip


def test_what_is_written_is_read_back(tmp_path):
    write_pack(tmp_path / "dusk", **FACTS, weights=None, preview=Image.new("RGB", (8, 8)))
    pack = read_pack(tmp_path / "dusk")
    assert (pack.look, pack.author, pack.made) == (FACTS["look"], FACTS["author"], FACTS["made"])
    assert pack.parameters["contrast"] == 1.5
    assert {path.name for path in (tmp_path / "dusk").iterdir()} == {"style.toml", "preview.webp"}
    assert [path.name for path in tmp_path.iterdir()] == ["dusk"], "nothing half-made lies beside it"


def test_changed_weights_are_refused(tmp_path):
    write_pack(tmp_path / "dusk", **FACTS, weights={"numbers": np.arange(4, dtype=np.float16)})
    read_pack(tmp_path / "dusk")
    weights = tmp_path / "dusk" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(PackError, match="is not the file named in"):
        read_pack(tmp_path / "dusk")


def test_an_existing_folder_stays(tmp_path):
    (tmp_path / "dusk").mkdir()
    (tmp_path / "dusk" / "mine.txt").write_text("mine")
    with pytest.raises(PackError, match="exists: choose another name"):
        write_pack(tmp_path / "dusk", **FACTS, weights=None)
    assert (tmp_path / "dusk" / "mine.txt").read_text() == "mine"


def test_a_write_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(PackError, match="cannot be a key"):
        write_pack(tmp_path / "dusk", **(FACTS | {"parameters": {"a b": 1}}), weights=None)
    assert list(tmp_path.iterdir()) == []


def test_a_pack_that_could_run_code_is_not_taken_in(tmp_path):
    write_pack(tmp_path / "dusk", **FACTS, weights=None)
    (tmp_path / "dusk" / "model.pth").write_bytes(b"")
    with pytest.raises(PackError, match="may run code"):
        add_pack(tmp_path / "dusk", tmp_path / "packs")
    assert not (tmp_path / "packs").exists()
