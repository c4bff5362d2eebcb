"use strict";
// What the page asks of the server.

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

async function ask(address, options) {
  let response;
  try {
    response = await fetch(address, options);
  } catch {
    throw new Error("the server does not answer; is swin-dense serve still running?");
  }
  if (!response.ok) throw new Error(await response.text() || `${response.status}`);
  return response;
}

async function upload(file) {
  const form = new FormData();
  form.append("files", file, file.name || "image.png");
  const response = await ask("gradio_api/upload", {method: "POST", body: form});
  return (await response.json())[0];
}

async function find(file) {
  // Through the queue of the API, as any client: a call, and the events that answer it.
  const path = await upload(file);
  const image = {path, orig_name: file.name || "image.png", meta: {_type: "gradio.FileData"}};
  const call = await ask("gradio_api/call/look", {
    method: "POST",
    headers: {"Content-Type": "application/json"},
    body: JSON.stringify({data: [image]}),
  });
  const {event_id: event} = await call.json();
  const answer = await ask(`gradio_api/call/look/${event}`);
  let text;
  try {
    text = await answer.text();
  } catch {
    throw new Error("the server ended before it was done");
  }
  const events = text.trim().split("\n\n").map(part => {
    const lines = part.split("\n");
    const value = key => (lines.find(line => line.startsWith(`${key}: `)) || "").slice(key.length + 2);
    return {kind: value("event"), data: JSON.parse(value("data") || "null")};
  });
  const last = events.filter(one => one.kind === "complete" || one.kind === "error").pop();
  if (!last) throw new Error("the server ended before it was done");
  if (last.kind === "error") {
    throw new Error((last.data && last.data.error) || last.data || "the server has failed");
  }
  return last.data[0];
}
