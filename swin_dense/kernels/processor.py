"""The processor of this machine: what it multiplies by itself, and what has to be emulated."""

import platform
from functools import lru_cache

import torch


@lru_cache(maxsize=1)
def processor_kind() -> str:
    """The widest products of the processor: "AMX", "AVX-512 with bfloat16", "AVX-512", "AVX2" or
    the name of another architecture."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return platform.machine()
    if torch.cpu._is_amx_tile_supported():
        return "AMX"
    if torch.cpu._is_avx512_supported():
        has_bfloat16 = torch.cpu._is_avx512_bf16_supported()
        return "AVX-512 with bfloat16" if has_bfloat16 else "AVX-512"
    return "AVX2" if torch.cpu._is_avx2_supported() else "SSE"


def multiplies_bfloat16() -> bool:
    """Whether products of bfloat16 are the processor's own.

    Where they are not, torch computes them 7 to 600 times slower than those of float32 (measured
    with AVX2).
    """
    return processor_kind() in ("AMX", "AVX-512 with bfloat16")
