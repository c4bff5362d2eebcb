"""The line that names the machine."""

import pytest
import torch
from measuring.machine import describe_machine, read_processor


@pytest.mark.parametrize(
    ("flags", "instructions"),
    [
        ("fpu avx2 avx512f amx_tile amx_bf16", "AMX"),
        ("fpu avx2 avx512f", "AVX-512"),
        ("fpu avx avx2", "AVX2"),
        ("fpu", "neither AMX nor AVX"),
    ],
)
def test_widest_instructions_are_named(flags: str, instructions: str) -> None:
    text = f"processor\t: 0\nmodel name\t: Some CPU @ 2GHz\nflags\t\t: {flags}\nbugs\t\t: \n"
    assert read_processor(text) == ("Some CPU @ 2GHz", instructions)


def test_a_processor_without_a_name_is_a_cpu() -> None:
    assert read_processor("")[0] == "CPU"


def test_line_has_threads_and_version() -> None:
    line = describe_machine()
    assert f"{torch.get_num_threads()} thread" in line
    assert f"torch {torch.__version__.partition('+')[0]}" in line
