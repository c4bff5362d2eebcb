"""A short fuzz: hostile inputs of every family end in one clear line; `fuzz.py` runs a long one."""

from pathlib import Path

from fuzz import run_cases


def test_hostile_inputs_of_every_family_end_in_one_clear_line(tmp_path: Path) -> None:
    results = list(run_cases(55, 0, tmp_path))
    families = {result.case.family for result in results}
    assert families >= {"weights", "pickles", "coco", "classes", "images", "flags"}
    assert not [str(result) for result in results if result.fault]
