"""Flags of one process are known to all, each once (several processes: `test_setup.py`)."""

from pathlib import Path

from parallel_steps import wish_in_one_process
from training_runs import call_together

from swin_dense.tools.training.distributed.sync_flags import ProcessFlags


def test_one_process_knows_its_flags_at_once() -> None:
    flags = ProcessFlags(1)
    assert flags.sync_flags([True, False]) == [True, False]
    assert flags.sync_flags([False, False]) == [False, False]


def test_a_flag_of_one_process_is_known_to_both_a_step_later_and_once(tmp_path: Path) -> None:
    call_together(wish_in_one_process, log=tmp_path / "log.txt")
