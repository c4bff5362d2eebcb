"""Classifiers in two forms: as published files have them, and as our whole models.

A published file has the names of a backbone, and beside them `norm`, the final norm, and `head`, a
linear layer. In our whole model the final norm is the output norm of the backbone's last level, the
only one that it gives, and the head stands beside the backbone.
"""

import re
from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from swin_dense.checkpoints.conversion import ConvertedState
from swin_dense.checkpoints.key_maps import BACKBONE

_HEAD, _NORM = "head.", "norm."
_OUTPUT_NORM = re.compile(r"(norm\d+)\.weight")


def is_bare_classifier(state: Mapping[str, Tensor]) -> bool:
    """Tell whether weights under our names are those of a published classification file."""
    return f"{_HEAD}weight" in state and f"{_NORM}weight" in state


def is_whole_classifier(state: Mapping[str, Tensor]) -> bool:
    """Tell whether they are those of a whole model with a Swin Transformer."""
    return _last_norm(state) is not None


def whole_classifier(converted: ConvertedState) -> ConvertedState:
    """A classification file's weights as our whole model has them; others as they are."""
    if converted.is_whole or not is_bare_classifier(converted.state):
        return converted
    last = max(
        (int(key.split(".")[1]) for key in converted.state if key[:7] == "layers."), default=0
    )

    def rename(key: str) -> str:
        if key.startswith(_HEAD):
            return key
        return BACKBONE + (f"norm{last}.{key[5:]}" if key.startswith(_NORM) else key)

    state = {rename(key): value for key, value in converted.state.items()}
    return replace(converted, state=state)


def bare_classifier(converted: ConvertedState) -> ConvertedState:
    """A whole classifier's weights as a classification file has them; others as they are."""
    return replace(converted, state=bare_names(converted.state))


def bare_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`bare_classifier` of weights alone."""
    norm = _last_norm(state)
    if norm is None:
        return dict(state)

    def rename(key: str) -> str:
        inner = key.removeprefix(BACKBONE)
        return f"{_NORM}{inner.removeprefix(norm)[1:]}" if inner.startswith(f"{norm}.") else inner

    return {rename(key): value for key, value in state.items()}


def _last_norm(state: Mapping[str, Tensor]) -> str | None:
    """Name of the one output norm of a whole classifier's backbone; None where it is none."""
    if f"{_HEAD}weight" not in state or not all(key.startswith((BACKBONE, _HEAD)) for key in state):
        return None
    found = [_OUTPUT_NORM.fullmatch(key.removeprefix(BACKBONE)) for key in state]
    norms = [match[1] for match in found if match is not None]
    return norms[0] if len(norms) == 1 else None
