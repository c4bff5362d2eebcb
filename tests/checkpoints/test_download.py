"""Published files are fetched once, resumed, and checked; a server on this machine stands in."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from swin_dense.checkpoints.download import fetch, resolve
from swin_dense.checkpoints.published import PUBLISHED, PublishedFile

_CONTENT = bytes(range(256)) * 4096  # 1 MiB
_HASH = hashlib.sha256(_CONTENT).hexdigest()[:8]


class _Server(ThreadingHTTPServer):
    """Serves `_CONTENT`; `cut` bytes and then a broken connection, as often as `breaks` says."""

    breaks = 0
    cut = 300_000
    knows_ranges = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.starts: list[int] = []


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        if "missing" in self.path:
            self.send_error(404)
            return
        asked = self.headers.get("Range")
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        if not self.server.knows_ranges:
            start = 0
        self.server.starts.append(start)
        if start >= len(_CONTENT):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(_CONTENT)}")
            self.end_headers()
            return
        rest = _CONTENT[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        if self.server.breaks:
            self.server.breaks -= 1
            rest = rest[: self.server.cut]
        self.wfile.write(rest)

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


@pytest.fixture
def server() -> Iterator[_Server]:
    with _Server() as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SWIN_DENSE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def _published(server: _Server, name: str) -> PublishedFile:
    return PublishedFile(
        name=name.partition(".")[0],
        url=f"http://127.0.0.1:{server.server_port}/{name}",
        model="swin_t",
        layout="microsoft",
        task="classification",
        num_classes=1000,
        parameters=1.0,
        licence="none",
    )


def test_file_is_fetched_once(server: _Server, cache: Path) -> None:
    file = _published(server, f"a-{_HASH}.pth")
    path = fetch(file)
    assert path == cache / f"a-{_HASH}.pth"
    assert path.read_bytes() == _CONTENT
    assert fetch(file) == path
    assert server.starts == [0]
    assert [entry.name for entry in cache.iterdir()] == [path.name]


def test_connection_that_breaks_is_taken_up_where_it_broke(server: _Server) -> None:
    server.breaks = 2
    assert fetch(_published(server, "a.pth")).read_bytes() == _CONTENT
    assert server.starts == [0, 300_000, 600_000]


def test_broken_download_is_kept_and_resumed_by_the_next(server: _Server, cache: Path) -> None:
    server.breaks = 3
    file = _published(server, f"a-{_HASH}.pth")
    with pytest.raises(FileNotFoundError, match="900000 bytes have arrived and are kept"):
        fetch(file)
    assert not (cache / file.file_name).exists()
    assert fetch(file).read_bytes() == _CONTENT
    assert server.starts[-1] == 900_000


def test_server_without_ranges_starts_again(server: _Server) -> None:
    server.breaks, server.knows_ranges = 1, False
    assert fetch(_published(server, "a.pth")).read_bytes() == _CONTENT
    assert server.starts == [0, 0]


def test_whole_file_that_was_not_renamed_is_taken(server: _Server, cache: Path) -> None:
    cache.mkdir()
    (cache / "a.pth.partial").write_bytes(_CONTENT)
    assert fetch(_published(server, "a.pth")).read_bytes() == _CONTENT


def test_beginning_of_a_longer_file_is_thrown_away(server: _Server, cache: Path) -> None:
    cache.mkdir()
    (cache / "a.pth.partial").write_bytes(_CONTENT + b"more")
    assert fetch(_published(server, "a.pth")).read_bytes() == _CONTENT


def test_wrong_hash_is_refused_and_nothing_kept(server: _Server, cache: Path) -> None:
    with pytest.raises(ValueError, match=f"SHA-256 that starts with 0badc0de, got {_HASH}"):
        fetch(_published(server, "a-0badc0de.pth"))
    assert not list(cache.iterdir())


def test_missing_file_on_the_server_is_named(server: _Server) -> None:
    with pytest.raises(FileNotFoundError, match=r"missing\.pth cannot be fetched: .*404"):
        fetch(_published(server, "missing.pth"))


def test_no_network_is_said_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    with pytest.raises(
        FileNotFoundError,
        match=r"no route to host\); is there a network\? 0 bytes .* give its path",
    ):
        resolve("swin_tiny_patch4_window7_224")


def test_names_lead_to_files_in_the_cache(cache: Path) -> None:
    cache.mkdir()
    path = cache / "swin_tiny_patch4_window7_224.pth"
    path.touch()
    assert resolve("swin_tiny_patch4_window7_224") == path
    assert resolve(Path("swin_tiny_patch4_window7_224.pth")) == path


def test_models_of_detectron2_do_not_share_a_name(server: _Server, cache: Path) -> None:
    first = _published(server, "model_final_246a82.pkl")
    assert fetch(first) == cache / "model_final_246a82-model_final_246a82.pkl"


def test_existing_path_wins_over_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = next(iter(PUBLISHED))
    (tmp_path / name).touch()
    assert resolve(name) == Path(name)


def test_unknown_names_are_refused_with_the_closest(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="did you mean swin_tiny_patch4_window7_224"):
        resolve("swin_tiny_patch4_window7_244")
    with pytest.raises(FileNotFoundError, match="no such file"):
        resolve(tmp_path / "none.pth")
    with pytest.raises(FileNotFoundError, match="must be hf://OWNER/NAME"):
        resolve("hf://nonsense")


def test_hub_is_asked_for_weights_and_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = pytest.importorskip("huggingface_hub")
    asked = {}

    def snapshot(repository: str, **options: object) -> str:
        asked.update(options, repository=repository)
        return str(tmp_path)

    monkeypatch.setattr(hub, "snapshot_download", snapshot)
    assert resolve("timm/swin_tiny_patch4_window7_224.ms_in1k") == tmp_path
    assert asked["repository"] == "timm/swin_tiny_patch4_window7_224.ms_in1k"
    assert resolve(Path("hf://owner/name@v2")) == tmp_path
    assert (asked["repository"], asked["revision"]) == ("owner/name", "v2")
    assert "config.json" in asked["allow_patterns"]

    def fail(*_: object, **__: object) -> str:
        raise OSError("offline\nmore")

    monkeypatch.setattr(hub, "snapshot_download", fail)
    with pytest.raises(FileNotFoundError, match=r"hf://owner/name cannot be fetched \(offline\)"):
        resolve("hf://owner/name")


@pytest.mark.parametrize("make", [str, Path])
def test_urls_are_refused_as_they_were_typed(make: type) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"^https://a.b/c.pth is a URL, which is not fetched"
    ):
        resolve(make("https://a.b/c.pth"))


def test_files_and_folders_of_near_names_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs" / "first").mkdir(parents=True)
    (tmp_path / "runs" / "model.pth").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"did you mean runs/model\.pth\?"):
        resolve("runs/modle.pth")
    with pytest.raises(FileNotFoundError, match=r"did you mean runs/first\?"):
        resolve("runs/frist/last/model.safetensors")
    with pytest.raises(FileNotFoundError, match=r"did you mean .*/runs/model\.pth\?"):
        resolve(tmp_path / "runs" / "modle.pth")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("model_final_86143f.pkl", "mask2former_swin_t_coco_instance"),
        (
            "mask2former_swin_t_coco_instance-model_final_86143f.pkl",
            "mask2former_swin_t_coco_instance",
        ),
        ("mask2former-swin-base-IN21k-ade-semantic", "mask2former-swin-base-IN21k-ade-semantic"),
    ],
)
def test_terms_that_forbid_commercial_use_are_shown_where_a_file_is_read(
    name: str, shown: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).touch()
    assert resolve(tmp_path / name) == tmp_path / name
    assert capsys.readouterr().err.startswith(f"{shown}: licence CC BY-NC 4.0")


def test_a_file_of_ones_own_has_no_terms(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mask2former_swin_t.safetensors").touch()
    resolve(tmp_path / "mask2former_swin_t.safetensors")
    assert not capsys.readouterr().err
