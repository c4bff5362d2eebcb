"""Files of every kind are read, or refused with what is wrong with them; nothing in them is run."""

import argparse
import io
import json
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from swin_dense.checkpoints.containers import read_checkpoint


def _state(generator: torch.Generator) -> dict[str, Tensor]:
    return OrderedDict(
        weight=torch.randn(4, 3, generator=generator),
        half=torch.randn(5, generator=generator).half(),
        brain=torch.randn(2, 2, generator=generator).bfloat16(),
        index=torch.arange(7),
        scalar=torch.tensor(3),
        turned=torch.randn(3, 4, generator=generator).T,
        part=torch.randn(10, generator=generator)[3:7],
    )


def _equal(read: dict[str, Tensor], state: dict[str, Tensor]) -> bool:
    return set(read) == set(state) and all(
        read[key].dtype == state[key].dtype and torch.equal(read[key], state[key]) for key in state
    )


@pytest.mark.parametrize("legacy", [False, True])
def test_torch_files_come_back_as_they_were(
    tmp_path: Path, generator: torch.Generator, legacy: bool
) -> None:
    state, path = _state(generator), tmp_path / "a.pth"
    torch.save(
        {"state_dict": state, "meta": {"epoch": 3, "CLASSES": ("a", "b")}, "optimizer": {}},
        path,
        _use_new_zipfile_serialization=not legacy,
    )
    checkpoint = read_checkpoint(path)
    assert checkpoint.container == ("torch legacy" if legacy else "torch")
    assert _equal(checkpoint.state, state)
    assert checkpoint.class_names == ("a", "b")
    assert checkpoint.entries == ("meta", "optimizer")


def test_legacy_storages_that_are_parts_of_others_are_read(
    tmp_path: Path, generator: torch.Generator
) -> None:
    whole = torch.randn(20, generator=generator)
    state = {"a": whole[:6].view(2, 3), "b": whole[10:], "c": whole}
    torch.save(state, tmp_path / "a.pt", _use_new_zipfile_serialization=False)
    assert _equal(read_checkpoint(tmp_path / "a.pt").state, state)


def test_safetensors_come_back_with_metadata(tmp_path: Path, generator: torch.Generator) -> None:
    state = {key: value.contiguous() for key, value in _state(generator).items()}
    save_file(state, tmp_path / "a.safetensors", metadata={"class_names": '["a", "b"]', "n": "1"})
    checkpoint = read_checkpoint(tmp_path / "a.safetensors")
    assert _equal(checkpoint.state, state)
    assert checkpoint.class_names == ("a", "b")
    assert checkpoint.metadata["n"] == "1"


@pytest.mark.parametrize("protocol", range(6))
def test_pickled_arrays_are_read(tmp_path: Path, protocol: int) -> None:
    arrays = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "n": np.array(3)}
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"model": arrays, "__author__": "me"}, protocol=protocol))
    checkpoint = read_checkpoint(path)
    assert checkpoint.container == "pickle"
    assert torch.equal(checkpoint.state["w"], torch.arange(6.0).view(2, 3))
    assert checkpoint.state["n"].item() == 3


def test_containers_of_training_frameworks_are_passed_over(tmp_path: Path) -> None:
    content = {
        "model": {"w": torch.ones(2)},
        "args": argparse.Namespace(lr=0.1),
        "folder": Path("a/b"),
        "lr_scheduler": {"rates": np.array([0.5, 0.25]), "best": np.float64(0.5)},
        "device": torch.device("cuda:1"),
        "size": torch.Size([2, 3]),
    }
    torch.save(content, tmp_path / "a.pth")
    checkpoint = read_checkpoint(tmp_path / "a.pth")
    assert set(checkpoint.state) == {"w"}
    assert checkpoint.metadata["args"] == {"lr": 0.1}
    assert checkpoint.metadata["folder"] == "a/b"
    assert checkpoint.metadata["size"] == (2, 3)


def test_files_of_other_frameworks_are_read(shared: Path) -> None:
    for folder, names in (
        ("det_mmdet_mask_rcnn", "person"),
        ("det_official_cascade", "person"),
        ("seg_official_upernet", "c0"),
    ):
        checkpoint = read_checkpoint(shared / "golden" / folder / "model.pth")
        keys = json.loads((shared / "golden" / folder / "keys.json").read_text())
        assert {key: list(value.shape) for key, value in checkpoint.state.items()} == keys
        assert checkpoint.class_names is not None
        assert checkpoint.class_names[0] == names
        assert "message_hub" in checkpoint.entries


def test_folder_of_the_hub_has_weights_and_names(tmp_path: Path) -> None:
    save_file({"w": torch.ones(1)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"id2label": {"1": "b", "0": "a"}}')
    assert read_checkpoint(tmp_path).class_names == ("a", "b")


def test_values_are_not_shared_with_the_file(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(4)}, tmp_path / "a.pth")
    before = (tmp_path / "a.pth").read_bytes()
    read_checkpoint(tmp_path / "a.pth").state["w"].zero_()
    assert (tmp_path / "a.pth").read_bytes() == before


def test_missing_file_and_empty_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.pth: no such file"):
        read_checkpoint(tmp_path / "none.pth")
    with pytest.raises(FileNotFoundError, match=r"without model\.safetensors"):
        read_checkpoint(tmp_path)


# ------------------------------------------------------------------------------- hostile files


class _Shell:
    """Pickles as a call of the shell that leaves a file behind."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.marker}",)


def _torch(content: object, *, legacy: bool = False) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, _use_new_zipfile_serialization=not legacy)
    return stream.getvalue()


def _zip(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def _replaced(content: bytes, **members: bytes) -> bytes:
    """A torch file with some members, named by their last part, exchanged."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        kept = {name: archive.read(name) for name in archive.namelist()}
    for name in list(kept):
        last = name.rpartition("/")[2].replace(".", "_")
        if last in members:
            kept[name] = members[last]
    return _zip(kept)


_GOOD = _torch({"w": torch.ones(3, 3)})
_OLD = _torch({"w": torch.ones(3, 3)}, legacy=True)
_HEADER = json.dumps({"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}).encode()
_SAFE = struct.pack("<Q", len(_HEADER)) + _HEADER + bytes(16)
_PICKLE = zipfile.ZipFile(io.BytesIO(_GOOD)).read("archive/data.pkl")
_TENSOR = _PICKLE[_PICKLE.index(b"ctorch._utils") : _PICKLE.rindex(b"s.")]


def _beside(value: bytes) -> bytes:
    """A torch file with a state dict and, beside it, what these opcodes build."""
    content = b"\x80\2}(X\5\0\0\0model}X\1\0\0\0w" + _TENSOR + b"sX\4\0\0\0meta" + value + b"u."
    return _replaced(_GOOD, data_pkl=content)


def _laugh(first: bytes, last: bytes) -> bytes:
    """A container of ten times a container of ten times another one, and so on: 10**40 in all."""
    levels = [
        b"(" + b"h%c" % (99 + level) * 10 + last + b"q%c0" % (100 + level) for level in range(40)
    ]
    return first + b"qc0" + b"".join(levels) + b"h\x8b"


_HISTORY = b"cmmengine.logging.history_buffer\nHistoryBuffer\n)R"
_HTML = b"<!DOCTYPE html><html><body>404</body></html>"
_LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"

_FAULTS: dict[str, tuple[bytes, str]] = {
    "empty.pth": (b"", "empty"),
    "empty.safetensors": (b"", "empty"),
    "page.pth": (_HTML, "HTML page"),
    "page.safetensors": (_HTML, "HTML page"),
    "page_bom.pth": (b"\xef\xbb\xbf \n" + _HTML.lower(), "HTML page"),
    "error.pth": (b"<?xml version='1.0'?><Error/>", "XML page"),
    "message.pth": (b'{"message": "Not Found"}', "JSON text"),
    "pointer.pth": (_LFS, "Git LFS pointer"),
    "pointer.safetensors": (_LFS, "Git LFS pointer"),
    "zeros.pth": (bytes(4096), "zero bytes"),
    "words.pth": (b"hello, this is no checkpoint at all", "not a checkpoint"),
    "noise.pth": (bytes(range(7, 250)), "not a checkpoint"),
    "image.pth": (b"\x89PNG\r\n\x1a\n" + bytes(64), "PNG image"),
    "photo.pth": (b"\xff\xd8\xff\xe0" + bytes(64), "JPEG image"),
    "packed.pth": (b"\x1f\x8b\x08" + bytes(64), "gzip archive"),
    "keras.pth": (b"\x89HDF\r\n\x1a\n" + bytes(64), "HDF5"),
    "tar.pth": (bytes(257) + b"ustar" + bytes(500), "tar archive"),
    "cut_10.pth": (_GOOD[:10], "truncated or damaged"),
    "cut_half.pth": (_GOOD[: len(_GOOD) // 2], "truncated or damaged"),
    "cut_end.pth": (_GOOD[:-1], "truncated or damaged"),
    "cut_directory.pth": (_GOOD[:-40], "truncated or damaged"),
    "old_cut_5.pth": (_OLD[:5], "truncated"),
    "old_cut_half.pth": (_OLD[: len(_OLD) // 2], "truncated"),
    "old_cut_values.pth": (_OLD[:-3], "truncated"),
    "old_cut_count.pth": (_OLD[: -3 * 3 * 4 - 2], "truncated"),
    "safe_cut.safetensors": (_SAFE[:-1], "truncated or damaged"),
    "safe_cut_header.safetensors": (_SAFE[:30], "truncated safetensors"),
    "safe_long_header.safetensors": (struct.pack("<Q", 2**62) + b"{}", "not a safetensors"),
    "safe_no_json.safetensors": (struct.pack("<Q", 4) + b"{{{{" + bytes(16), "damaged"),
    "safe_overlap.safetensors": (_SAFE.replace(b"[0, 16]", b"[0, 99]"), "damaged"),
    "safe_short.safetensors": (b"abc", "not a safetensors"),
    "plain.zip": (_zip({"readme.txt": b"x"}), "not a torch checkpoint"),
    "two.pth": (_zip({"a/data.pkl": b"N.", "b/data.pkl": b"N."}), "not a torch checkpoint"),
    "script.pth": (_zip({"a/data.pkl": b"N.", "a/constants.pkl": b"N."}), "TorchScript"),
    "bomb.pth": (_zip({"a/data.pkl": bytes(10**6)}, zipfile.ZIP_DEFLATED), "compressed"),
    "big_endian.pth": (_replaced(_GOOD, byteorder=b"big"), "big-endian"),
    "no_values.pth": (_zip({"a/data.pkl": _PICKLE}), "are missing"),
    "few_values.pth": (_zip({"a/data.pkl": _PICKLE, "a/data/0": bytes(8)}), "should hold"),
    "half_pickle.pth": (_replaced(_GOOD, data_pkl=_PICKLE[:50]), "truncated pickle"),
    "bad_pickle.pth": (_replaced(_GOOD, data_pkl=b"\x80\x02h\x07."), "memo"),
    "number.pth": (_torch(3), "holds a int"),
    "list.pth": (_torch([torch.ones(1)]), "holds a list"),
    "tensor.pth": (_torch(torch.ones(1)), "not a state dict"),
    "nothing.pth": (_torch({}), "no state dict"),
    "no_tensors.pth": (_torch({"epoch": 3}), "its entries are: epoch"),
    "text_inside.pth": (
        _torch({"w": torch.ones(1), "v": "text"}),
        "'v' in the state dict is a str",
    ),
    "two_states.pth": (
        _torch({"model": {"w": torch.ones(1)}, "state_dict": {"w": torch.ones(1)}}),
        "more than one state dict",
    ),
    "whole_module.pth": (_torch(torch.nn.Linear(1, 1)), "refused.*torch.nn.modules.linear.Linear"),
    "many_tuples.pth": (_beside(_laugh(b")", b"t")), "401 references that unfold to more than"),
    "many_lists.pth": (_beside(_laugh(b"]", b"l")), "401 references that unfold to more than"),
    "many_names.pth": (
        _beside(b"}X\7\0\0\0CLASSES" + _laugh(b"]", b"l") + b"s"),
        "402 references that unfold",
    ),
    "self.pth": (_beside(b"]qch\x63a"), "nested deeper than 200 or within itself"),
    "self_history.pth": (_beside(_HISTORY + b"qch\x63b"), "nested deeper .* or within itself"),
    "deep.pth": (_beside(b"N" + b"\x85" * 100_000), "nested deeper than 200"),
    "long_number.pth": (_torch({"w": torch.ones(1), "v": 2**200}), "'v' is a number that torch"),
    "lines.pth": (_torch({"a\nb": 1, 2: 3}), "its entries are: a b, 2$"),
    "pickle_cut.pkl": (pickle.dumps({"model": {"w": np.ones(3)}})[:40], "truncated"),
    "pickle_object.pkl": (pickle.dumps({"model": {"w": np.array([{}])}}), "no plain values"),
    "pickle_text.pkl": (pickle.dumps({"model": {"w": np.array(["a"])}}), "no type for"),
}


@pytest.mark.parametrize("name", _FAULTS)
def test_broken_file_is_refused_by_name_and_fault(tmp_path: Path, name: str) -> None:
    content, fault = _FAULTS[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name}: .*{fault}"):
        read_checkpoint(tmp_path / name)


@pytest.mark.parametrize(
    "write",
    [
        lambda evil: _torch(evil),
        lambda evil: _torch(evil, legacy=True),
        lambda evil: _torch({"state_dict": {"w": torch.ones(1)}, "meta": {"deep": [(evil,)]}}),
        lambda evil: _torch({"state_dict": {"w": torch.ones(1)}, "meta": evil}, legacy=True),
        lambda evil: pickle.dumps({"model": {"w": np.ones(1)}, "x": evil}),
        lambda evil: pickle.dumps({"model": {"w": np.ones(1)}, "x": evil}, protocol=0),
        lambda evil: pickle.dumps(evil, protocol=0),
        lambda evil: _replaced(_GOOD, data_pkl=pickle.dumps(evil)),
    ],
    ids=["torch", "legacy", "nested", "legacy nested", "pickle", "text pickle", "bare", "swapped"],
)
def test_malicious_file_is_refused_and_runs_nothing(
    tmp_path: Path, write: Callable[[object], bytes]
) -> None:
    marker = tmp_path / "ran"
    (tmp_path / "evil.pth").write_bytes(write(_Shell(marker)))
    with pytest.raises(ValueError, match=r"evil\.pth: refused: .*system.*nothing was run"):
        read_checkpoint(tmp_path / "evil.pth")
    assert not marker.exists()


def test_every_byte_cut_off_or_changed_gives_a_clear_answer(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    answers = []
    for whole in (_GOOD, _OLD, _SAFE, pickle.dumps({"model": {"w": np.ones(2)}})):
        for position in range(0, len(whole), max(1, len(whole) // 60)):
            changed = bytearray(whole)
            changed[position] ^= 0x55
            for content in (whole[:position], bytes(changed)):
                path.write_bytes(content)
                try:
                    read_checkpoint(path)
                except ValueError as error:
                    answers.append(str(error))
    assert len(answers) > 200
    assert all(answer.startswith(f"{path}: ") for answer in answers)


@pytest.mark.parametrize(
    ("ids", "expected"),
    [([3, 1], [3, 1]), (None, None), ([1, "2"], None), ([2**70], None), ({1, 2}, None)],
    ids=["numbers", "none", "text", "huge", "set"],
)
def test_category_ids_are_whole_numbers_or_none(
    tmp_path: Path, ids: object, expected: list[int] | None
) -> None:
    torch.save({"model": {"w": torch.ones(1)}, "category_ids": ids}, tmp_path / "a.pth")
    assert read_checkpoint(tmp_path / "a.pth").category_ids == expected


def test_many_values_beside_the_weights_are_kept(tmp_path: Path) -> None:
    shared_list = [1.0] * 1000
    meta = {"losses": [float(step) for step in range(200_000)], "again": [shared_list] * 100}
    torch.save({"model": {"w": torch.ones(1)}, "meta": meta}, tmp_path / "a.pth")
    assert read_checkpoint(tmp_path / "a.pth").metadata["meta"] == meta


def test_an_array_of_many_entries_is_copied_once(tmp_path: Path) -> None:
    array = np.ones(3, np.float32)
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"model": {"a": array, "b": array}}))
    state = read_checkpoint(tmp_path / "a.pkl").state
    assert state["a"].data_ptr() == state["b"].data_ptr()
    assert torch.equal(state["b"], torch.ones(3))


def test_foreign_labels_in_the_config_are_no_names(tmp_path: Path) -> None:
    content = {"model": {"w": torch.ones(1)}, "hub_config": {"id2label": {0: "a", "1": "b"}}}
    torch.save(content, tmp_path / "a.pth")
    assert read_checkpoint(tmp_path / "a.pth").class_names is None


def test_a_tensor_that_is_to_be_negated_is_not_taken_as_it_is(tmp_path: Path) -> None:
    torch.save({"w": torch._neg_view(torch.ones(2))}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"a\.pth: a tensor is stored with {'neg': True}"):
        read_checkpoint(tmp_path / "a.pth")


def test_empty_arrays_are_read(tmp_path: Path) -> None:
    content = {"model": {"w": np.zeros((0, 3), np.float32)}}
    for protocol in range(6):
        (tmp_path / "a.pkl").write_bytes(pickle.dumps(content, protocol=protocol))
        assert read_checkpoint(tmp_path / "a.pkl").state["w"].shape == (0, 3)


def test_a_member_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as archive:
        archive.writestr("a/data.pkl", _PICKLE)
        archive.writestr("a/data/0", bytes(36))
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("a/data/0", bytes(36))
    with pytest.raises(ValueError, match="two members of one name"):
        read_checkpoint(tmp_path / "a.pth")


def test_an_array_that_is_cut_within_a_value_is_named_with_its_file(tmp_path: Path) -> None:
    content = pickle.dumps({"model": {"w": np.frombuffer(b"12345678", "f4")}}, protocol=3)
    (tmp_path / "a.pkl").write_bytes(content.replace(b"C\x0812345678", b"C\x071234567"))
    with pytest.raises(ValueError, match=r"a\.pkl: damaged pickle \(a NumPy array"):
        read_checkpoint(tmp_path / "a.pkl")


def test_a_pipe_and_a_name_that_is_too_long_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="pipe: not a file"):
        read_checkpoint(tmp_path / "pipe")
    with pytest.raises(FileNotFoundError, match=r"xxx: no such file \(File name too long\)"):
        read_checkpoint(tmp_path / ("x" * 300))


def test_a_file_that_may_not_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.pth").write_bytes(_GOOD)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ValueError, match=r"a\.pth: cannot be read \(Permission denied\)"):
        read_checkpoint(tmp_path / "a.pth")
