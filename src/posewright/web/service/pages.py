"""The two pages of the service: one to try a picture on, one that explains the interface. Neither asks any other address."""

_STYLE = """
:root { color-scheme: light dark; --line: #8885; --soft: #7a828a; --accent: #0b7285; }
body { margin: 0 auto; padding: 1rem; max-width: 72rem; font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.15rem; margin: 1.6rem 0 .4rem; }
a { color: var(--accent); } small, .soft { color: var(--soft); }
button, input, select, textarea { font: inherit; padding: .25rem .5rem; max-width: 100%; box-sizing: border-box; }
pre { overflow: auto; padding: .6rem; border: 1px solid var(--line); border-radius: .4rem; max-height: 24rem; font-size: 13px; }
table { border-collapse: collapse; font-size: 14px; display: block; overflow-x: auto; }
td, th { text-align: left; padding: .15rem .8rem .15rem 0; vertical-align: top; }
.row { display: flex; flex-wrap: wrap; gap: .6rem 1rem; align-items: center; margin: .6rem 0; }
.bad { color: #d9480f; }
"""

_COMMON = """
"use strict";
const at = id => document.getElementById(id);
function make(kind, text, parent, more) {
  const made = Object.assign(document.createElement(kind), more || {});
  if (text !== undefined && text !== null) made.textContent = text;
  if (parent) parent.append(made);
  return made;
}
const token = at("token");
token.value = sessionStorage.getItem("token") || "";
token.oninput = () => sessionStorage.setItem("token", token.value);
function ask(path, more) {
  const headers = Object.assign({}, (more || {}).headers);
  if (token.value) headers.Authorization = "Bearer " + token.value;
  return fetch(path, Object.assign({}, more, {headers}));
}
"""

INDEX = (
    """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>posewright: try a picture</title>
<style>"""
    + _STYLE
    + """
#drop { border: 2px dashed var(--line); border-radius: .6rem; padding: .8rem; text-align: center; }
#drop.over { border-color: var(--accent); }
canvas { cursor: crosshair; display: block; margin: .6rem 0; touch-action: none; }
label { white-space: nowrap; }
</style>
</head>
<body>
<h1>posewright</h1>
<p class="soft">Drop a picture, see its keypoints. The interface for programs is explained at <a href="docs">/docs</a>.</p>
<div class="row">
<label>Model <select id="model"></select></label>
<label><input type="checkbox" id="flip"> flip averaging</label>
<label>Show scores from
<input type="range" id="least" min="0" max="1" step="0.05" value="0.2"> <span id="shown">0.20</span></label>
<label>Token <input id="token" type="password" size="12" autocomplete="off" placeholder="if it needs one"></label>
</div>
<div id="drop">
<label>Picture: <input type="file" id="file" accept="image/*"></label>
<small>or drop it here, or paste it. Drag over the picture to say where an object is.</small>
</div>
<p><span id="state" role="status"></span> <button id="clear" hidden>Forget the boxes</button></p>
<canvas id="canvas" width="0" height="0" aria-label="the picture with what was found on it"></canvas>
<details><summary>Keypoints</summary><table id="points"></table></details>
<details><summary>Answer</summary><pre id="answer"></pre></details>
<p class="soft" id="terms"></p>
<script>"""
    + _COMMON
    + """
const canvas = at("canvas"), pen = canvas.getContext("2d");
let models = {}, file = null, picture = null, found = null, boxes = [], drag = null, turn = 0;
function say(text, bad) { at("state").textContent = text; at("state").className = bad ? "bad" : ""; }
async function message(answer) {
  try { return (await answer.json()).error.message; } catch { return answer.status + " " + answer.statusText; }
}
async function start() {
  try {
    const answer = await ask("v1/models");
    if (!answer.ok) { say(await message(answer), true); return; }
    at("model").replaceChildren();
    models = {};
    for (const m of (await answer.json()).models) {
      models[m.name] = m;
      make("option", m.name + " (" + m.skeleton.keypoints.length + " keypoints)", at("model"), {value: m.name});
    }
    chosen();
    say("");
  } catch { say("The service does not answer.", true); }
}
function chosen() {
  const m = models[at("model").value];
  if (!m) return;
  at("flip").disabled = !m.flip;
  if (!m.flip) at("flip").checked = false;
  at("terms").textContent = m.terms ? "Terms: " + m.terms : "";
}
async function load(given) {
  if (!given) return;
  file = given; boxes = []; found = null; picture = null;
  try { picture = await createImageBitmap(given, {imageOrientation: "from-image"}); }
  catch { picture = null; }  // the service reads formats that browsers do not
  if (picture) { canvas.width = picture.width; canvas.height = picture.height; }
  draw();
  look();
}
async function look() {
  if (!file) return;
  const mine = ++turn, query = new URLSearchParams({model: at("model").value});
  if (at("flip").checked) query.set("flip", "true");
  for (const b of boxes) query.append("box", b.map(v => v.toFixed(1)).join(","));
  say("Looking ...");
  const begun = performance.now();
  try {
    const type = file.type || "application/octet-stream";
    const answer = await ask("v1/poses?" + query, {method: "POST", body: file, headers: {"Content-Type": type}});
    if (mine !== turn) return;
    if (!answer.ok) { found = null; draw(); say(await message(answer), true); return; }
    const told = await answer.json();
    if (mine !== turn) return;
    found = told.pictures[0];
    at("answer").textContent = JSON.stringify(told, null, 1);
    if (!picture) { canvas.width = found.width; canvas.height = found.height; }
    const n = found.poses.length, ms = Math.round(performance.now() - begun);
    const there = found.poses.map(p => p.presence.toFixed(2)).join(", ");
    say(n + (n === 1 ? " pose" : " poses") + " in " + ms + " ms" + (n ? ", presence " + there : ""));
    draw();
  } catch { if (mine === turn) say("The service does not answer.", true); }
}
function draw() {
  at("clear").hidden = !boxes.length;
  const room = [document.body.clientWidth - 32, Math.max(canvas.width, 480), innerHeight * .75 * canvas.width / canvas.height];
  canvas.style.width = Math.min(...room) + "px";
  pen.clearRect(0, 0, canvas.width, canvas.height);
  if (picture) pen.drawImage(picture, 0, 0);
  const unit = Math.max(canvas.width, canvas.height) / 300, least = Number(at("least").value);
  pen.lineWidth = unit; pen.strokeStyle = "#ffd43b"; pen.setLineDash([4 * unit, 3 * unit]);
  for (const b of drag ? [...boxes, drag] : boxes) pen.strokeRect(b[0] + .5, b[1] + .5, b[2] - b[0], b[3] - b[1]);
  pen.setLineDash([]);
  at("points").replaceChildren();
  if (!found) return;
  const m = models[at("model").value], names = m.skeleton.keypoints;
  const head = make("tr", null, at("points"));
  for (const word of ["pose", "keypoint", "x", "y", "score"]) make("th", word, head);
  found.poses.forEach((pose, number) => {
    const k = pose.keypoints, seen = i => k[i] && k[i][2] >= least;
    m.skeleton.links.forEach(([a, b], i) => {
      if (!seen(a) || !seen(b)) return;
      pen.strokeStyle = "rgb(" + (m.skeleton.link_colours[i] || [0, 200, 255]).join(",") + ")";
      pen.lineWidth = 1.6 * unit;
      pen.beginPath(); pen.moveTo(k[a][0] + .5, k[a][1] + .5); pen.lineTo(k[b][0] + .5, k[b][1] + .5); pen.stroke();
    });
    k.forEach(([x, y, score], i) => {
      const row = make("tr", null, at("points"));
      for (const word of [number, names[i], x.toFixed(1), y.toFixed(1), score.toFixed(2)]) make("td", word, row);
      if (score < least) return;
      pen.beginPath(); pen.arc(x + .5, y + .5, 1.7 * unit, 0, 7);
      pen.fillStyle = "#fff"; pen.fill(); pen.lineWidth = .6 * unit; pen.strokeStyle = "#000"; pen.stroke();
    });
  });
}
function place(e) {
  const r = canvas.getBoundingClientRect();
  return [(e.clientX - r.left) * canvas.width / r.width - .5, (e.clientY - r.top) * canvas.height / r.height - .5];
}
let from = null;
canvas.onpointerdown = e => { from = place(e); canvas.setPointerCapture(e.pointerId); };
canvas.onpointermove = e => {
  if (!from) return;
  const to = place(e);
  drag = [Math.min(from[0], to[0]), Math.min(from[1], to[1]), Math.max(from[0], to[0]), Math.max(from[1], to[1])];
  draw();
};
canvas.onpointerup = () => {
  if (drag && drag[2] - drag[0] > 4 && drag[3] - drag[1] > 4) { boxes.push(drag); look(); }
  from = drag = null;
  draw();
};
at("clear").onclick = () => { boxes = []; draw(); look(); };
at("file").onchange = e => load(e.target.files[0]);
at("model").onchange = () => { found = null; chosen(); look(); };
at("flip").onchange = look;
at("least").oninput = () => { at("shown").textContent = Number(at("least").value).toFixed(2); draw(); };
token.onchange = start;
addEventListener("dragover", e => { e.preventDefault(); at("drop").className = "over"; });
addEventListener("dragleave", () => { at("drop").className = ""; });
addEventListener("drop", e => { e.preventDefault(); at("drop").className = ""; load(e.dataTransfer.files[0]); });
addEventListener("paste", e => load([...e.clipboardData.files][0]));
start();
</script>
</body>
</html>
"""
)

DOCS = (
    """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>posewright: the interface</title>
<style>"""
    + _STYLE
    + """
section { border-top: 1px solid var(--line); padding: .4rem 0 1rem; }
code { font-size: .95em; } .method { font-weight: 700; color: var(--accent); }
textarea { width: 100%; min-height: 5rem; font-family: monospace; font-size: 13px; }
</style>
</head>
<body>
<h1 id="title">The interface</h1>
<p class="soft"><span id="about"></span> The whole as OpenAPI: <a href="openapi.json">openapi.json</a>.
<a href="./">Try a picture.</a></p>
<div class="row">
<label>Token <input id="token" type="password" size="16" autocomplete="off" placeholder="if it needs one"></label>
</div>
<div id="operations"></div>
<h2>What goes in and out</h2>
<div id="schemas"></div>
<script>"""
    + _COMMON
    + """
let api = null;
function follow(schema) {
  return schema && schema.$ref ? api.components.schemas[schema.$ref.split("/").pop()] : schema;
}
function words(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  const any = schema.anyOf || schema.oneOf;
  if (any) return any.map(words).join(" or ");
  if (schema.type === "array") return "list of " + words(schema.items || {});
  const more = schema.additionalProperties;
  if (more && more !== true) return "object of " + words(more);
  return (schema.type || "anything") + (schema.format && schema.format !== "picture" ? " (" + schema.format + ")" : "");
}
function fields(schema, parent) {
  schema = follow(schema);
  if (!schema || !schema.properties) { make("p", words(schema), parent); return; }
  const table = make("table", null, parent);
  for (const [name, field] of Object.entries(schema.properties)) {
    const row = make("tr", null, table);
    make("code", name, make("td", null, row));
    const bounds = ["minimum", "maximum", "minItems", "maxItems"].filter(b => b in field).map(b => b + " " + field[b]);
    make("td", [words(field), ...bounds].join(", ") + ((schema.required || []).includes(name) ? ", required" : ""), row);
    make("td", field.description || "", row, {className: "soft"});
    if (field.items && field.items.properties) fields(field.items, make("td", null, make("tr", null, table), {colSpan: 3}));
  }
}
function operation(path, method, op) {
  const part = make("section", null, at("operations"));
  const head = make("h2", null, part);
  make("span", method.toUpperCase() + " ", head, {className: "method"});
  make("code", path, head);
  make("p", op.summary + ". " + (op.description || "") + (op.security ? " Needs the token." : ""), part);
  const query = {}, form = make("div", null, part);
  if ((op.parameters || []).length) {
    const table = make("table", null, form);
    for (const p of op.parameters) {
      const row = make("tr", null, table);
      make("code", p.name, make("td", null, row));
      query[p.name] = make("input", null, make("td", null, row), {size: 14, ariaLabel: p.name});
      make("td", words(p.schema), row);
      make("td", p.description || p.schema.description || "", row, {className: "soft"});
    }
  }
  let type = null, file = null, text = null;
  if (op.requestBody) {
    const row = make("div", null, form, {className: "row"});
    type = make("select", null, make("label", "Body ", row));
    for (const kind of Object.keys(op.requestBody.content)) make("option", kind, type);
    file = make("input", null, row, {type: "file", multiple: true, ariaLabel: "picture"});
    text = make("textarea", null, form, {hidden: true, ariaLabel: "JSON", placeholder: '{"pictures": [{"data": "..."}]}'});
    const shown = make("details", null, form);
    make("summary", "Its fields", shown);
    const inside = make("div", null, shown);
    type.onchange = () => {
      text.hidden = type.value !== "application/json";
      file.hidden = !text.hidden;
      inside.replaceChildren();
      fields(op.requestBody.content[type.value].schema, inside);
    };
    type.onchange();
  }
  const row = make("div", null, part, {className: "row"}), answer = make("pre", null, part, {hidden: true});
  make("button", "Try it", row).onclick = async () => {
    const values = new URLSearchParams();
    for (const [name, input] of Object.entries(query)) {
      const many = name === "box" ? input.value.split(/[;\\s]+/) : [input.value];
      for (const one of many) if (one) values.append(name, one);
    }
    const more = {method: method.toUpperCase(), headers: {}};
    if (type) {
      if (type.value === "multipart/form-data") {
        more.body = new FormData();
        for (const one of file.files) more.body.append("picture", one);
      } else {
        more.headers["Content-Type"] = type.value;
        more.body = type.value === "application/json" ? text.value : file.files[0];
      }
    }
    answer.hidden = false;
    answer.textContent = "...";
    try {
      const got = await ask(path.slice(1) + (values.size ? "?" + values : ""), more);
      let body = await got.text();
      try { body = JSON.stringify(JSON.parse(body), null, 1); } catch { /* not JSON */ }
      answer.textContent = got.status + " " + got.statusText + "\\n" + body;
    } catch (error) { answer.textContent = String(error); }
  };
  const answers = make("table", null, part);
  for (const [status, a] of Object.entries(op.responses)) {
    const row = make("tr", null, answers), content = Object.values(a.content || {})[0];
    make("td", status, row); make("td", a.description, row, {className: "soft"}); make("td", words((content || {}).schema), row);
  }
}
async function start() {
  api = await (await fetch("openapi.json")).json();
  at("title").textContent = api.info.title + " " + api.info.version + ": the interface";
  at("about").textContent = api.info.description;
  for (const [path, methods] of Object.entries(api.paths))
    for (const [method, op] of Object.entries(methods)) operation(path, method, op);
  for (const [name, schema] of Object.entries(api.components.schemas)) {
    make("h2", name, at("schemas"));
    make("p", schema.description || "", at("schemas"), {className: "soft"});
    fields(schema, at("schemas"));
  }
}
start();
</script>
</body>
</html>
"""
)
