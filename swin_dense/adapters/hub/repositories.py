"""Folders in the hub's convention, and their upload by huggingface_hub's mixin."""

import importlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from swin_dense.adapters.extras import missing_extra
from swin_dense.checkpoints.download import fetch_from_hub

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"


def write_folder(
    folder: str | os.PathLike[str],
    write_weights: Callable[[Path], None],
    *,
    config: Mapping[str, Any],
    card: Callable[[], str],
) -> None:
    """Fill a folder; each file is written beside its name and renamed.

    Args:
        folder: made if absent.
        write_weights: writes the weights to a path, whole or not at all.
        config: values of `config.json`.
        card: gives the model card; a README.md that is there already stays as it is.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_weights(folder / WEIGHTS)
    _write_text(folder / CONFIG, json.dumps(config, indent=2) + "\n")
    if not (folder / CARD).exists():
        _write_text(folder / CARD, card())


def write_safetensors(
    path: Path, state: Mapping[str, Tensor], *, metadata: Mapping[str, str]
) -> None:
    """Write weights beside their name, and rename them."""
    from safetensors.torch import save_file

    partial = path.with_name(f".{path.name}.partial")
    tensors = {key: value.detach().contiguous() for key, value in state.items()}
    try:
        save_file(tensors, partial, metadata=dict(metadata))
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def find_folder(source: str | os.PathLike[str], *, revision: str | None, token: str | bool) -> Path:
    """The folder itself, or that of a repository of the hub, fetched.

    Args:
        source: a folder or a file, or `OWNER/NAME`.
        revision: branch, tag or commit; None: the main branch.
        token: False: none, though the machine may have one; True: the one it has.

    Raises:
        FileNotFoundError: there is no such folder or repository, or no network.
        ValueError: a revision of something local.
    """
    if not Path(source).exists():
        return fetch_from_hub(os.fspath(source), revision=revision, token=token)
    if revision is not None:
        raise ValueError(f"revision must be None for the local folder {source}, got {revision}")
    return Path(source)


def push(write: Callable[[Path], None], repo_id: str, *, token: str | bool, **options: Any) -> str:
    """Upload a folder in one commit.

    Args:
        write: fills a folder.
        repo_id: `OWNER/NAME`; made if absent.
        token: see `find_folder`.
        options: of `ModelHubMixin.push_to_hub`.

    Returns:
        The address of the commit.

    Raises:
        ModuleNotFoundError: huggingface_hub is not installed.
        ValueError: the hub cannot be reached, or refuses it.
    """
    try:
        hub = importlib.import_module("huggingface_hub")
    except ModuleNotFoundError as error:
        raise missing_extra(error, what="push_to_hub", extra="hub") from error

    class Upload(hub.ModelHubMixin):  # type: ignore[name-defined]
        """The mixin's way to the hub, for a folder that is written here."""

        def _save_pretrained(self, save_directory: Path) -> None:
            write(save_directory)

    try:
        return str(Upload().push_to_hub(repo_id, token=token, **options))
    except (OSError, ValueError, hub.errors.HfHubHTTPError, hub.utils.httpx.HTTPError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        hint = "" if token else "; token=True uses the one that `hf auth login` has stored"
        raise ValueError(f"{repo_id} cannot be pushed to ({reason}){hint}") from error


def _write_text(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)
