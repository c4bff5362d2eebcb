"""The images that words name, and their ids."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from swin_dense.datasets.features.inputs import find_images

NAMES = ["a.jpg", "b.PNG", "more/a.jpg", "more/deep/c.tiff"]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for name in [*NAMES, "notes.txt", ".hidden.jpg", ".git/d.jpg", "__MACOSX/e.jpg"]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


def _ids(*inputs: str | Path) -> list[str]:
    found = find_images(list(inputs))
    assert all(image_id == image.id for image_id, image in found.items())
    assert all(os.path.isfile(image.path) and os.path.isabs(image.path) for image in found.values())
    return list(found)


def test_a_folder_is_searched_through_for_images(photos: Path) -> None:
    assert _ids(photos) == _ids(f"{photos}/") == NAMES


def test_a_file_is_taken_whatever_its_ending(photos: Path) -> None:
    assert _ids(photos / "more" / "a.jpg", photos / "notes.txt") == ["a.jpg", "notes.txt"]


def test_paths_may_be_relative(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photos)
    assert _ids(".") == NAMES
    assert _ids("a.jpg", "more/deep") == ["a.jpg", "c.tiff"]
    assert _ids("*/*.jpg") == ["more/a.jpg"]


def test_a_pattern_gives_ids_from_its_first_wildcard_on(photos: Path) -> None:
    assert _ids(f"{photos}/**/*.jpg") == ["a.jpg", "more/a.jpg"]
    assert _ids(f"{photos}/more/*.jpg") == ["a.jpg"]
    assert _ids(f"{photos}/m?re/d[a-e]ep/*") == ["more/deep/c.tiff"]


def test_a_file_with_wildcards_in_its_name_is_itself(photos: Path) -> None:
    (photos / "x[1].jpg").write_bytes(b"")
    (photos / "@y.jpg").write_bytes(b"")
    assert _ids(photos / "x[1].jpg") == ["x[1].jpg"]
    assert "@y.jpg" in _ids(photos)


def test_links_are_followed_but_not_in_a_circle(photos: Path, tmp_path: Path) -> None:
    (photos / "circle").symlink_to(photos, target_is_directory=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "f.jpg").write_bytes(b"")
    (photos / "link").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert _ids(photos) == sorted([*NAMES, "link/f.jpg"])


def test_a_name_that_is_no_utf_8_gets_an_id_that_is(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/\xff\xc3\xa4.jpg"
    with open(path, "wb"):
        pass
    assert _ids(tmp_path) == ["\\xffä.jpg"]


# ------------------------------------------------------------------------------------------ lists


def test_a_list_is_relative_to_its_own_folder(photos: Path) -> None:
    (photos / "list.txt").write_text("# two of them\nmore/a.jpg\n\nb.PNG\n")
    assert _ids(f"@{photos}/list.txt") == ["more/a.jpg", "b.PNG"]


def test_a_list_may_be_relative_to_the_working_folder(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "list.txt").write_text("photos/more/a.jpg\nphotos/a.jpg\n")
    assert _ids("@lists/list.txt") == ["photos/more/a.jpg", "photos/a.jpg"]


def test_absolute_paths_have_ids_from_the_folder_that_all_are_in(
    photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "list.txt").write_text(f"{photos}/a.jpg\n{photos}/more/deep/c.tiff\n")
    assert _ids(f"@{tmp_path}/lists/list.txt") == ["a.jpg", "more/deep/c.tiff"]


def test_a_file_of_a_list_that_is_gone_is_still_asked_for(photos: Path) -> None:
    (photos / "list.txt").write_text("gone.jpg\na.jpg\n")
    assert list(find_images([f"@{photos}/list.txt"])) == ["gone.jpg", "a.jpg"]


@pytest.mark.parametrize(
    ("text", "message"),
    [("\n# none\n", "must hold the paths of images"), ("gone.jpg\n", "none that is there among")],
)
def test_a_list_without_images_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(FileNotFoundError, match=message):
        find_images([f"@{tmp_path}/list.txt"])


# ------------------------------------------------------------------------------------------- COCO


def _write_coco(path: Path, names: list[str]) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    images = [
        {"id": number, "file_name": name, "height": 40, "width": 60 + number}
        for number, name in enumerate(names)
    ]
    path.write_text(json.dumps({"images": images}))
    return path


def test_a_coco_file_names_its_images_and_their_sizes(photos: Path) -> None:
    path = _write_coco(photos / "photos.json", ["more/a.jpg", "b.PNG"])
    found = find_images([path])
    assert [(image.id, image.stated_size) for image in found.values()] == [
        ("more/a.jpg", (40, 60)),
        ("b.PNG", (40, 61)),
    ]


@pytest.mark.parametrize(
    ("file", "folder"),
    [
        ("annotations/instances_val2017.json", "val2017"),
        ("annotations/image_info_test2017.json", "test2017"),
        ("annotations/instances_default.json", "images/default"),
        ("annotations/instances_default.json", "images"),
        ("valid/_annotations.coco.json", "valid"),
        ("result.json", "."),
        ("result.json", "images"),
    ],
)
def test_images_are_found_where_coco_and_others_put_them(
    file: str, folder: str, tmp_path: Path
) -> None:
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    (tmp_path / folder / "a.jpg").write_bytes(b"")
    assert _ids(_write_coco(tmp_path / file, ["a.jpg"])) == ["a.jpg"]


def test_the_folder_behind_a_coco_file_is_that_of_its_images(photos: Path, tmp_path: Path) -> None:
    path = _write_coco(tmp_path / "elsewhere" / "some.json", ["a.jpg"])
    assert _ids(path, photos) == ["a.jpg"]
    assert _ids(path, photos, photos / "more" / "deep") == ["a.jpg", "c.tiff"]


def test_a_folder_of_other_images_behind_a_coco_file_is_an_input(
    photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "z.jpg").write_bytes(b"")
    path = _write_coco(tmp_path / "own" / "some.json", ["z.jpg"])
    assert _ids(path, photos) == ["z.jpg", *NAMES]


def test_names_that_lead_out_of_the_folder_do_not_in_ids(photos: Path) -> None:
    path = _write_coco(photos / "more" / "some.json", ["../a.jpg", "./deep//c.tiff"])
    assert _ids(path) == ["a.jpg", "deep/c.tiff"]


def test_a_coco_file_whose_images_are_nowhere_says_where_it_looked(tmp_path: Path) -> None:
    path = _write_coco(tmp_path / "annotations" / "instances_val.json", ["a.jpg"])
    with pytest.raises(FileNotFoundError, match=r"given behind it, or in one of .*/val, .*none of"):
        find_images([path])


# ----------------------------------------------------------------------------------------- errors


def test_two_images_with_one_id_are_both_named(photos: Path) -> None:
    with pytest.raises(ValueError, match=r"got 'a.jpg' for .*photos/a.jpg and .*photos/more/a.jpg"):
        find_images([photos, photos / "more"])


def test_an_input_that_is_missing_or_empty_is_named(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"empty must hold images, got none"):
        find_images([tmp_path / "empty"])
    with pytest.raises(FileNotFoundError, match=r"\*.bmp must hold images, got none"):
        find_images([f"{photos}/*.bmp"])
    with pytest.raises(FileNotFoundError, match=r"no image, folder, pattern or list .*absent.jpg"):
        find_images([tmp_path / "absent.jpg"])
    with pytest.raises(FileNotFoundError, match=r"no list of images .*absent.txt"):
        find_images([f"@{tmp_path}/absent.txt"])


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="must be an ordinary file, got a named pipe"):
        find_images([tmp_path / "pipe"])


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys; from swin_dense.datasets.features.inputs import find_images;"
        "print([n for n in ('numpy', 'cv2', 'torch', 'PIL') if n in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
