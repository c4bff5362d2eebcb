"""Drawn shapes in the layouts that people export from annotation tools, from their COCO files."""

import base64
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from swin_dense.datasets.formats.coco_file import check_run_lengths
from swin_dense.datasets.masks import decompress

SPLITS = {"train2017": "train", "val2017": "valid"}


def read_split(coco: Path, split: str) -> dict[str, Any]:
    """Content of a split's annotation file."""
    return json.loads((coco / "annotations" / f"instances_{split}.json").read_text())


def write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def copy_images(coco: Path, split: str, folder: Path, rename: Callable[[str], str] = str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted((coco / split).iterdir()):
        target = folder / rename(path.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def write_roboflow(coco: Path, root: Path) -> Path:
    """Category 0 is the project, ids of the classes are moved, names have Roboflow's hash."""
    for split, folder in SPLITS.items():
        content = read_split(coco, split)

        def rename(name: str) -> str:
            return f"{name[:-4]}_jpg.rf.{'0' * 31}{name[5]}.jpg"

        copy_images(coco, split, root / folder, rename)
        for image in content["images"]:
            image["file_name"] = rename(image["file_name"])
        for category in content["categories"]:
            category["supercategory"] = "shapes"
        project = {"id": 0, "name": "shapes", "supercategory": "none"}
        content["categories"].insert(0, project)
        write_json(root / folder / "_annotations.coco.json", content)
    (root / "README.roboflow.txt").write_text("shapes")
    return root


def write_cvat(coco: Path, root: Path) -> Path:
    """One subset, `default`; the images are in a folder of it."""
    content = read_split(coco, "train2017")
    copy_images(coco, "train2017", root / "images" / "default" / "day")
    for image in content["images"]:
        image["file_name"] = f"day/{image['file_name']}"
    for annotation in content["annotations"]:
        annotation["attributes"] = {"occluded": False}
        if isinstance(annotation["segmentation"], dict):
            annotation["iscrowd"] = 1
    write_json(root / "annotations" / "instances_default.json", content)
    return root


def write_label_studio(coco: Path, root: Path) -> Path:
    """Names with a hash, in folders of a server with either slash; ids from 0 on."""
    content = read_split(coco, "train2017")
    copy_images(coco, "train2017", root / "images", lambda name: f"{'a1b2c3d4'}-{name}")
    for place, image in enumerate(content["images"]):
        name = f"a1b2c3d4-{image['file_name']}"
        forms = (f"images/{name}", f"images\\{name}", f"../../label-studio/media/upload/4/{name}")
        image["file_name"] = forms[place % 3]
    for category in content["categories"]:
        category["id"] -= 1
    for annotation in content["annotations"]:
        annotation["category_id"] -= 1
    write_json(root / "result.json", content)
    return root


def write_coco_files(coco: Path, root: Path) -> Path:
    """One JSON of another name and a folder with sub-folders, packed in a top folder."""
    inner = root / "my_export"
    content = read_split(coco, "train2017")
    for place, image in enumerate(content["images"]):
        name = f"{'ab'[place % 2]}/{image['file_name']}"
        (inner / "pictures" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(coco / "train2017" / image["file_name"], inner / "pictures" / name)
        image["file_name"] = name
    write_json(inner / "labels_v2.json", content)
    (root / "__MACOSX").mkdir()
    return root


def write_yolo(coco: Path, root: Path) -> Path:
    """The outline where an object has one, else its box: a line of YOLO's holds no more."""
    names = [category["name"] for category in read_split(coco, "train2017")["categories"]]
    for split, folder in SPLITS.items():
        content = read_split(coco, split)
        copy_images(coco, split, root / folder / "images")
        (root / folder / "labels").mkdir()
        for image in content["images"]:
            size = np.array([image["width"], image["height"]])
            lines = []
            for annotation in content["annotations"]:
                if annotation["image_id"] != image["id"]:
                    continue
                label = annotation["category_id"] - 1
                segmentation = annotation["segmentation"]
                if isinstance(segmentation, list) and len(segmentation) == 1:
                    numbers = np.reshape(segmentation[0], (-1, 2)) / size
                else:
                    x, y, w, h = annotation["bbox"]
                    numbers = np.array([[x + w / 2, y + h / 2], [w, h]]) / size
                lines.append(" ".join(map(str, [label, *numbers.ravel().tolist()])))
            stem = Path(image["file_name"]).stem
            (root / folder / "labels" / f"{stem}.txt").write_text("\n".join(lines))
    text = "train: ../train/images\nval: ../valid/images\nnc: 6\nnames: " + json.dumps(names)
    (root / "data.yaml").write_text(text)
    return root


def write_labelme(coco: Path, root: Path) -> Path:
    """A JSON beside each image; masks with holes as LabelMe's masks."""
    content = read_split(coco, "train2017")
    copy_images(coco, "train2017", root)
    names = {category["id"]: category["name"] for category in content["categories"]}
    for image in content["images"]:
        shapes = []
        for annotation in content["annotations"]:
            if annotation["image_id"] != image["id"]:
                continue
            shape = {"label": names[annotation["category_id"]], "group_id": None, "flags": {}}
            segmentation = annotation["segmentation"]
            if isinstance(segmentation, list):
                for polygon in segmentation:
                    points = np.reshape(polygon, (-1, 2)).tolist()
                    group = annotation["id"] if len(segmentation) > 1 else None
                    kind = {"shape_type": "polygon", "points": points, "group_id": group}
                    shapes.append(shape | kind)
                continue
            size = (image["height"], image["width"])
            bitmap = decompress([check_run_lengths(segmentation, size)])[0]
            x, y, w, h = map(int, annotation["bbox"])
            patch = bitmap[y : y + h, x : x + w].astype(np.uint8) * 255
            encoded = base64.b64encode(cv2.imencode(".png", patch)[1].tobytes()).decode()
            corners = [[x, y], [x + w - 1, y + h - 1]]
            shapes.append(shape | {"shape_type": "mask", "points": corners, "mask": encoded})
        shapes.append({"label": names[1], "shape_type": "line", "points": [[0, 0], [9, 9]]})
        stem = Path(image["file_name"]).stem
        labels = {"version": "5.5.0", "flags": {}, "shapes": shapes}
        labels |= {"imagePath": image["file_name"], "imageData": None}
        labels |= {"imageHeight": image["height"], "imageWidth": image["width"]}
        write_json(root / f"{stem}.json", labels)
    return root


LAYOUTS: dict[str, Callable[[Path, Path], Path]] = {
    "roboflow": write_roboflow,
    "cvat": write_cvat,
    "label_studio": write_label_studio,
    "coco_files": write_coco_files,
    "yolo": write_yolo,
    "labelme": write_labelme,
}
