"""The folder of a server's process: it goes with it, and what a killed one left goes, too."""

import os
import subprocess
import sys
from pathlib import Path

from swin_dense.tools.serve.folder import ProcessFolder, remove_left


def test_a_folder_goes_with_its_context(tmp_path: Path) -> None:
    with ProcessFolder(tmp_path) as folder:
        (folder.path / "uploads").mkdir()
        (folder.path / "uploads" / "a.jpg").write_bytes(b"an image")
        assert list(tmp_path.iterdir()) == [folder.path]
    assert list(tmp_path.iterdir()) == []
    folder.remove()  # again: nothing


def test_a_folder_goes_when_an_error_ends_its_context(tmp_path: Path) -> None:
    try:
        with ProcessFolder(tmp_path):
            raise RuntimeError
    except RuntimeError:
        pass
    assert list(tmp_path.iterdir()) == []


def test_nobody_else_can_read_a_folder(tmp_path: Path) -> None:
    with ProcessFolder(tmp_path) as folder:
        assert folder.path.stat().st_mode & 0o077 == 0


def test_two_servers_at_once_leave_each_other_alone(tmp_path: Path) -> None:
    with ProcessFolder(tmp_path) as first, ProcessFolder(tmp_path) as second:
        remove_left(tmp_path)
        assert sorted(tmp_path.iterdir()) == sorted([first.path, second.path])


def test_what_a_killed_process_left_the_next_one_removes(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path;"
        "from swin_dense.tools.serve.folder import ProcessFolder;"
        "folder = ProcessFolder(Path(sys.argv[1])).__enter__();"
        "(folder.path / 'a.jpg').write_bytes(b'an image'); os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert killed.returncode == -9
    (left,) = tmp_path.iterdir()
    assert (left / "a.jpg").exists()
    with ProcessFolder(tmp_path) as folder:
        assert list(tmp_path.iterdir()) == [folder.path]


def test_other_folders_and_links_stay(tmp_path: Path) -> None:
    for name in ("swin-dense-serve-without-a-lock", "somebody-elses"):
        (tmp_path / name).mkdir()
    target = tmp_path / "somebody-elses"
    (target / ".lock").touch()
    os.symlink(target, tmp_path / "swin-dense-serve-link")
    remove_left(tmp_path)
    assert len(list(tmp_path.iterdir())) == 3
    assert (target / ".lock").exists()
