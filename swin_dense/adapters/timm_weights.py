"""Weights of any known layout for the models that timm makes.

Names are ours, but that timm keeps a classifier's linear layer in `head.fc`.
"""

import dataclasses
import re
from collections.abc import Mapping

from timm.models import adapt_input_conv
from torch import Tensor, nn

from swin_dense.checkpoints.conversion import ConvertedState, convert_state_dict
from swin_dense.checkpoints.key_maps import BACKBONE
from swin_dense.checkpoints.loading import check_values, fit_weights

_OUR_HEAD, _HEAD = re.compile(r"^head\.(?!fc\.)"), "head.fc."
_OF_CLASSIFIERS = (_HEAD, "norm.")  # what only a classifier and its files have
_STEM = "patch_embed.proj.weight"
_RGB = 3  # channels of every published file


def translate(model: nn.Module, state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Bring a state dict under the model's names, for timm, which adapts and loads it.

    Raises:
        ValueError: its layout is not known.
    """
    if set(state_dict) <= model.state_dict().keys():
        return dict(state_dict)
    return _rename(convert_state_dict(state_dict))


def fit_timm_weights(
    model: nn.Module, converted: ConvertedState, *, source: str, adapt: bool
) -> dict[str, Tensor]:
    """The weights that the model takes from a file; see `load_weights` for what is refused.

    Args:
        model: a classifier, or a backbone, which has no use for a head.
        converted: the weights under our names.
        source: the file, for messages.
        adapt: let the image have other channels and the head other classes than the file's, and
            keep the model's own values of a classifier's parts that the file has not.

    Raises:
        ValueError: they do not fit.
    """
    targets = model.state_dict()
    prefix = BACKBONE if converted.is_whole else ""
    state = _rename(converted)
    for key in [key for key in state if key.startswith(_HEAD)]:
        has_place = key in targets
        if not has_place or (adapt and state[key].shape != targets[key].shape):
            del state[key]
    if adapt:
        _adapt_stem(state, prefix + _STEM, channels=targets[_STEM].shape[1])
        for key, value in targets.items():
            if key.startswith(_OF_CLASSIFIERS):
                state.setdefault(prefix + key, value)
    converted = dataclasses.replace(converted, state=state)
    fitted, _ = fit_weights(model, converted, source=source)
    check_values(fitted, source=source)
    return fitted


def _rename(converted: ConvertedState) -> dict[str, Tensor]:
    """The weights under the models' names, which a file of such a model has already."""
    return {_OUR_HEAD.sub(_HEAD, key): value for key, value in converted.state.items()}


def _adapt_stem(state: dict[str, Tensor], key: str, *, channels: int) -> None:
    """Bring the first convolution to the image's channels, in place, as timm does."""
    stem = state.get(key)
    if stem is not None and stem.ndim == 4 and stem.shape[1] == _RGB != channels:
        state[key] = adapt_input_conv(channels, stem.clone())
