"""Answers to the page and the API: results of images, their pictures and files, the pyramid."""

import base64
import json
import os
import re
import shutil
import tempfile
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from swin_dense.datasets.images import image_size, read_image
from swin_dense.tools.features.preview import as_jpeg, as_png, few_cells
from swin_dense.tools.features.principal_components import as_colours, principal_components
from swin_dense.tools.printable import printable
from swin_dense.tools.serve.choice import Choice
from swin_dense.tools.serve.found import Found, FoundTable
from swin_dense.tools.serve.served_model import ServedModel
from swin_dense.tools.serve.views import view_of
from swin_dense.tools.tasks.drawing import (
    LABEL_OPACITY,
    MASK_OPACITY,
    Picture,
    reduce_picture,
    save_picture,
)
from swin_dense.tools.tasks.task import PredictionWriter

_SHOWN_SIDE = 1600  # px, longer side of the picture in the page
_MOST_CELLS = 160  # along a side of a level; finer maps are averaged
_LONGEST_NAME = 120  # letters of a file's name
_PICTURES = (".jpg", ".png")  # endings that pictures of images keep, as in `predict`


class Service:
    """Answers of a served model.

    Args:
        served: the model.
        flags: of `predict`, of the model's task: what writers and pictures go by.
        folder: for images and files, which goes with the process.

    Attributes:
        default: what is shown until somebody chooses.
        uploads: folder of uploaded files.
    """

    def __init__(self, served: ServedModel, *, flags: Any, folder: Path) -> None:
        self._served, self._flags, self._folder = served, flags, folder
        self._found = FoundTable()
        self._view = view_of(served.model)
        self.default = Choice(
            threshold=float(getattr(flags, "score_threshold", 0.0)), opacity=LABEL_OPACITY
        )
        self.uploads = folder / "uploads"
        for part in (self.uploads, folder / "images"):
            part.mkdir(exist_ok=True)

    def describe(self, *, name: str, max_bytes: int) -> dict[str, Any]:
        """The model in words and numbers, and the page's limits."""
        return {
            "name": printable(name),
            "title": printable(self._served.title),
            "task": self._served.task.name,
            "kind": self._view.kind,
            "num_classes": int(self._served.model.config.num_classes),
            "device": str(self._served.device),
            "pyramids": list(self._served.pyramids),
            "threshold": self.default.threshold,
            "opacity": self.default.opacity,
            "mask_opacity": MASK_OPACITY,
            "max_bytes": max_bytes,
        }

    def find(self, upload: Path, name: str) -> dict[str, Any]:
        """Run the model over an image.

        Args:
            upload: the image's file.
            name: of the file where it came from.

        Returns:
            `id` of the result, `name`, `width` and `height` of the image, those of the network's
            input, and `seconds`.

        Raises:
            FileNotFoundError: the file is not there any more.
            ValueError: it is no image that can be read; the message names it as its owner does.
        """
        name = clean_name(name)
        path = self._keep(upload, name)
        try:
            pixels = self._read(path, name)
            result, input_size, seconds = self._served.predict(pixels)
            found = Found(
                name=name,
                path=path,
                size=image_size(pixels),
                input_size=input_size,
                result=self._view.pack(result),
                seconds=seconds,
            )
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return {
            "id": self._found.add(found),
            "name": name,
            "width": found.size[1],
            "height": found.size[0],
            "input_width": input_size[1],
            "input_height": input_size[0],
            "seconds": round(seconds, 4),
        }

    def view(self, result_id: str) -> dict[str, Any]:
        """Content of the page: a small picture of the image, and what was found in it.

        Raises:
            KeyError: there is no such result any more, as in all that follow.
        """
        found = self._found.get(result_id)
        files = self._view.file_names(found.name)
        if files is None:
            pixels, written = self._write(found, self.default)
            files = sorted(written)
        else:
            pixels = self._read(found.path, found.name)
        pixels = reduce_picture(pixels, _SHOWN_SIDE)
        size = image_size(pixels)
        return {
            **self._view.describe(found.result, size),
            "picture": {"address": as_jpeg(pixels), "width": size.width, "height": size.height},
            "files": files,
        }

    def overlay(self, result_id: str, choice: Choice) -> tuple[str, bytes]:
        """Name and content of the picture that `predict` gives of an image."""
        found = self._found.get(result_id)
        image = torch.from_numpy(self._read(found.path, found.name)).permute(2, 0, 1)  # (3, H, W)
        picture = self._view.draw(image, found.result, choice)
        if picture is None:
            picture = self._write(found, choice)[0]
        name = Path(found.name)
        if name.suffix.lower() not in _PICTURES:
            name = name.with_suffix(_PICTURES[0])
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            path = Path(folder) / f"overlay{name.suffix.lower()}"
            save_picture(picture, path)
            return str(name.with_stem(f"{name.stem}_overlay")), path.read_bytes()

    def file(self, result_id: str, name: str, choice: Choice) -> tuple[str, bytes]:
        """Name and content of one of the files that `predict` writes for an image.

        Args:
            result_id: of the result.
            name: of the file, one of the `files` of its view.
            choice: which detections are written.

        Raises:
            KeyError: there is no such file.
        """
        found = self._found.get(result_id)
        content = self._write(found, choice)[1][name]
        path = Path(name)
        stem = Path(found.name).stem
        shown = path.name if path.stem == stem else f"{stem}_{path.name}"
        return shown, content

    def files(self, result_id: str, choice: Choice) -> dict[str, Any]:
        """All files of a result as JSON: JSON as it is, text as text, anything else in base64."""
        files = self._write(self._found.get(result_id), choice)[1]
        return {name: _as_value(name, content) for name, content in sorted(files.items())}

    def levels(self, result_id: str, pyramid: str) -> dict[str, Any]:
        """The principal components of each level of a pyramid, as colours.

        Raises:
            ValueError: the model has no such pyramid.
        """
        found = self._found.get(result_id)
        maps = self._served.pyramid(self._read(found.path, found.name), pyramid)
        levels = []
        for stride, values in maps:
            few = few_cells(values, _MOST_CELLS)
            (colours,) = as_colours(principal_components([few], count=3))
            levels.append(
                {
                    "stride": stride,
                    "channels": values.shape[0],
                    "width": values.shape[2],
                    "height": values.shape[1],
                    "picture": as_png(colours),
                }
            )
        return {"pyramid": pyramid, "levels": levels}

    def forget(self, result_id: str) -> None:
        """Remove a result and its image."""
        self._found.remove(result_id)

    def _keep(self, upload: Path, name: str) -> Path:
        """The upload under a path of its own: another user may upload and remove the same file."""
        descriptor, kept = tempfile.mkstemp(Path(name).suffix, dir=self._folder / "images")
        os.close(descriptor)
        try:
            shutil.copyfile(upload, kept)
        except BaseException:
            Path(kept).unlink(missing_ok=True)
            raise
        return Path(kept)

    def _read(self, path: Path, name: str) -> np.ndarray:
        """The image's pixels; errors name it as its owner does."""
        try:
            return read_image(path)
        except ValueError as error:
            raise ValueError(str(error).replace(str(path), name)) from error

    def _write(self, found: Found, choice: Choice) -> tuple[Picture, dict[str, bytes]]:
        """The picture and the files, by name, that `predict` gives of an image."""
        flags = self._flags
        if any(field.name == "score_threshold" for field in fields(flags)):
            flags = replace(flags, score_threshold=choice.threshold)
        image = torch.from_numpy(self._read(found.path, found.name)).permute(2, 0, 1)  # (3, H, W)
        with tempfile.TemporaryDirectory(dir=self._folder) as name:
            folder = Path(name)
            writer: PredictionWriter = self._served.task.writer(folder, self._served.model, flags)
            picture = writer.add(found.name, image, self._view.unpack(found.result, choice))
            writer.close()
            files = {
                str(path.relative_to(folder)): path.read_bytes()
                for path in folder.rglob("*")
                if path.is_file()
            }
        return picture, files


def clean_name(name: str) -> str:
    """The name of a file without folders, controls, and what makes it long."""
    last = re.split(r"[/\\]", name)[-1]
    plain = re.sub(r'[\x00-\x1f\x7f<>:"|?*]', "_", last)
    shown = printable(plain).replace("\\", "_").strip()
    stem, dot, suffix = shown.rpartition(".")
    if not dot or not stem.strip("."):
        return shown.strip(".")[:_LONGEST_NAME] or "image"
    return f"{stem[:_LONGEST_NAME]}.{suffix[:10]}"


def _as_value(name: str, content: bytes) -> Any:
    suffix = Path(name).suffix.lower()
    if suffix == ".json":
        return json.loads(content)
    return content.decode() if suffix == ".txt" else base64.b64encode(content).decode()
