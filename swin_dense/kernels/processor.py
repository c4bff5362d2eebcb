"""The processor of this machine, and when its own ways of computing are taken."""

import platform
from functools import lru_cache

import torch
from torch import Tensor


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


def emulates_bfloat16() -> bool:
    """True if the processor has no products of bfloat16.

    Then torch computes them 7 to 600 times slower than those of float32 (measured with AVX2), so
    they are better computed in float32.
    """
    return processor_kind() in ("AVX-512", "AVX2", "SSE")


def is_cpu_inference(tensor: Tensor) -> bool:
    """True if a tensor is worked on as it is on the CPU: no gradient is recorded, nothing traced.

    Only then results may be written in pieces, and by operators that have no gradient.
    """
    return (
        tensor.device.type == "cpu"
        and not torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()
    )
