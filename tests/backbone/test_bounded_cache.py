"""A bounded cache: entries it keeps, entries it lets go."""

from swin_dense.windowing.bounded_cache import BoundedCache


def test_a_value_is_found_under_its_key() -> None:
    cache: BoundedCache[str, int] = BoundedCache(max_values=3, max_bytes=10)
    cache.put("one", 1, num_bytes=4)
    assert cache.get("one") == 1
    assert cache.get("two") is None


def test_the_value_that_was_not_used_for_longest_goes() -> None:
    cache: BoundedCache[str, int] = BoundedCache(max_values=2, max_bytes=10)
    for number, key in enumerate(("one", "two")):
        cache.put(key, number, num_bytes=1)
    assert cache.get("one") == 0
    cache.put("three", 2, num_bytes=1)
    assert [cache.get(key) for key in ("one", "two", "three")] == [0, None, 2]


def test_bytes_are_bounded_and_a_value_that_is_too_large_drives_none_out() -> None:
    cache: BoundedCache[str, int] = BoundedCache(max_values=9, max_bytes=10)
    for number, key in enumerate(("one", "two", "three")):
        cache.put(key, number, num_bytes=4)
    assert [cache.get(key) for key in ("one", "two", "three")] == [None, 1, 2]
    assert cache.num_bytes == 8
    cache.put("large", 3, num_bytes=11)
    assert cache.get("large") is None
    assert cache.num_bytes == 8


def test_a_value_put_again_counts_once() -> None:
    cache: BoundedCache[str, int] = BoundedCache(max_values=9, max_bytes=10)
    cache.put("one", 1, num_bytes=4)
    cache.put("one", 2, num_bytes=7)
    assert (cache.get("one"), cache.num_bytes) == (2, 7)
