"""Wishes of one process are known to all, each once (several processes: `test_parallel.py`)."""

from pathlib import Path

from parallel_steps import wish_in_one_process
from training_runs import call_together

from swin_dense.tools.training.distributed.sync_flags import ProcessFlags


def test_one_process_has_its_own_way_at_once() -> None:
    agreement = ProcessFlags(1)
    assert agreement.sync_flags([True, False]) == [True, False]
    assert agreement.sync_flags([False, False]) == [False, False]


def test_a_wish_of_one_process_is_known_to_both_a_step_later_and_once(tmp_path: Path) -> None:
    call_together(wish_in_one_process, log=tmp_path / "log.txt")
