"""Seeds of the tests of heads."""

import pytest
import torch


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Fix torch's global source of random numbers: initial weights, dropout, sampled boxes."""
    torch.manual_seed(0)
