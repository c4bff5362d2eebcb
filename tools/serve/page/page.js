"use strict";
// The page: images go to the server one after the other; what comes back is drawn here, so that
// sliders and switches answer at once. Downloads are drawn and written by the server.

const byId = id => document.getElementById(id);
const items = [];  // of the images: {file, name, state, found, view, picture, labels, levels}
const hidden = new Set();  // labels that are switched off, in all images
const labelOf = {"predictions.json": "COCO JSON", "classes.txt": "Class names"};
let model = null;
let current = null;  // the item that is shown
let pointed = null;  // the object under the pointer
let isBusy = false;

// ----------------------------------------------------------------------------------- the images

function refuse(text) {
  const line = element("li", {}, element("span", {textContent: text}));
  const close = element("button", {type: "button", className: "close", textContent: "✕"});
  close.setAttribute("aria-label", "Dismiss");
  close.onclick = () => line.remove();
  line.append(close);
  byId("messages").append(line);
}

async function add(files) {
  await described;
  for (const file of files) {
    const name = file.name || "image.png";
    if (file.size > model.max_bytes) {
      const size = (file.size / 1e6).toFixed(1);
      refuse(`${name} must have at most ${model.max_bytes / 1e6} MB, got ${size} MB; ` +
             "--max-megabytes raises the limit");
      continue;
    }
    items.push({file, name, state: "waiting"});
  }
  drawStrip();
  work();
}

async function work() {
  if (isBusy) return;
  isBusy = true;
  for (let item; (item = items.find(one => one.state === "waiting"));) {
    item.state = "busy";
    drawStrip();
    try {
      item.found = await find(item.file);
      const response = await ask(`results/${item.found.id}/view`);
      item.view = await response.json();
      item.picture = await load(item.view.picture.address);
      if (item.view.label_map) item.labels = await readLabels(item.view.label_map);
      item.state = "done";
      item.file = null;
      if (!items.includes(item)) forget(item);
      else if (!current) show(item);
    } catch (error) {
      refuse(error.message);
      const place = items.indexOf(item);
      if (place >= 0) items.splice(place, 1);
      if (item.found) forget(item);
    }
    drawStrip();
  }
  isBusy = false;
}

function load(address) {
  return new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = () => reject(new Error("the server's picture cannot be read"));
    image.src = address;
  });
}

async function readLabels(address) {
  // A label a pixel, from a grey picture.
  const image = await load(address);
  const canvas = element("canvas", {width: image.naturalWidth, height: image.naturalHeight});
  const context = canvas.getContext("2d", {willReadFrequently: true});
  context.drawImage(image, 0, 0);
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
  const labels = new Uint8Array(canvas.width * canvas.height);
  for (let i = 0; i < labels.length; i++) labels[i] = pixels[4 * i];
  return {width: canvas.width, height: canvas.height, values: labels};
}

function forget(item) {
  navigator.sendBeacon(`results/${item.found.id}/forget`);
}

function remove(item) {
  const place = items.indexOf(item);
  items.splice(place, 1);
  if (item.state === "done") forget(item);
  if (item === current) {
    const done = items.filter(one => one.state === "done");
    show(done.length ? done[Math.min(place, done.length - 1)] : null);
  }
  drawStrip();
}

function drawStrip() {
  const strip = byId("strip");
  strip.hidden = items.length === 0;
  byId("drop").classList.toggle("has-images", items.length > 0);
  strip.replaceChildren(...items.map(item => {
    const thumb = element("span", {className: "thumb"});
    if (item.state === "done") {
      thumb.append(element("img", {src: item.view.picture.address, alt: ""}));
    } else {
      thumb.append(element("i", {className: item.state === "busy" ? "wait" : "wait later"}));
    }
    const title = element("span", {className: "title", textContent: item.name});
    const choose = element("button", {type: "button", className: "choose", title: item.name},
                           thumb, title);
    choose.disabled = item.state !== "done";
    choose.setAttribute("aria-current", item === current);
    choose.onclick = () => { show(item); drawStrip(); };
    const close = element("button", {type: "button", className: "close", textContent: "✕"});
    close.setAttribute("aria-label", `Remove ${item.name}`);
    close.onclick = () => remove(item);
    const entry = element("li", {}, choose);
    if (item.state !== "busy") entry.append(close);
    return entry;
  }));
}

// ------------------------------------------------------------------------------------ one result

const threshold = () => Number(byId("threshold").value);
const opacity = () => Number(byId("opacity").value);

function shown() {
  return current.view.objects.filter(one => one.score >= threshold() && !hidden.has(one.label));
}

function show(item) {
  current = item;
  pointed = null;
  byId("result").hidden = !item;
  byId("pyramid").hidden = !item || model.pyramids.length === 0;
  if (!item) return;
  const {found, view} = item;
  const network = `network ${found.input_width} x ${found.input_height}`;
  byId("facts").textContent =
    `${found.width} x ${found.height} px · ${network} · ${found.seconds.toFixed(2)} s on ${model.device}`;
  byId("canvas").setAttribute("aria-label", `${item.name} with what was found in it`);
  byId("classes-group").hidden = view.classes.length === 0;
  byId("masks-switch").hidden = !view.has_masks;
  drawClasses();
  update();
  drawLevels();
}

function drawClasses() {
  byId("classes").replaceChildren(...current.view.classes.map(one => {
    const box = element("input", {type: "checkbox", checked: !hidden.has(one.label)});
    box.onchange = () => {
      if (box.checked) hidden.delete(one.label); else hidden.add(one.label);
      update();
    };
    const swatch = element("i", {className: "swatch"});
    swatch.style.setProperty("--c", one.is_painted === false ? "transparent" : one.colour);
    const name = element("span", {className: "name", textContent: one.name, title: one.name});
    const value = element("span", {className: "value"});
    value.dataset.label = one.label;
    if (one.share !== undefined) value.textContent = `${(100 * one.share).toFixed(1)}%`;
    return element("li", {}, element("label", {}, box, swatch, name, value));
  }));
}

function update() {
  // What depends on sliders and switches.
  byId("threshold-value").value = threshold().toFixed(2);
  byId("opacity-value").value = opacity().toFixed(2);
  if (!current) return;
  if (model.kind === "detection") drawObjects();
  drawDownloads();
  draw();
}

function drawObjects() {
  const {view} = current;
  const names = new Map(view.classes.map(one => [one.label, one]));
  const all = view.objects.filter(one => one.score >= threshold());
  for (const value of byId("classes").querySelectorAll(".value")) {
    const count = all.filter(one => one.label === Number(value.dataset.label)).length;
    value.textContent = count;
    value.closest("label").classList.toggle("absent", count === 0);
  }
  const list = shown().sort((a, b) => b.score - a.score);
  if (pointed && !list.includes(pointed)) pointed = null;
  byId("count").textContent = `${list.length} of ${view.objects.length}`;
  const rows = list.map(one => {
    const {name, colour} = names.get(one.label);
    const swatch = element("i", {className: "swatch"});
    swatch.style.setProperty("--c", colour);
    const row = element("li", {}, swatch, element("span", {className: "name", textContent: name}),
                        element("span", {className: "value", textContent: one.score.toFixed(2)}));
    row.onpointerenter = () => point(one);
    row.onpointerleave = () => point(null);
    one.row = row;
    return row;
  });
  if (!rows.length) rows.push(element("li", {className: "empty", textContent: "none"}));
  byId("objects").replaceChildren(...rows);
}

function drawDownloads() {
  const {found, view} = current;
  const query = new URLSearchParams();
  if (model.kind === "detection") query.set("threshold", threshold());
  if (model.kind === "segmentation") query.set("opacity", opacity());
  const off = view.classes.filter(one => hidden.has(one.label)).map(one => one.label);
  if (off.length) query.set("hidden", off.join(","));
  const link = (path, text) => element("a", {
    className: "button", textContent: text, download: "", href: `results/${found.id}/${path}?${query}`,
  });
  const address = file => file.split("/").map(encodeURIComponent).join("/");
  const nameOf = file => labelOf[file] || (file.startsWith("label_maps/") ? "Label map" : file);
  byId("downloads").replaceChildren(
    link("overlay", "Overlay"),
    ...[...view.files].reverse().map(file => link(`files/${address(file)}`, nameOf(file))),
  );
}

// ----------------------------------------------------------------------------------- the pyramid

async function drawLevels() {
  const item = current;
  const levels = byId("levels");
  if (!item || !byId("pyramid").open || model.pyramids.length === 0) return;
  const pyramid = document.querySelector("input[name=pyramid]:checked").value;
  item.levels = item.levels || {};
  if (!item.levels[pyramid]) {
    levels.replaceChildren(element("i", {className: "wait"}));
    try {
      const response = await ask(`results/${item.found.id}/levels/${pyramid}`);
      item.levels[pyramid] = (await response.json()).levels;
    } catch (error) {
      if (item === current) levels.replaceChildren(element("p", {textContent: error.message}));
      return;
    }
  }
  const chosen = document.querySelector("input[name=pyramid]:checked").value;
  if (item !== current || chosen !== pyramid) return;
  levels.replaceChildren(...item.levels[pyramid].map(level => {
    const title = `Stride ${level.stride} px`;
    const image = element("img", {src: level.picture, alt: `Principal components, ${title}`});
    image.style.aspectRatio = `${item.found.width} / ${item.found.height}`;
    const words = [`${level.width} x ${level.height} cells`, `${level.channels} channels`];
    return element("figure", {}, image, element("figcaption", {},
      element("b", {textContent: title}),
      ...words.map(text => element("span", {className: "muted part", textContent: text}))));
  }));
}

// --------------------------------------------------------------------------------------- the page

async function describe() {
  model = await (await ask("model.json")).json();
  document.title = `${model.name} · swin-dense`;
  byId("name").textContent = model.name;
  const classes = model.num_classes === 1 ? "1 class" : `${model.num_classes} classes`;
  byId("model").textContent = `${model.title} · ${model.task} · ${classes} · ${model.device}`;
  byId("threshold").value = model.threshold;
  byId("opacity").value = model.opacity;
  byId("result").dataset.kind = model.kind;
  for (const group of document.querySelectorAll("[data-kind]:not(#result)")) {
    group.hidden = group.dataset.kind !== model.kind;
  }
  const titles = {backbone: "Backbone", fpn: "FPN"};
  byId("pyramids").replaceChildren(...model.pyramids.map((name, place) => {
    const button = element("input", {type: "radio", name: "pyramid", value: name, checked: !place});
    button.onchange = drawLevels;
    return element("label", {}, button, titles[name] || name);
  }));
  byId("pyramids").hidden = model.pyramids.length < 2;
  update();
}

function listen() {
  const drop = byId("drop");
  byId("files").onchange = event => {
    add([...event.target.files]);
    event.target.value = "";
  };
  addEventListener("dragover", event => {
    event.preventDefault();
    drop.classList.add("over");
  });
  addEventListener("dragleave", event => {
    if (!event.relatedTarget) drop.classList.remove("over");
  });
  addEventListener("drop", event => {
    event.preventDefault();
    drop.classList.remove("over");
    const files = [...event.dataTransfer.files];
    if (files.length) add(files);
    else refuse("what is dropped must be files of images, got none");
  });
  addEventListener("paste", event => {
    const files = [...event.clipboardData.files];
    if (files.length) add(files);
  });
  for (const id of ["threshold", "opacity"]) byId(id).oninput = update;
  for (const id of ["boxes", "masks", "names"]) byId(id).onchange = draw;
  const turn = isOn => {
    for (const one of current.view.classes) {
      if (isOn) hidden.delete(one.label); else hidden.add(one.label);
    }
    drawClasses();
    update();
  };
  byId("all").onclick = () => turn(true);
  byId("none").onclick = () => turn(false);
  byId("pyramid").ontoggle = drawLevels;
  const canvas = byId("canvas");
  canvas.onpointermove = canvas.onpointerdown = look;
  canvas.onpointerleave = () => {
    point(null);
    byId("pointed").textContent = "";
  };
  let resize = 0;
  addEventListener("resize", () => {
    cancelAnimationFrame(resize);
    resize = requestAnimationFrame(draw);
  });
  addEventListener("pagehide", event => {
    if (!event.persisted) items.filter(item => item.found).forEach(forget);
  });
}

const described = describe();
described.catch(error => refuse(error.message));
listen();  // at once: nothing that is dropped early is lost
