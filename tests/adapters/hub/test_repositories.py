"""Folders of the hub's convention are written whole, and uploads fail in one line."""

from pathlib import Path

import pytest
import torch
from hub_server import HubServer

from swin_dense.adapters.hub.repositories import (
    find_folder,
    push,
    write_folder,
    write_safetensors,
)


def write_into(folder: Path) -> None:
    write_folder(
        folder,
        lambda path: write_safetensors(path, {"a": torch.ones(2)}, metadata={"format": "pt"}),
        config={"b": 1},
        card=lambda: "# A card\n",
    )


def test_a_folder_is_filled_and_nothing_is_left_beside(tmp_path: Path) -> None:
    write_into(tmp_path / "a" / "b")
    names = sorted(path.name for path in (tmp_path / "a" / "b").iterdir())
    assert names == ["README.md", "config.json", "model.safetensors"]
    assert (tmp_path / "a" / "b" / "config.json").read_text() == '{\n  "b": 1\n}\n'


def test_a_local_folder_is_found_and_has_no_revision(tmp_path: Path) -> None:
    assert find_folder(tmp_path, revision=None, token=False) == tmp_path
    with pytest.raises(ValueError, match="revision must be None for the local folder"):
        find_folder(tmp_path, revision="main", token=False)


def test_options_of_the_mixin_are_passed_on(hub: HubServer) -> None:
    push(write_into, "me/model", token=False, branch="next", commit_message="Second")
    assert "POST /api/models/me/model/commit/next" in hub.requests
    assert hub.authorizations == []


def test_a_hub_that_is_not_there_is_one_line(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(
        ValueError, match=r"me/model cannot be pushed to \(.*\); token=True"
    ) as caught:
        push(write_into, "me/model", token=False)
    assert "\n" not in str(caught.value)
