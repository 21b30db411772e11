// The page: joins model, sources, stage and panel, and offers all of it to scripts as window.posewright.

import { LOW, nextBox } from "./follow.js";
import { isBox, sizeOf } from "./geometry.js";
import { OneEuro } from "./one_euro.js";
import { Figures, Table, about, engineWords, position, presence, progress, say } from "./panel.js";
import { load } from "./posewright.js";
import { pixelsOf, recordOf, saveFile } from "./saving.js";
import { listCameras, openCamera, openPicture, openVideo } from "./sources.js";
import { Stage } from "./stage.js";

const at = id => document.getElementById(id);
const FRAME = 1 / 30; // seconds of a step through a video
const NOT_THERE = "Not seen: the model says that the object is not there";

let model, stage, table;
let source = null, opening = 0;
let held = null;            // the last frame: {bitmap, time}; its bitmap is null while the worker has it
let box = null;             // where to look next; null for the whole picture
let paused = false, busy = false, wanted = null, filter = null, last = null;
const figures = new Figures();
const settings = { follow: true, filter: true, mirror: false, names: false, threshold: 0.2 };

// -- one frame after the other -----------------------------------------------------------------------------------------

/** Look at the next frame, or once more at the one that is held. While one is under way, the newest wish waits. */
async function look(fresh) {
  if (busy) { wanted = fresh || wanted === "fresh" ? "fresh" : "held"; return; }
  if (!source) return;
  busy = true;
  const from = source;
  try {
    let frame = held;
    if (fresh || !held) frame = await from.grab();
    if (!frame || from !== source) return;
    if (held && held.bitmap !== frame.bitmap) held.bitmap?.close();
    held = frame;
    const { bitmap, time } = frame;
    frame.bitmap = null;
    let result;
    try {
      result = await model.predictBitmap(bitmap, box);
    } catch (error) {
      frame.bitmap = error.bitmap ?? null;
      throw error;
    }
    frame.bitmap = result.bitmap;
    delete result.bitmap;
    if (from === source) take(result, time, from);
    else frame.bitmap.close();
  } catch (error) {
    if (from === source) say(error.message, true);
  } finally {
    busy = false;
    const next = wanted;
    wanted = null;
    waiting.splice(0).forEach(tell => tell());
    if (next && source) look(next === "fresh" && source.moving);
  }
}

const waiting = [];
/** Once the look under way is over. */
const settled = () => (busy ? new Promise(tell => waiting.push(tell)) : Promise.resolve());

/** The bitmap that was looked at last, once the worker has given it back. */
async function heldBitmap() {
  while (held && !held.bitmap && busy) await settled();
  return held?.bitmap ?? null;
}

function take(result, time, from) {
  const drawn = performance.now();
  const moving = from.moving, there = result.presence >= LOW;
  let keypoints = result.keypoints;
  // A frame that is looked at again is no new moment.
  const again = last !== null && last.time !== null && time === last.time;
  const back = last !== null && last.time !== null && time < last.time;
  if (!moving || !settings.filter || !there || back) filter = null;
  if (moving && settings.filter && there && !again) {
    filter ??= new OneEuro();
    const smooth = filter.update(keypoints, time, sizeOf(result.box));
    keypoints = keypoints.map(([x, y, score], k) => [
      Number.isFinite(smooth[k][0]) ? smooth[k][0] : x, Number.isFinite(smooth[k][1]) ? smooth[k][1] : y, score,
    ]);
  }
  last = { source: from.name, kind: from.kind, time, ...result, measured: result.keypoints, keypoints };
  if (moving && settings.follow && !again) box = nextBox(keypoints, result.presence);
  stage.show(held.bitmap);
  redraw();
  presence(result.presence);
  at("flag").hidden = there;
  at("flag").textContent = there ? "" : NOT_THERE;
  if (from.kind === "video") position(from.video, paused);
  last.ms.draw = performance.now() - drawn;
  figures.add(last.ms, moving && !paused);
  for (const id of ["snapshot", "download", "draw", "whole"]) at(id).disabled = false;
  offered.dispatchEvent(new CustomEvent("poses", { detail: last }));
}

function redraw() {
  if (!last) return;
  stage.mirrored = settings.mirror;
  const whole = last.box[0] <= -0.5 && last.box[1] <= -0.5 && last.box[2] >= last.width - 0.5 && last.box[3] >= last.height - 0.5;
  stage.draw({
    keypoints: last.keypoints, threshold: settings.threshold, names: settings.names, box: whole ? null : last.box,
    faint: last.presence < LOW,
  });
  table.show(last.keypoints, settings.threshold);
}

// -- sources -----------------------------------------------------------------------------------------------------------

/** Change to another source; of several wishes the last one counts. Where it cannot be opened, the old one stays, unless it is
 *  let go before: a camera may be there only once. */
async function change(open, words, before = false) {
  const mine = ++opening;
  say(words);
  let next;
  try {
    if (before) await stop();
    next = await open();
  } catch (error) {
    if (mine === opening) say(error.message, true);
    throw error;
  }
  if (mine !== opening) { next.stop(); throw new Error("another source was opened meanwhile"); }
  close();
  source = next;
  paused = false;
  settings.mirror = at("mirror").checked = source.mirrored;
  at("stage").classList.remove("empty");
  at("empty").hidden = true;
  at("pause").disabled = !source.moving;
  at("seeking").hidden = source.kind !== "video";
  tellPause();
  tellCameraButton();
  at("stage").focus({ preventScroll: true });
  await look(true);
  while (busy && !last && mine === opening) await settled(); // what was under way may still have been the old source's
  if (mine === opening && !at("status").classList.contains("bad")) {
    say(source.kind === "camera" ? `Camera runs: ${source.name}` : source.name);
  }
  return last;
}

/** Let camera or video go; its last frame stays, as a picture. */
async function stop() {
  if (!source?.moving) return;
  const { name } = source, from = source;
  from.pause();
  wanted = null;
  await settled();
  if (source !== from) return;
  from.stop();
  source = { kind: "picture", name, moving: false, mirrored: false, grab: async () => held, stop() {} };
  at("pause").disabled = true;
  at("seeking").hidden = at("cameras").hidden = true;
  tellCameraButton();
  say("Stopped");
}

function tellCameraButton() {
  at("camera-button").textContent = source?.kind === "camera" ? "Stop camera" : "Camera";
}

function close() {
  source?.stop();
  source = null;
  tellCameraButton();
  held?.bitmap?.close();
  held = last = filter = box = wanted = null;
  at("cameras").hidden = true;
  at("flag").hidden = true;
  figures.restart();
}

const newFrame = () => { if (!paused) look(true); };

async function camera(deviceId = "") {
  const ended = async () => {
    if (source?.kind !== "camera") return;
    await stop();
    say("The camera has gone.", true);
  };
  const found = await change(() => openCamera(deviceId, { frame: newFrame, ended }), "Starting the camera\u2026", true);
  await tellCameras();
  return found;
}

async function tellCameras() {
  const known = await listCameras(), choice = at("cameras");
  choice.replaceChildren(...known.map(({ id, label }) => new Option(label, id, false, id === source?.deviceId)));
  choice.hidden = source?.kind !== "camera" || known.length < 2;
}

/** Open a picture or a video file: a File, a Blob, or what else a bitmap can be made of. */
async function open(what, name = what.name || "picture") {
  const kind = what instanceof Blob ? what.type : "image/";
  const on = {
    frame: newFrame,
    seeked: () => { if (paused) look(true); }, // while it is paused, frames come only where it is moved
    ended: () => {
      paused = true;
      tellPause();
      say("The end of the video");
    },
  };
  const asVideo = () => openVideo(what, name, on), asPicture = () => openPicture(what, name);
  const either = async () => { try { return await asPicture(); } catch { return asVideo(); } };
  const how = kind.startsWith("video/") ? asVideo : kind.startsWith("image/") ? asPicture : either;
  return change(how, `Opening ${name}\u2026`);
}

const quietly = promise => promise.catch(() => {}); // what went wrong was said on the page

async function pause(now = !paused) {
  if (!source?.moving) return;
  paused = now;
  tellPause();
  say(paused ? "Paused" : "Goes on");
  if (paused) {
    source.pause();
    wanted = null;
    await settled();
    await look(true); // the frame it stopped at
  } else {
    figures.restart();
    await source.play().catch(error => say(error.message, true));
  }
}

function tellPause() {
  at("pause").textContent = paused ? "Go on" : "Pause";
}

// -- what can be set ---------------------------------------------------------------------------------------------------

function set(changes) {
  for (const [name, value] of Object.entries(changes)) {
    if (!(name in settings)) throw new Error(`unknown setting '${name}'`);
    if (name === "threshold") {
      settings.threshold = Math.min(Math.max(Number(value) || 0, 0), 1);
      at("threshold").value = settings.threshold;
      at("threshold-value").textContent = settings.threshold.toFixed(2);
    } else {
      settings[name] = at(name).checked = Boolean(value);
    }
    if (name === "filter") filter = null;
    if (name === "follow" && !value) box = null;
  }
  redraw();
}

const WORDS = { filter: "Filter", follow: "Follow", mirror: "Mirror", names: "Names" };

function toggle(name) {
  set({ [name]: !settings[name] });
  say(`${WORDS[name]} ${settings[name] ? "on" : "off"}`);
}

/** Look into a box, [x0, y0, x1, y1] in pixels of the picture, or at the whole picture where null. */
async function lookInto(where) {
  if (where !== null && !isBox(where)) throw new Error("a box is [x0, y0, x1, y1] with x0 < x1 and y0 < y1");
  if (!source) return null;
  drawMode(false);
  await settled();
  box = where;
  filter = null;
  say(where ? "Looks into the box" : "Looks at the whole picture");
  if (!source.moving || paused) { await look(false); await settled(); }
  return last;
}

function drawMode(on = !stage.drawing) {
  stage.drawing = on;
  at("draw").setAttribute("aria-pressed", String(on));
  at("stage").classList.toggle("drawing", on);
  if (on) say("Drag over the picture to draw a box around the object");
}

// -- what can be taken home --------------------------------------------------------------------------------------------

const record = () => last && recordOf(last, model.info.posewright.skeleton.name);

function download() {
  if (last) saveFile(new Blob([`${JSON.stringify(record())}\n`], { type: "application/json" }), last, ".json");
}

async function snapshot() {
  const bitmap = await heldBitmap(), found = last;
  if (!found || !bitmap) return;
  const canvas = stage.snapshot(bitmap);
  canvas.toBlob(blob => (blob ? saveFile(blob, found, ".png") : say("The snapshot could not be made", true)), "image/png");
}

/** The pixels that were looked at last, as ImageData. */
async function frame() {
  const bitmap = await heldBitmap();
  return bitmap && pixelsOf(bitmap);
}

// -- hands -------------------------------------------------------------------------------------------------------------

const KEYS = {
  " ": () => pause(), s: () => snapshot(), j: () => download(), f: () => toggle("filter"), t: () => toggle("follow"),
  m: () => toggle("mirror"), n: () => toggle("names"), b: () => last && drawMode(), w: () => lookInto(null),
  o: () => at("file").click(), c: () => at("camera-button").click(), "?": () => at("help").showModal(),
  ArrowLeft: () => step(-FRAME), ArrowRight: () => step(FRAME),
  Escape: () => { stage.cancel(); drawMode(false); },
};

function step(seconds) {
  if (source?.kind !== "video" || !paused) return false;
  source.step(seconds);
  return true;
}

function listen() {
  document.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey || at("help").open) return;
    const on = event.target, key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    // What has the focus keeps the keys that it needs itself.
    if (on.matches("select, input:not([type=checkbox]), textarea") && (key === " " || key.startsWith("Arrow") || on.tagName === "SELECT")) return;
    if (key === " " && on.matches("button, input, summary, .scroll")) return;
    if (!KEYS[key] || KEYS[key]() === false) return;
    event.preventDefault();
  });
  at("camera-button").addEventListener("click", () => (source?.kind === "camera" ? stop() : quietly(camera(at("cameras").value))));
  at("file-button").addEventListener("click", () => at("file").click());
  at("file").addEventListener("change", () => {
    const [file] = at("file").files;
    if (file) quietly(open(file));
    at("file").value = ""; // so that the same file can be chosen again
  });
  at("cameras").addEventListener("change", () => quietly(camera(at("cameras").value)));
  navigator.mediaDevices?.addEventListener?.("devicechange", () => source?.kind === "camera" && tellCameras());
  at("pause").addEventListener("click", () => pause());
  at("draw").addEventListener("click", () => drawMode());
  at("whole").addEventListener("click", () => lookInto(null));
  at("snapshot").addEventListener("click", snapshot);
  at("download").addEventListener("click", download);
  at("help-button").addEventListener("click", () => at("help").showModal());
  at("seek").addEventListener("input", () => { if (source?.kind === "video") source.video.currentTime = Number(at("seek").value); });
  for (const name of ["filter", "follow", "mirror", "names"]) at(name).addEventListener("change", () => set({ [name]: at(name).checked }));
  at("threshold").addEventListener("input", () => set({ threshold: at("threshold").value }));
  at("engine-choice").addEventListener("change", () => {
    const address = new URL(location.href);
    address.searchParams.set("engine", at("engine-choice").value);
    location.href = address.href;
  });
  const zone = document.documentElement;
  zone.addEventListener("dragover", event => { event.preventDefault(); at("stage").classList.add("over"); });
  zone.addEventListener("dragleave", () => at("stage").classList.remove("over"));
  zone.addEventListener("drop", event => {
    event.preventDefault();
    at("stage").classList.remove("over");
    const [file] = event.dataTransfer.files;
    if (file) quietly(open(file));
    else say("Only files can be dropped here: save the picture first", true);
  });
  document.addEventListener("paste", event => {
    const [file] = event.clipboardData?.files ?? [];
    if (file) quietly(open(file, file.name || "pasted picture"));
  });
}

// -- for scripts -------------------------------------------------------------------------------------------------------

class Offered extends EventTarget {
  ready = begin();
  get model() { return model; }
  get info() { return model?.info ?? null; }
  get last() { return last; }
  get settings() { return { ...settings }; }
  get paused() { return paused; }
  get video() { return source?.video ?? null; }
  get rate() { return figures.rate; }
  camera = camera;
  open = open;
  stop = stop;
  pause = pause;
  set = set;
  lookInto = lookInto;
  frame = frame;
  record = record;
  settled = settled;
}

async function begin() {
  await null; // until all of this file has run
  at("unserved").hidden = true;
  at("loading").hidden = false;
  at("stage").classList.add("empty");
  const engine = new URL(location.href).searchParams.get("engine") ?? "auto";
  try {
    model = await load({ engine, progress });
  } catch (error) {
    at("loading").hidden = true;
    say(`The model cannot be run here: ${error.message}`, true);
    throw error;
  }
  at("engine-choice").value = engine;
  const { skeleton } = model.info.posewright;
  document.title = `${model.info.name}: keypoints`;
  at("title").textContent = model.info.name;
  at("subtitle").textContent = `${skeleton.keypoints.length} keypoints of '${skeleton.name}'`;
  at("engine").textContent = engineWords(model);
  at("engine").title = model.reason;
  stage = new Stage(at("stage"), skeleton, where => lookInto(where));
  table = new Table(skeleton, stage.colours);
  about(model);
  listen();
  at("loading").hidden = true;
  at("invitation").hidden = false;
  at("camera-button").disabled = at("file-button").disabled = false;
  say("Ready");
  return model.info;
}

const offered = new Offered();
offered.ready.catch(() => {}); // said on the page
window.posewright = offered;
