"use strict";
// What is found, drawn over its image, and what lies under the pointer.

function fit() {
  // The canvas as large as its place and the window allow; gives px of it for a px of the image.
  const {picture} = current.view;
  const room = byId("stage").clientWidth;
  const high = Math.max(240, 0.72 * innerHeight);
  const factor = Math.min(room / picture.width, high / picture.height);
  const width = Math.max(1, Math.round(picture.width * factor));
  const height = Math.max(1, Math.round(picture.height * factor));
  const canvas = byId("canvas");
  const ratio = devicePixelRatio || 1;
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.setTransform(canvas.width / width, 0, 0, canvas.height / height, 0, 0);
  return {context, width, height};
}

function draw() {
  if (!current) return;
  const {context, width, height} = fit();
  context.drawImage(current.picture, 0, 0, width, height);
  if (model.kind === "detection") drawDetections(context, width);
  if (model.kind === "segmentation") drawLabelMap(context, width, height);
}

function outline(one, factor) {
  const path = new Path2D();
  for (const line of one.outlines) {
    for (let i = 0; i < line.length; i += 2) {
      const [x, y] = [line[i] * factor, line[i + 1] * factor];
      if (i) path.lineTo(x, y); else path.moveTo(x, y);
    }
    path.closePath();
  }
  return path;
}

function drawDetections(context, width) {
  const factor = width / current.found.width;
  const classes = new Map(current.view.classes.map(one => [one.label, one]));
  const list = shown();
  const [hasMasks, hasBoxes, hasNames] = ["masks", "boxes", "names"].map(id => byId(id).checked);
  context.lineJoin = "round";
  for (const one of list) {
    const {colour} = classes.get(one.label);
    context.globalAlpha = pointed && pointed !== one ? 0.35 : 1;
    context.strokeStyle = context.fillStyle = colour;
    context.lineWidth = pointed === one ? 3 : 1.5;
    if (hasMasks && one.outlines.length) {
      const path = outline(one, factor);
      context.stroke(path);
      context.globalAlpha *= model.mask_opacity;
      context.fill(path, "evenodd");
      context.globalAlpha = pointed && pointed !== one ? 0.35 : 1;
    }
    if (hasBoxes) {
      const [x1, y1, x2, y2] = one.box.map(edge => edge * factor);
      context.strokeRect(x1, y1, x2 - x1, y2 - y1);
    }
  }
  if (hasNames) drawNames(context, width, list, classes, factor);
  context.globalAlpha = 1;
}

function drawNames(context, width, list, classes, factor) {
  // Above each box, or where there is room; the smallest object chooses first.
  context.font = "12px system-ui, 'DejaVu Sans', sans-serif";
  context.textBaseline = "middle";
  const limit = current.found.height * factor;
  const taken = [];
  for (const one of [...list].reverse()) {
    const {name, colour} = classes.get(one.label);
    const text = `${name} ${one.score.toFixed(2)}`;
    const [wide, high] = [context.measureText(text).width + 8, 17];
    const [x1, y1, x2, y2] = one.box.map(edge => edge * factor);
    const places = [[x1, y1 - high], [x1, y1], [x1, y2], [x2 - wide, y1 - high], [x1, y2 - high],
                    [x2 - wide, y2]];
    let best = null;
    for (const [left, top] of places) {
      const x = Math.max(0, Math.min(left, width - wide));
      const y = Math.max(0, Math.min(top, limit - high));
      const covered = taken.reduce((sum, [a, b, w]) => sum +
        Math.max(0, Math.min(x + wide, a + w) - Math.max(x, a)) *
        Math.max(0, Math.min(y + high, b + high) - Math.max(y, b)), 0);
      if (!best || covered < best.covered) best = {x, y, covered};
      if (!covered) break;
    }
    taken.push([best.x, best.y, wide]);
    context.globalAlpha = pointed && pointed !== one ? 0.35 : 1;
    context.fillStyle = colour;
    context.fillRect(best.x, best.y, wide, high);
    context.fillStyle = isBright(colour) ? "#000" : "#fff";
    context.fillText(text, best.x + 4, best.y + high / 2 + 0.5);
  }
}

const parts = colour => [1, 3, 5].map(place => parseInt(colour.slice(place, place + 2), 16));

function isBright(colour) {
  const [red, green, blue] = parts(colour);
  return 0.299 * red + 0.587 * green + 0.114 * blue > 140;
}

function drawLabelMap(context, width, height) {
  const {labels} = current;
  const tint = element("canvas", {width: labels.width, height: labels.height});
  const own = tint.getContext("2d");
  const pixels = own.createImageData(labels.width, labels.height);
  const colours = new Map();
  for (const one of current.view.classes) {
    if (one.is_painted && !hidden.has(one.label)) colours.set(one.label, parts(one.colour));
  }
  const {values} = labels;
  for (let i = 0; i < values.length; i++) {
    const colour = colours.get(values[i]);
    if (!colour) continue;
    const isEdge = (i % labels.width && values[i] !== values[i - 1]) ||
                   (i >= labels.width && values[i] !== values[i - labels.width]);
    const factor = isEdge ? 0.6 : 1;
    for (let part = 0; part < 3; part++) pixels.data[4 * i + part] = factor * colour[part];
    pixels.data[4 * i + 3] = 255;
  }
  own.putImageData(pixels, 0, 0);
  context.globalAlpha = opacity();
  context.imageSmoothingEnabled = false;
  context.drawImage(tint, 0, 0, width, height);
  context.imageSmoothingEnabled = true;
  context.globalAlpha = 1;
}

// ----------------------------------------------------------------------------------- the pointer

function point(one) {
  if (one === pointed) return;
  if (pointed && pointed.row) pointed.row.classList.remove("pointed");
  pointed = one;
  if (one && one.row) {
    one.row.classList.add("pointed");
    one.row.scrollIntoView({block: "nearest"});
  }
  draw();
}

function under(event) {
  // Place in px of the image.
  const box = byId("canvas").getBoundingClientRect();
  const {found} = current;
  const inside = (share, end) => Math.max(0, Math.min(end - 1, Math.floor(share * end)));
  return [inside((event.clientX - box.left) / box.width, found.width),
          inside((event.clientY - box.top) / box.height, found.height)];
}

function look(event) {
  if (!current) return;
  const [x, y] = under(event);
  if (model.kind === "segmentation") {
    const {labels, found, view} = current;
    const column = Math.min(labels.width - 1, Math.floor((x + 0.5) / found.width * labels.width));
    const row = Math.min(labels.height - 1, Math.floor((y + 0.5) / found.height * labels.height));
    const label = labels.values[row * labels.width + column];
    const known = view.classes.find(one => one.label === label);
    byId("pointed").textContent = `${known ? known.name : "no class"} at ${x}, ${y}`;
  } else if (model.kind === "detection") {
    const context = byId("canvas").getContext("2d");
    const inside = one => {
      const [x1, y1, x2, y2] = one.box;
      if (x + 1 < x1 || x > x2 || y + 1 < y1 || y > y2) return false;
      if (!one.outlines.length || !byId("masks").checked) return true;
      context.save();
      context.resetTransform();
      const hit = context.isPointInPath(outline(one, 1), x + 0.5, y + 0.5, "evenodd");
      context.restore();
      return hit;
    };
    const one = shown().reverse().find(inside) || null;  // the smallest
    point(one);
    const named = one && current.view.classes.find(other => other.label === one.label).name;
    byId("pointed").textContent = one
      ? `${named} ${one.score.toFixed(2)}, ${Math.round(one.box[2] - one.box[0])} x ` +
        `${Math.round(one.box[3] - one.box[1])} px`
      : "";
  }
}
