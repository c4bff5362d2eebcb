"""Style and script of the preview: what a click on a cell does."""

STYLE = """
.maps { display: grid; gap: .8rem; margin-top: 1.6rem; align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 11rem), 1fr)); }
.maps .frame { position: relative; width: 100%; overflow: hidden; background: var(--grid); }
.maps img, .maps canvas { position: absolute; inset: 0; width: 100%; height: 100%; margin: 0;
  max-width: none; }
.maps canvas, .map img { image-rendering: pixelated; }
.map { cursor: crosshair; }
.map:focus-visible { outline: 2px solid var(--blue); outline-offset: 2px; }
.mark { position: absolute; box-sizing: border-box; border: 2px solid #fff; outline: 1px solid #000;
  pointer-events: none; min-width: 6px; min-height: 6px; transform: translate(-50%, -50%); }
.mark.chosen { border-color: var(--orange); }
.result { position: sticky; bottom: 0; z-index: 2; margin-top: 1.6rem; padding: .6rem 0;
  background: var(--ground); border-top: 1px solid var(--rule); }
.result p { margin: 0 0 .4rem; font-size: .9rem; max-width: none; }
.patches { display: flex; gap: .5rem; overflow-x: auto; scrollbar-width: thin; }
.patches figure { flex: none; width: 5.6rem; }
.patches canvas { display: block; width: 5.6rem; height: 5.6rem; background: var(--grid); }
.patches figcaption { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
@media (max-width: 60rem) {
  .maps { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .maps .photograph { grid-column: 1 / -1; }
}
"""

SCRIPT = """
"use strict";
const content = JSON.parse(document.getElementById("content").textContent);
const rows = [...document.querySelectorAll(".maps")];
const most = 10, few = 4;  // patches that are shown, and of those from one image
for (const image of content.images)
  for (const map of image.maps) {
    const bytes = atob(map.cells);
    map.cells = Int8Array.from(bytes, letter => letter.charCodeAt(0) << 24 >> 24);
  }

function compare(level, chosen) {
  // The cosine of each cell of a level with the chosen one, for each image.
  const length = content.levels[level].length;
  const [height, width] = content.images[chosen.image].maps[level].size;
  const start = (chosen.row * width + chosen.column) * length;
  const one = content.images[chosen.image].maps[level].cells.subarray(start, start + length);
  return content.images.map(image => {
    const {size, cells} = image.maps[level];
    const cosines = new Float32Array(size[0] * size[1]);
    for (let cell = 0; cell < cosines.length; cell++) {
      let sum = 0;
      for (let i = 0; i < length; i++) sum += cells[cell * length + i] * one[i];
      cosines[cell] = sum / (127 * 127);
    }
    return cosines;
  });
}

function findLike(level, chosen, cosines) {
  // The cells most like it, none beside another, and no more than a few of one image.
  const cells = [];
  cosines.forEach((values, image) => {
    const width = content.images[image].maps[level].size[1];
    values.forEach((cosine, cell) => {
      cells.push({image, cosine, row: Math.floor(cell / width), column: cell % width});
    });
  });
  cells.sort((a, b) => b.cosine - a.cosine);
  const found = [chosen];
  const counts = content.images.map(() => 0);
  const apart = (a, b) =>
    a.image !== b.image || Math.max(Math.abs(a.row - b.row), Math.abs(a.column - b.column)) > 2;
  for (const cell of cells) {
    if (found.length > most) break;
    if (counts[cell.image] === few && counts.length > 1) continue;
    if (found.some(other => !apart(cell, other))) continue;
    found.push(cell);
    counts[cell.image]++;
  }
  return found.slice(1);
}

function shade(canvas, size, cosines) {
  // What is unlike becomes dark.
  const [height, width] = size;
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(width, height);
  cosines.forEach((cosine, cell) => {
    const like = Math.min(1, Math.max(0, (cosine - 0.2) / 0.6));
    pixels.data[4 * cell + 3] = 205 * (1 - like * like);
  });
  context.putImageData(pixels, 0, 0);
}

function place(frame, cell, size, kind) {
  const mark = document.createElement("i");
  mark.className = kind;
  mark.style.left = 100 * (cell.column + 0.5) / size[1] + "%";
  mark.style.top = 100 * (cell.row + 0.5) / size[0] + "%";
  mark.style.width = 100 / size[1] + "%";
  mark.style.height = 100 / size[0] + "%";
  frame.append(mark);
}

function patch(level, cell) {
  // The part of the photograph around a cell, some cells wide.
  const image = content.images[cell.image];
  const size = image.maps[level].size;
  const picture = rows[cell.image].querySelector(".photograph img");
  const [width, height] = [picture.naturalWidth, picture.naturalHeight];
  const side = Math.max(5 * width / size[1], Math.min(width, height) / 5);
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 160;
  const inside = (middle, end) => Math.max(0, Math.min(middle - side / 2, end - side));
  const x = inside((cell.column + 0.5) / size[1] * width, width);
  const y = inside((cell.row + 0.5) / size[0] * height, height);
  const context = canvas.getContext("2d");
  const factor = 160 / side;
  context.drawImage(picture, x, y, side, side, 0, 0, 160, 160);
  context.lineWidth = 3;
  context.strokeStyle = "#fff";
  context.strokeRect((cell.column / size[1] * width - x) * factor,
                     (cell.row / size[0] * height - y) * factor,
                     width / size[1] * factor, height / size[0] * factor);
  const figure = document.createElement("figure");
  const caption = document.createElement("figcaption");
  const cosine = document.createElement("b");
  cosine.textContent = cell.cosine.toFixed(2);
  const end = image.id.length > 11 ? "..." + image.id.slice(-8) : image.id;
  caption.append(cosine, document.createElement("br"), end);
  figure.title = image.id;
  figure.append(canvas, caption);
  return figure;
}

function choose(chosen) {
  const {level} = chosen;
  const cosines = compare(level, chosen);
  const like = findLike(level, chosen, cosines);
  document.querySelectorAll(".mark").forEach(mark => mark.remove());
  rows.forEach((row, image) => {
    const size = content.images[image].maps[level].size;
    [...row.children].forEach((figure, number) => {
      const canvas = figure.querySelector("canvas");
      const isShown = number === 0 || number === level + 1;
      canvas.hidden = !isShown;
      if (!isShown) return;
      shade(canvas, size, cosines[image]);
      const frame = figure.querySelector(".frame");
      like.filter(cell => cell.image === image).forEach(cell => place(frame, cell, size, "mark"));
      if (image === chosen.image) place(frame, chosen, size, "mark chosen");
    });
  });
  const image = content.images[chosen.image];
  const size = image.maps[level].size;
  const x = Math.round((chosen.column + 0.5) / size[1] * image.original[1]);
  const y = Math.round((chosen.row + 0.5) / size[0] * image.original[0]);
  document.getElementById("chosen").textContent =
    content.levels[level].name + " at x " + x + ", y " + y + " of " + image.id +
    "; most like it, with their cosines:";
  document.getElementById("patches").replaceChildren(...like.map(cell => patch(level, cell)));
  document.getElementById("result").hidden = false;
}

let last = null;
rows.forEach((row, image) => {
  [...row.children].slice(1).forEach((figure, level) => {
    const size = content.images[image].maps[level].size;
    const frame = figure.querySelector(".frame");
    const at = (row, column) => {
      last = {
        image, level,
        row: Math.min(size[0] - 1, Math.max(0, row)),
        column: Math.min(size[1] - 1, Math.max(0, column)),
      };
      choose(last);
    };
    frame.addEventListener("click", event => {
      const box = frame.getBoundingClientRect();
      at(Math.floor((event.clientY - box.top) / box.height * size[0]),
         Math.floor((event.clientX - box.left) / box.width * size[1]));
    });
    figure.addEventListener("keydown", event => {
      const steps = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]};
      const step = steps[event.key];
      if (!step && event.key !== "Enter") return;
      event.preventDefault();
      const isHere = last && last.image === image && last.level === level;
      const from = isHere ? last : {row: size[0] >> 1, column: size[1] >> 1};
      at(from.row + (step ? step[0] : 0), from.column + (step ? step[1] : 0));
    });
  });
});
"""
