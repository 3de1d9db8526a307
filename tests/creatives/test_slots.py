"""The slot catalogue is data that says where it comes from."""

import pytest

from creatives.slots import DEFAULT_SLOTS, UnknownSlot, catalogue, find_slot, find_slots


def test_the_catalogue_holds_the_common_sizes_with_their_sources() -> None:
    common = {"160x600", "300x600", "320x50", "970x250", "1200x628", "1080x1350", "1080x1920", "1000x1500"}
    assert common | set(DEFAULT_SLOTS) <= set(catalogue())
    for name, slot in catalogue().items():
        assert f"{slot.width}x{slot.height}" == name
        assert slot.source
        assert slot.platforms
        assert slot.safe.left + slot.safe.right < slot.width / 2
        assert slot.safe.top + slot.safe.bottom < slot.height / 2


def test_display_advertisements_are_light() -> None:
    assert all(slot.max_bytes <= 150_000 for slot in catalogue().values() if "Google Display" in slot.platforms)


@pytest.mark.parametrize(("name", "advice"), [("300x25O", "did you mean '300x250'?"), ("banner", "known are 300x250")])
def test_an_unknown_slot_is_refused_with_advice(name: str, advice: str) -> None:
    with pytest.raises(UnknownSlot) as caught:
        find_slot(name)
    assert name in str(caught.value)
    assert advice in str(caught.value)


def test_a_slot_asked_for_twice_is_found_once() -> None:
    assert [slot.name for slot in find_slots(["728x90", "300x250", "728x90"])] == ["728x90", "300x250"]
