"""The machine that figures are of, in a line."""

import re
from pathlib import Path

import torch

# From the widest down, by the flags of Linux; what products can be computed with decides the speed.
_INSTRUCTIONS = {"amx_tile": "AMX", "avx512f": "AVX-512", "avx2": "AVX2"}


def describe_machine(device: torch.device | None = None) -> str:
    """Processor with its widest instructions and its threads, or GPU; and the version of torch."""
    version = f"torch {torch.__version__.partition('+')[0]}"
    if device is not None and device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, {version}"
    name, instructions = read_processor(Path("/proc/cpuinfo").read_text())
    threads = torch.get_num_threads()
    return f"{name} with {instructions}, {threads} thread{'s' * (threads > 1)}, {version}"


def read_processor(text: str) -> tuple[str, str]:
    """Name of the processor and its widest instructions, from Linux' `/proc/cpuinfo`."""
    name = re.search(r"^model name\s*: (.*)", text, flags=re.MULTILINE)
    flags = re.search(r"^flags\s*: (.*)", text, flags=re.MULTILINE)
    has = set(flags[1].split()) if flags else set()
    widest = [words for flag, words in _INSTRUCTIONS.items() if flag in has]
    return name[1].strip() if name else "CPU", widest[0] if widest else "neither AMX nor AVX"
