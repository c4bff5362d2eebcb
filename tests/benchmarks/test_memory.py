"""Memory of this process as the system counts it."""

from measuring.memory import available_memory, peak_memory, reset_peak_memory, resident_memory


def test_peak_rises_with_what_was_held_and_can_be_counted_anew() -> None:
    before = resident_memory()
    block = bytearray(200 * 2**20)
    assert resident_memory() - before > 150
    del block
    assert peak_memory() - before > 150
    reset_peak_memory()
    small = bytearray(20 * 2**20)
    assert peak_memory() >= resident_memory() - 1
    assert peak_memory() - before < 150
    del small


def test_available_memory_is_in_mib() -> None:
    assert 100 < available_memory() < 2**24
