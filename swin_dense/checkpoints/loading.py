"""Put the weights of any published file into a module, wholly or not at all.

`load_weights` recognises whose names a file uses (`key_maps.py`), brings the weights into our names
and order, and copies them only if every one has its place. What it passes over, resamples or leaves
at its initial values is in the report that it returns.
"""

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from swin_dense.checkpoints.classification.whole_classifiers import (
    bare_classifier,
    is_whole_classifier,
    whole_classifier,
)
from swin_dense.checkpoints.containers import Checkpoint, read_checkpoint
from swin_dense.checkpoints.conversion import (
    ConvertedState,
    convert_checkpoint,
    convert_state_dict,
    own_layout,
    shorten,
    table_window,
)
from swin_dense.checkpoints.key_maps import BACKBONE

__all__ = ["Checkpoint", "LoadReport", "initialise", "load_weights", "read_checkpoint"]

# Three layers in a row, each of such values and a thousand wide, stay below the largest float32;
# trained weights, variances of norms among them, are far smaller.
_LARGEST = 1e9
_TABLE = ".relative_position_bias_table"
_CLASSIFIER = re.compile(r"(norm|head)\.(weight|bias)")
_OUTPUT_NORM = re.compile(r"norm\d+\.(weight|bias)")


@dataclass(frozen=True)
class LoadReport:
    """Fate of a file's weights: loaded, passed over, resampled.

    Attributes:
        source: the file.
        layout: name of the layout it was recognised as.
        num_loaded: tensors of the module that have a value from the file.
        dropped: the file's keys that the module has no use for.
        resampled: our keys of position tables that were made for another window.
        new: our keys that the file has no value for; the module keeps its own.
    """

    source: str
    layout: str
    num_loaded: int
    dropped: tuple[str, ...] = ()
    resampled: tuple[str, ...] = ()
    new: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"{self.source}: {self.num_loaded} tensors loaded, layout {self.layout}"]
        for what, keys in (
            ("not used", self.dropped),
            ("position tables resampled (bicubic) from another window", self.resampled),
            ("start anew", self.new),
        ):
            if keys:
                lines.append(f"  {what}: {len(keys)} ({shorten(_group(keys), most=8)})")
        return "\n".join(lines)


def load_weights(
    module: nn.Module,
    source: str | os.PathLike[str] | Mapping[str, Tensor],
    *,
    new_classes: bool = False,
) -> LoadReport:
    """Load a published file, or a state dict in any known layout, into a backbone or a whole model.

    Into a backbone goes what a classification file has without its head and final norm (the output
    norms then keep the values they have), or the backbone of a whole model's file. A whole model
    asks for a whole model's file; to start it from a backbone's, load that into `model.backbone`.

    Args:
        module: a `SwinTransformer`, or a model with one as `backbone`.
        source: a file or a state dict.
        new_classes: let layers whose size follows from the number of classes keep their own values
            where the file has another number of classes.

    Returns:
        What was loaded, passed over, resampled, and what starts anew.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file cannot be read safely, its layout is not known, it does not fit, or
            values in it are nan, infinite or beyond any trained one. The module is unchanged then.
    """
    name, converted = _read(source, module)
    return load_converted(module, converted, source=name, new_classes=new_classes)


def initialise(
    model: nn.Module,
    source: str | os.PathLike[str] | Mapping[str, Tensor],
    *,
    new_classes: bool = False,
) -> LoadReport:
    """Start the training of a whole model from a file.

    A file with the same parts (backbone, neck, ...) goes into the whole model; of any other, the
    backbone goes into the model's. Parts that the model names as optional are left out, such as the
    mask head of a Mask R-CNN that a Faster R-CNN starts from.

    Args:
        model: a model with a `backbone`.
        source: see `load_weights`.
        new_classes: see `load_weights`.

    Returns:
        See `load_weights`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: see `load_weights`.
    """
    name, converted = _read(source, model)
    converted = _in_form_of(model.state_dict(), converted)
    has_same_parts = _parts(converted.state) == _parts(model.state_dict())
    target = model if has_same_parts else model.get_submodule("backbone")
    if has_same_parts:
        converted = _without_parts(converted, getattr(model, "optional_parts", ()))
        if (adapt := getattr(model, "adapt_weights", None)) is not None and not new_classes:
            converted = replace(converted, state=dict(adapt(converted.state)))
    return load_converted(target, converted, source=name, new_classes=new_classes)


def load_converted(
    module: nn.Module, converted: ConvertedState, *, source: str, new_classes: bool = False
) -> LoadReport:
    """`load_weights` for what has been read and translated already; `source` is for messages."""
    state, report = fit_weights(module, converted, source=source, new_classes=new_classes)
    check_values(state, source=source)
    module.load_state_dict(state, strict=False)
    return report


def check_values(state: Mapping[str, Tensor], *, source: str) -> None:
    """Refuse weights that no training ends with: nan, infinity, beyond 1e9, a variance below 0.

    Raises:
        ValueError: there are such values; their keys are named.
    """
    faults = [
        f"{fault} in {key}" for key, value in state.items() if (fault := _find_fault(key, value))
    ]
    if faults:
        raise ValueError(
            f"{source} must have finite weights below {_LARGEST:.0e}, got {len(faults)} tensors "
            f"with others ({shorten(faults)}); the training it comes from has failed, or the file "
            "is damaged"
        )


def _find_fault(key: str, value: Tensor) -> str | None:
    """The kind of the worst value; None where all are good."""
    if not value.is_floating_point() or not value.numel() or value.is_meta:
        return None
    if value.element_size() == 1:  # torch has few functions for 8 bits
        value = value.float()
    lowest, highest = (float(bound) for bound in torch.aminmax(value))  # nan where there is one
    if math.isnan(lowest) or math.isnan(highest):
        return "nan"
    if math.isinf(lowest) or math.isinf(highest):
        return "infinity"
    if max(-lowest, highest) > _LARGEST:
        return f"{lowest if -lowest > highest else highest:.0e}"
    if key.endswith("running_var") and lowest < 0:
        return f"a variance of {lowest:.0e}"
    return None


def fit_weights(
    module: nn.Module, converted: ConvertedState, *, source: str, new_classes: bool = False
) -> tuple[dict[str, Tensor], LoadReport]:
    """The weights that `load_converted` would load, the module untouched, and its report."""
    targets = module.state_dict()
    converted = _in_form_of(targets, converted)
    is_whole = any(key.startswith(BACKBONE) for key in targets)
    if is_whole and not converted.is_whole:
        raise ValueError(
            f"{source} does not fit {describe_module(module)}: it holds a backbone only (layout "
            f"{converted.layout.name}); load it into the model's backbone "
            "(load_weights(model.backbone, ...), or `train --init FILE`)"
        )
    state, dropped = dict(converted.state), list(converted.dropped)
    if not is_whole:
        state, unused = _pick_backbone(converted, targets)
        dropped += unused
    else:
        dropped += _drop_classifier(state, targets)
    new = _allowed_new(state, targets, prefix=BACKBONE if is_whole else "")
    resampled = _resample_tables(state, targets)
    if new_classes:
        class_layers = getattr(module, "class_layers", ())
        for key in [key for key in state if _has_other_classes(key, state, targets, class_layers)]:
            del state[key]
            new.append(key)
    _check_fit(state, targets, new, source=source, module=module)
    return state, LoadReport(
        source, converted.layout.name, len(state), tuple(dropped), tuple(resampled), tuple(new)
    )


def _in_form_of(targets: Mapping[str, Tensor], converted: ConvertedState) -> ConvertedState:
    """A classifier's weights as a whole model for a classifier, else as classification files are:
    their final norm is no output norm of a detector's backbone."""
    if is_whole_classifier(targets):
        return whole_classifier(converted)
    return bare_classifier(converted)


def _read(
    source: str | os.PathLike[str] | Mapping[str, Tensor], module: nn.Module
) -> tuple[str, ConvertedState]:
    """Name of a source for messages, and its weights under our names.

    Names that are the module's own, one by one, need not be recognised, of whatever kind it is.
    """
    if not isinstance(source, Mapping):
        checkpoint = read_checkpoint(source)
        if checkpoint.state.keys() == module.state_dict().keys():
            return checkpoint.source, own_layout(checkpoint.state)
        return checkpoint.source, convert_checkpoint(checkpoint)
    name = "the state dict"
    if source.keys() == module.state_dict().keys():
        return name, own_layout(source)
    try:
        return name, convert_state_dict(source)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _without_parts(converted: ConvertedState, parts: Sequence[str]) -> ConvertedState:
    """The weights without those whose names begin with one of `parts`; they count as dropped."""
    unused = tuple(key for key in converted.state if key.startswith(tuple(parts)))
    state = {key: value for key, value in converted.state.items() if key not in unused}
    return replace(converted, state=state, dropped=(*converted.dropped, *unused))


def _parts(state: Mapping[str, Tensor]) -> set[str]:
    """First parts of the names; `auxiliary_head` may be there or not."""
    return {key.split(".")[0] for key in state} - {"auxiliary_head"}


def describe_module(module: nn.Module) -> str:
    """Name of a module for messages: the variant, behind the class if it is a model."""
    config = getattr(module, "config", None)
    if isinstance(title := getattr(config, "title", None), str):
        return title
    backbone = getattr(getattr(config, "backbone", None), "title", None)
    name = type(module).__name__
    return f"{name} on {backbone}" if isinstance(backbone, str) else name


def _pick_backbone(
    converted: ConvertedState, targets: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], list[str]]:
    """A file's backbone without what this backbone does not have; and the keys of the rest."""
    state, unused = {}, []
    for key, value in converted.state.items():
        inner = key.removeprefix(BACKBONE)
        is_head = converted.is_whole and not key.startswith(BACKBONE)
        is_extra = _CLASSIFIER.fullmatch(inner) or _OUTPUT_NORM.fullmatch(inner)
        if is_head or (is_extra and inner not in targets):
            unused.append(key)
        else:
            state[inner] = value
    return state, unused


def _drop_classifier(state: dict[str, Tensor], targets: Mapping[str, Tensor]) -> list[str]:
    """Take out, in place, the final norm that transformers 5 keeps in a backbone without using."""
    unused = [
        key
        for key in state
        if _CLASSIFIER.fullmatch(key.removeprefix(BACKBONE)) and key not in targets
    ]
    for key in unused:
        del state[key]
    return unused


def _allowed_new(
    state: Mapping[str, Tensor], targets: Mapping[str, Tensor], *, prefix: str
) -> list[str]:
    """Output norms, if the file has none at all: classification files never do."""
    norms = [key for key in targets if _OUTPUT_NORM.fullmatch(key)] if not prefix else []
    return [] if any(key in state for key in norms) else norms


def _resample_tables(state: dict[str, Tensor], targets: Mapping[str, Tensor]) -> list[str]:
    """Bring position tables to the module's window, in place; the keys of those changed."""
    resampled = []
    for key, table in state.items():
        target = targets.get(key)
        if not key.endswith(_TABLE) or target is None or table.shape == target.shape:
            continue
        old, new = table_window(table), table_window(target)
        if old is not None and new is not None and table.shape[1:] == target.shape[1:]:
            state[key] = resample_table(table, window=new)
            resampled.append(key)
    return resampled


def resample_table(table: Tensor, *, window: int) -> Tensor:
    """Bring a position table to another window, as Microsoft's loader does.

    Bicubic on the grid of offsets, whose outermost offsets stay outermost (the pixels of a
    `torch.nn.functional.interpolate` without aligned corners).

    Args:
        table: `((2*M - 1)**2, nH)`.
        window: the new M.

    Returns:
        `((2*window - 1)**2, nH)` in the table's dtype.
    """
    old = table_window(table)
    assert old is not None
    grid = table.T.reshape(1, -1, 2 * old - 1, 2 * old - 1).float()  # (1, nH, 2M-1, 2M-1)
    side = 2 * window - 1
    grid = functional.interpolate(grid, size=(side, side), mode="bicubic")
    return grid.reshape(-1, side * side).T.contiguous().to(table.dtype)


def _has_other_classes(
    key: str,
    state: Mapping[str, Tensor],
    targets: Mapping[str, Tensor],
    class_layers: Sequence[str],
) -> bool:
    if key not in targets or key.split(".")[-2:-1] not in [[layer] for layer in class_layers]:
        return False
    # the rows are the classes; anything else that differs is a misfit
    theirs, ours = state[key].shape, targets[key].shape
    return theirs != ours and theirs[1:] == ours[1:]


def _check_fit(
    state: Mapping[str, Tensor],
    targets: Mapping[str, Tensor],
    new: list[str],
    *,
    source: str,
    module: nn.Module,
) -> None:
    """Raise with all that does not fit, counted, and the first names of each kind."""
    missing = [key for key in targets if key not in state and key not in new]
    unexpected = [key for key in state if key not in targets]
    common = [key for key in state if key in targets]
    misshapen = [key for key in common if state[key].shape != targets[key].shape]
    other_kind = [
        key
        for key in common
        if targets[key].is_floating_point() and not state[key].is_floating_point()
    ]
    if not (missing or unexpected or misshapen or other_kind):
        return
    shapes = [
        f"{key} {tuple(state[key].shape)} instead of {tuple(targets[key].shape)}"
        for key in misshapen
    ]
    counts = [
        f"{len(keys)} {what}" + (f" ({shorten(keys)})" if keys else "")
        for keys, what in (
            (missing, "keys missing"),
            (unexpected, "unexpected"),
            (shapes, "of another shape"),
        )
    ]
    if other_kind:
        counts.append(f"{len(other_kind)} not floating point ({shorten(other_kind)})")
    class_layers = getattr(module, "class_layers", ())
    only_classes = all(_has_other_classes(key, state, targets, class_layers) for key in misshapen)
    hint = ""
    if only_classes and not (missing or unexpected or other_kind):
        hint = "; these depend on the number of classes: new_classes=True starts them anew"
    raise ValueError(f"{source} does not fit {describe_module(module)}: {', '.join(counts)}{hint}")


def _group(keys: tuple[str, ...]) -> list[str]:
    """The modules that the keys belong to, once each."""
    return list(dict.fromkeys(key.rpartition(".")[0] or key for key in keys))
