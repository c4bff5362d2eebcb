"""Sources that a user names, as files on the disk: paths, published names, the Hugging Face hub.

A published file is fetched once, into a cache (`$SWIN_DENSE_CACHE`, else `swin_dense` in the user's
cache folder). A download that breaks off keeps its bytes, and the next one goes on from there. A
part of the hash in the published file's name is checked.
"""

import difflib
import hashlib
import importlib
import os
import re
import sys
from pathlib import Path

from swin_dense.checkpoints.mask2former_files import HUB_COPIES, LICENCE
from swin_dense.checkpoints.published import PUBLISHED, PublishedFile, find_published

_HUB = "hf://"
_HUB_NAME = re.compile(r"hf:/{1,2}(.+)")  # a path made of it has one slash less
_URL = re.compile(r"(https?|ftp|s3|gs):/{1,2}(.+)")
_HUB_FILES = ("*.safetensors", "pytorch_model.bin", "config.json")
_HASHED = re.compile(r"-([0-9a-f]{8,64})\.(?:pth|pkl)")
_DIGITS = re.compile(r"/maskformer/.*/model_final_([0-9a-f]{6})\.pkl")  # of the MD5
_BLOCK = 1 << 20  # bytes
_ATTEMPTS = 3
_TIMEOUT = 30  # seconds without any byte


def resolve(source: str | os.PathLike[str]) -> Path:
    """The file or folder that a source names, fetched if it is not on this machine.

    Args:
        source: a path; a name in `published.PUBLISHED`; or `hf://OWNER/NAME[@REVISION]`.

    Raises:
        FileNotFoundError: there is no such file or name, or it cannot be fetched.
        ValueError: the file that was fetched is not the published one.
    """
    found = find_source(source)
    _show_terms(source)
    if isinstance(found, Path):
        return found
    return _fetch_from_hub(found) if isinstance(found, str) else fetch(found)


def _show_terms(source: str | os.PathLike[str]) -> None:
    """Say so, wherever a published file is read whose licence forbids commercial use."""
    file = find_published(os.fspath(source))
    copy = HUB_COPIES.search(os.fspath(source))
    if file is not None and "commercial" in file.licence:
        print(f"{file.name}: licence {file.licence}", file=sys.stderr, flush=True)
    elif copy is not None:
        print(f"{copy[0]}: licence {LICENCE}", file=sys.stderr, flush=True)


def find_source(source: str | os.PathLike[str]) -> Path | PublishedFile | str:
    """The path that is there, the published file or the hub's address that a source names.

    Nothing is read or fetched: a command checks its flags so before its work.

    Raises:
        FileNotFoundError: there is no such file or name.
    """
    path = Path(source)
    name = os.fspath(source)
    if found := _URL.fullmatch(name):
        raise FileNotFoundError(
            f"{found[1]}://{found[2]} is a URL, which is not fetched; download it first and give "
            "its path, or give the name of a published file"
        )
    try:
        if path.exists():
            return path
    except OSError as error:
        raise FileNotFoundError(f"{name}: no such file ({error.strerror})") from error
    if found := _HUB_NAME.fullmatch(name):
        return _HUB + found[1]
    file = find_published(name) if os.sep not in name or name in PUBLISHED else None
    if file is None:
        close = difflib.get_close_matches(path.stem, PUBLISHED, n=1) + _near_paths(path)
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        raise FileNotFoundError(f"{name}: no such file, and no published file of that name{hint}")
    return file.url if file.url.startswith(_HUB) else file


def _near_paths(path: Path) -> list[str]:
    """At most two paths with another name in the place of the first part that is not there."""
    missing = path.absolute()
    while not missing.parent.is_dir():
        missing = missing.parent
    try:
        names = os.listdir(missing.parent)
    except OSError:
        return []
    near = difflib.get_close_matches(missing.name, names, n=2, cutoff=0.7)
    shown = missing.parent if path.is_absolute() else Path(os.path.relpath(missing.parent))
    return [str(shown / name) for name in near]


def fetch(file: PublishedFile) -> Path:
    """A published file in the cache, downloaded if it is not there yet.

    Raises:
        FileNotFoundError: it cannot be reached; what has arrived is kept.
        ValueError: its hash is not the published one; nothing is kept.
    """
    target = cache_folder() / file.cached_name
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.partial")
    _download(file.url, partial)
    _verify(partial, file.url)
    os.replace(partial, target)
    return target


def cache_folder() -> Path:
    """The folder of downloads."""
    chosen = os.environ.get("SWIN_DENSE_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "swin_dense"


def _download(url: str, partial: Path) -> None:
    """Fetch the missing bytes of a file, with a few attempts where the connection breaks."""
    import http.client  # here, as no other source than a URL needs the network's modules
    import urllib.error

    reason = ""
    for _ in range(_ATTEMPTS):
        try:
            if _download_rest(url, partial):
                return
            reason = "the connection broke off"
        except urllib.error.HTTPError as error:
            raise FileNotFoundError(f"{url} cannot be fetched: {error}") from error
        except (OSError, http.client.HTTPException) as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
    kept = partial.stat().st_size if partial.exists() else 0
    raise FileNotFoundError(
        f"{url} cannot be fetched ({reason}); is there a network? {kept} bytes have arrived and "
        "are kept, the next attempt goes on there; or fetch the file elsewhere and give its path"
    )


def _download_rest(url: str, partial: Path) -> bool:
    """One attempt, from where the last one ended; true when the file is whole."""
    import http
    import urllib.error
    import urllib.request

    have = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        total = error.headers.get("Content-Range", "").rpartition("/")[2]
        if total == str(have):
            return True
        partial.unlink()  # it is not the beginning of this file
        return False
    with response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            have = 0  # the server starts at the beginning again
        length = response.headers.get("Content-Length")
        total_bytes = have + int(length) if length else None
        with partial.open("ab" if have else "wb") as stream:
            while block := response.read(_BLOCK):
                stream.write(block)
                have += len(block)
                _show_progress(url, have, total_bytes)
    return total_bytes is None or have >= total_bytes


def _show_progress(url: str, have: int, total: int | None) -> None:
    if not sys.stderr.isatty():
        return
    share = f"{have / total:4.0%} of {total >> 20} MiB" if total else f"{have >> 20} MiB"
    end = "\n" if have == total else ""
    print(f"\r{url.rpartition('/')[2]}: {share}", end=end, file=sys.stderr, flush=True)


def _verify(partial: Path, url: str) -> None:
    """Compare the beginning of the hash with that in the file's name, if it has one."""
    kind, found = "SHA-256", _HASHED.search(url)
    if found is None:
        kind, found = "MD5", _DIGITS.search(url)
    if found is None:
        return
    digest = hashlib.new(kind.replace("-", ""), usedforsecurity=False)
    with partial.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    if not digest.hexdigest().startswith(found[1]):
        num_bytes = partial.stat().st_size
        partial.unlink()
        raise ValueError(
            f"{url} must have {'an' if kind == 'MD5' else 'a'} {kind} that starts with "
            f"{found[1]}, got {digest.hexdigest()[: len(found[1])]} for the {num_bytes} bytes that "
            "arrived; nothing is kept, fetch it again"
        )


def _fetch_from_hub(source: str) -> Path:
    """The folder of an address `hf://OWNER/NAME[@REVISION]`."""
    repository, _, revision = source.removeprefix(_HUB).partition("@")
    return fetch_from_hub(repository, revision=revision or None)


def fetch_from_hub(
    repository: str, *, revision: str | None = None, token: str | bool = False
) -> Path:
    """The folder of a repository of the Hugging Face hub in that library's cache.

    Args:
        repository: `OWNER/NAME`.
        revision: branch, tag or commit; None: the main branch.
        token: for a private repository; True: the one that this machine has stored, or its
            environment holds. Neither is read unless asked for.

    Raises:
        FileNotFoundError: there is no such repository, no network, or no huggingface_hub.
    """
    source = _HUB + repository + (f"@{revision}" if revision else "")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise FileNotFoundError(f"{source} must be hf://OWNER/NAME or hf://OWNER/NAME@REVISION")
    try:
        # only now: importing it takes longer than importing this package
        hub = importlib.import_module("huggingface_hub")
    except ImportError as error:
        raise FileNotFoundError(
            f"{source} needs huggingface_hub, which is not installed; pip install 'swin-dense[hub]'"
        ) from error
    try:
        folder = hub.snapshot_download(
            repository, revision=revision, allow_patterns=list(_HUB_FILES), token=token
        )
    except (OSError, ValueError, hub.errors.HfHubHTTPError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise FileNotFoundError(
            f"{source} cannot be fetched ({reason}); is there a network?"
        ) from error
    return Path(folder)
