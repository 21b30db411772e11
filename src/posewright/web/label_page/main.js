// The page: which picture and object is at hand, and what each action does.

import * as edit from "./edit.js";
import {meant} from "./keys.js";
import {Order} from "./order.js";
import {Panel} from "./panel.js";
import {Pointer} from "./pointer.js";
import {Sheet} from "./sheet.js";
import {Sync, post} from "./sync.js";
import {View} from "./view.js";

const PALETTE = ["#f5be28", "#28c3cd", "#c850dc", "#3cb44b", "#eb4034", "#4287f5", "#ff8c69", "#9acd32"];
const KEPT = 6; // pictures kept decoded
const LIGHTS = ["", "light1", "light2", "light3"];
const LIGHT_WORDS = ["as it is", "brighter", "much brighter", "more contrast"];

const at = id => document.getElementById(id);
const overview = await (await fetch("set")).json();
const count = overview.keypoints.length;
const linkColours = overview.colours.map(([r, g, b]) => `rgb(${r} ${g} ${b})`);
const colours = overview.keypoints.map((_, k) => {
  const link = overview.links.findIndex(ends => ends.includes(k));
  return link < 0 ? PALETTE[k % PALETTE.length] : linkColours[link];
});

const view = new View(at("stage"), at("picture"), at("overlay"));
const order = new Order(overview.pictures.length, overview.order === "uncertain", overview.uncertainty);
const sheets = new Map(), images = new Map();
let index = -1, sheet = null, active = 0, chosen = 0;
let boxing = false, drawn = null, before = null, last = null, zoomed = false, light = 0;
let showNames = false, bare = false, showing = "auto";

// -- the present picture ----------------------------------------------------------------------------------------------

const fetched = new Map();
async function sheetOf(i, again = false) {
  if (sheets.has(i) && !again) return sheets.get(i);
  if (!fetched.has(i)) {
    fetched.set(i, fetch("picture/" + i).then(r => r.json()).finally(() => fetched.delete(i)));
  }
  const answer = await fetched.get(i);
  if (!sheets.has(i)) sheets.set(i, new Sheet(i, answer));
  return sheets.get(i);
}

function imageOf(i) {
  let found = images.get(i);
  if (!found) {
    found = new Image();
    found.src = "pixels/" + i;
    found.ready = found.decode().then(() => true, () => false);
  }
  images.delete(i);
  images.set(i, found);
  for (const old of images.keys()) {
    if (images.size > KEPT && old !== index) images.delete(old);
  }
  return found;
}

async function show(wanted) {
  if (wanted === null) return panel.say("That was the last picture in this direction.");
  if (wanted === index) return;
  pointer.cancel();
  if (sheet && edit.anyLabelled(sheet.objects)) last = sheet;
  index = wanted;
  order.visit(index);
  order.arrange(i => overview.pictures[i][2]);
  panel.showPlace(order.place(index), index);
  let found;
  try {
    found = await sheetOf(wanted);
  } catch {
    index = -1;
    return panel.say("The program has gone: this picture cannot be fetched.");
  }
  const image = imageOf(wanted), well = await image.ready;
  if (index !== wanted) return;
  history.replaceState(null, "", "#" + (index + 1));
  if (!well) images.delete(wanted);
  [sheet, boxing, drawn, zoomed] = [found, false, null, false];
  active = 0;
  chosen = sheet.objects.length ? edit.nextMissing(sheet.objects[0], -1) ?? 0 : 0;
  view.image = well ? image : null;
  view.fit();
  panel.showBroken(well ? "" : await why(wanted));
  redraw();
  const following = order.from(index, 1);
  if (following !== null) {
    imageOf(following);
    sheetOf(following).catch(() => {});
  }
}

async function why(i) {
  try {
    const answer = await fetch("pixels/" + i);
    return answer.ok ? "This browser cannot show the picture." : await answer.text();
  } catch {
    return "The program has gone.";
  }
}

const object = () => sheet?.objects[active];
const shownPoint = k => object()?.points[k] ?? [0, 0, 0];

/** A step that can be undone, and is sent at once. */
function change(objects, merge = null) {
  sheet.change(objects, merge);
  settled();
}

function settled() {
  active = Math.min(active, Math.max(sheet.objects.length - 1, 0));
  overview.pictures[sheet.index][1] = sheet.objects.some(edit.exists);
  sync.push(sheet);
  redraw();
}

/** The active object, begun where there is none. */
function begun() {
  if (!sheet.objects.length) {
    active = 0;
    return [edit.empty(count)];
  }
  return sheet.objects;
}

// -- what is seen -----------------------------------------------------------------------------------------------------

/** Proposals to show whole, and for the active object what it lacks of one. */
function proposals() {
  const all = sheet?.proposals || [];
  if (showing === "never" || !all.length) return [];
  const shaped = all.map(p => ({...p, points: p.points.map(q => q && (q[2] ? q : null))}));
  if (showing === "always" || !edit.anyLabelled(sheet.objects)) return shaped;
  const mine = object() && edit.nearest(shaped, object());
  if (!mine) return [];
  return [{...mine, points: mine.points.map((p, k) => (object().points[k][2] ? null : p))}];
}

let asked = false;
function redraw() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(draw);
}

function draw() {
  asked = false;
  if (!sheet) return;
  view.drawPicture();
  view.drawOverlay({
    links: overview.links, colours: linkColours, points: colours, names: overview.keypoints, scores: count <= 30,
    objects: sheet.objects, active, chosen, proposals: proposals(), drawn, showNames, bare,
  });
  panel.showSheet(sheet, active, chosen);
  panel.showProgress();
  panel.showHint(colours[chosen], hint());
}

function hint() {
  if (!view.image) return [];
  if (boxing) return ["Box", "drag from corner to corner, Escape leaves it"];
  if (!edit.anyLabelled(sheet.objects) && proposals().length) {
    return [overview.keypoints[chosen], "click to place it, or a to accept the proposal"];
  }
  if (overview.model && sheet.proposals === null) return [overview.keypoints[chosen], "click to place it (the model is still looking)"];
  const name = overview.keypoints[chosen], v = shownPoint(chosen)[2];
  if (v === 0) return [name, "click to place it"];
  const next = edit.nextMissing(object(), chosen);
  const then = next === null ? "all placed: Enter for done" : "drag or arrows move it, a click places " + overview.keypoints[next];
  return [name + (v === 1 ? ", hidden" : ""), then];
}

// -- by hand ----------------------------------------------------------------------------------------------------------

const hands = {
  get boxing() {
    return boxing;
  },

  /** The keypoint within `near` screen pixels: of the active object first, then of others, then of proposals. */
  find(place, near) {
    if (!sheet || !view.image || bare) return null;
    let best = null, least = near;
    const look = (points, hit, handicap) => points.forEach((p, k) => {
      if (!p || !p[2]) return;
      const [x, y] = view.toScreen(p), far = Math.hypot(x - place[0], y - place[1]) + handicap;
      if (far < least) [best, least] = [{...hit, k}, far];
    });
    sheet.objects.forEach((o, i) => look(o.points, {o: i}, i === active ? 0 : 2));
    if (!best) proposals().forEach(proposal => look(proposal.points, {proposal}, 0));
    return best;
  },

  choose(hit) {
    if (hit.proposal) {
      if (edit.anyLabelled(sheet.objects)) {
        const [x, y, v] = hit.proposal.points[hit.k];
        change(edit.withPoint(sheet.objects, active, hit.k, [...edit.inside([x, y], view.size), v]));
      } else {
        accept(hit.k);
      }
      chosen = hit.k;
    } else {
      [active, chosen] = [hit.o, hit.k];
    }
    redraw();
  },

  held() {
    before = sheet.objects;
    return shownPoint(chosen);
  },

  /** Put the chosen keypoint down, where there is one to put; a drag may follow until drop(). */
  place(place, hidden, force) {
    if (!sheet || !view.image) return false;
    if (shownPoint(chosen)[2] && !force) {
      const next = edit.nextMissing(object(), chosen);
      if (next === null) {
        panel.say("All are placed. Drag one to move it, or w for a new object.");
        return false;
      }
      chosen = next;
    }
    const objects = begun();
    before = sheet.objects;
    const v = hidden ? 1 : force && shownPoint(chosen)[2] === 1 ? 1 : 2;
    sheet.objects = edit.withPoint(objects, active, chosen, [...edit.inside(place, view.size), v]);
    this.placed = !force || !before[active]?.points[chosen][2];
    redraw();
    return true;
  },

  moveTo(point) {
    const v = shownPoint(chosen)[2];
    sheet.objects = edit.withPoint(sheet.objects, active, chosen, [...edit.inside(point, view.size), v]);
    redraw();
  },

  /** The gesture is over: what came of it is one step. */
  drop() {
    const after = sheet.objects;
    sheet.objects = before;
    if (after !== before) change(after);
    if (this.placed) chosen = edit.nextMissing(object(), chosen) ?? chosen;
    this.placed = false;
    redraw();
  },

  putBack() {
    sheet.objects = before;
    this.placed = false;
    redraw();
  },

  box(from, to, final) {
    if (!from) {
      drawn = null;
      return redraw();
    }
    const [a, b] = [from, to].map(p => edit.inside(p, view.size));
    drawn = [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[0], b[0]), Math.max(a[1], b[1])];
    if (final) {
      const [x0, y0, x1, y1] = drawn;
      [drawn, boxing] = [null, false];
      if (x1 - x0 >= 1 && y1 - y0 >= 1) change(edit.withBox(begun(), active, [x0, y0, x1, y1]));
    }
    redraw();
  },

  redraw,
};

function move([dx, dy]) {
  if (!sheet || !view.image) return;
  const point = shownPoint(chosen);
  if (!point[2]) {
    put();
    return;
  }
  const place = edit.inside([point[0] + dx, point[1] + dy], view.size);
  change(edit.withPoint(sheet.objects, active, chosen, [...place, point[2]]), active + "." + chosen);
  view.reveal(place);
}

/** Place the chosen keypoint without a pointer: where the model has it, else in the middle of what is seen. */
function put() {
  if (!view.image || shownPoint(chosen)[2]) return;
  const objects = begun(), own = edit.nearest(sheet.proposals, objects[active])?.points[chosen];
  const [width, height] = view.room;
  const place = own ? own.slice(0, 2) : view.toPicture([width / 2, height / 2]);
  change(edit.withPoint(objects, active, chosen, [...edit.inside(place, view.size), own ? own[2] : 2]));
}

// -- proposals --------------------------------------------------------------------------------------------------------

function accept(chosenPoint = null) {
  const all = sheet.proposals;
  if (!all?.length || !view.image) return panel.say(all ? "The model proposes nothing here." : "The model is still looking.");
  const rule = overview.threshold, size = view.size;
  if (!edit.anyLabelled(sheet.objects)) {
    const kept = sheet.objects.length === all.length ? sheet.objects : null;
    const objects = all.map((p, i) => edit.taken(p, rule, size, kept && kept[i]));
    if (chosenPoint !== null && !objects[0].points[chosenPoint][2]) {
      const [x, y, v] = all[0].points[chosenPoint];
      objects[0].points[chosenPoint] = [...edit.inside([x, y], size), v];
    }
    active = 0;
    change(objects);
  } else if (object()) {
    change(sheet.objects.map((o, i) => (i === active ? edit.taken(edit.nearest(all, o), rule, size, o) : o)));
  }
  chosen = edit.nextMissing(object(), -1) ?? chosen;
  redraw();
}

function overwritten(proposal) {
  const fresh = edit.taken(proposal, overview.threshold, view.size);
  const points = fresh.points.map((p, k) => (p[2] ? p : object().points[k]));
  change(sheet.objects.map((o, i) => (i === active ? {...o, points} : o)));
}

async function ask() {
  const box = object() && edit.extent(object());
  if (!box || !overview.model) return panel.say("There is no box to ask about: draw one with b.");
  const asking = sheet, which = active;
  panel.say("The model is looking...");
  const answer = await post("propose/" + sheet.index, box).catch(() => null);
  if (!answer?.ok) return panel.say(answer ? await answer.text() : "The program has gone.");
  const [found] = await answer.json();
  if (sheet !== asking || active !== which || !object()) return;
  panel.say("");
  overwritten(found);
}

// -- actions ----------------------------------------------------------------------------------------------------------

function mark(name, value = !sheet[name]) {
  sheet[name] = value;
  overview.pictures[sheet.index][name === "done" ? 2 : 3] = value;
  sync.push(sheet);
  redraw();
}

function step(by) {
  chosen = (chosen + by + count) % count;
  if (shownPoint(chosen)[2]) view.reveal(shownPoint(chosen));
  redraw();
}

function otherObject(by) {
  if (!sheet.objects.length) return;
  active = (active + by + sheet.objects.length) % sheet.objects.length;
  chosen = edit.nextMissing(object(), -1) ?? chosen;
  redraw();
}

function go(fits, none) {
  const found = order.find(index, fits);
  if (found === null || found === index) panel.say(none);
  else show(found);
}

const row = i => overview.pictures[i];
const actions = {
  next: () => show(order.from(index, 1)),
  previous: () => show(order.from(index, -1)),
  first: () => show(order.list[0]),
  last: () => show(order.list.at(-1)),
  finish() {
    mark("done", true);
    const following = order.from(index, 1);
    if (following === null) panel.say("Done. That was the last picture.");
    else show(following);
  },
  done: () => mark("done"),
  flag: () => mark("flagged"),
  unlabelled: () => go(i => !row(i)[1] && !row(i)[2], "Every other picture is labelled or done."),
  undone: () => go(i => !row(i)[2], "Every other picture is done."),
  flagged: () => go(i => row(i)[3], "No other picture is flagged."),
  later: () => step(1),
  earlier: () => step(-1),
  put,
  hide() {
    const [x, y, v] = shownPoint(chosen);
    if (v) change(edit.withPoint(sheet.objects, active, chosen, [x, y, 3 - v]));
  },
  clear: () => shownPoint(chosen)[2] && change(edit.withPoint(sheet.objects, active, chosen, [0, 0, 0])),
  swap: () => swap(null),
  swapOne: () => swap(chosen),
  new() {
    if (object() && !edit.exists(object())) return;
    active = sheet.objects.length;
    chosen = 0;
    change([...sheet.objects, edit.empty(count)]);
  },
  nextObject: () => otherObject(1),
  previousObject: () => otherObject(-1),
  remove() {
    if (!object()) return;
    change(edit.without(sheet.objects, active));
    panel.say("Object deleted: Ctrl-Z brings it back.");
  },
  box() {
    boxing = !boxing;
    redraw();
  },
  unbox: () => object()?.box && change(edit.withBox(sheet.objects, active, null)),
  copy() {
    if (!last || last === sheet) return panel.say("No labelled picture was seen before this one.");
    if (edit.anyLabelled(sheet.objects)) return panel.say("This picture has labels already.");
    active = 0;
    change(edit.copied(last.objects, view.size));
    chosen = edit.nextMissing(object(), -1) ?? 0;
    redraw();
  },
  accept: () => overview.model && accept(),
  replace() {
    const found = object() && edit.nearest(sheet.proposals, object());
    if (found) overwritten(found);
  },
  ask,
  proposals() {
    if (!overview.model) return;
    showing = {auto: "always", always: "never", never: "auto"}[showing];
    panel.say("Proposals are shown " + {auto: "where nothing is labelled", always: "always", never: "never"}[showing] + ".");
    redraw();
  },
  zoom() {
    const box = !zoomed && object() && edit.extent(object());
    zoomed = Boolean(box);
    if (box) view.zoomTo(box);
    else view.fit();
    redraw();
  },
  fit() {
    zoomed = false;
    view.fit();
    redraw();
  },
  closer: () => zoomBy(1.25),
  further: () => zoomBy(0.8),
  light() {
    light = (light + 1) % LIGHTS.length;
    at("picture").className = LIGHTS[light];
    panel.say("Picture " + LIGHT_WORDS[light] + ".");
  },
  names() {
    showNames = !showNames;
    redraw();
  },
  bare() {
    bare = !bare;
    if (bare) panel.say("Labels are hidden: h shows them.");
    redraw();
  },
  undo: () => (sheet.undo() ? settled() : panel.say("Nothing to undo on this picture.")),
  redo: () => (sheet.redo() ? settled() : panel.say("Nothing to do again on this picture.")),
  leave() {
    if (pointer.busy) return pointer.cancel();
    if (boxing) {
      boxing = false;
      return redraw();
    }
    if (document.activeElement === at("stage")) document.querySelector("[data-action=previous]").focus();
    else at("stage").focus();
  },
  help: () => panel.help(),
  async quit() {
    const answer = await post("quit").catch(() => null);
    if (answer?.ok) sync.end();
  },
};

function swap(only) {
  if (!object() || !overview.swaps.length) return panel.say("These keypoints have no left and right.");
  change(edit.swapped(sheet.objects, active, overview.swaps, only));
}

function zoomBy(factor) {
  const point = shownPoint(chosen), [width, height] = view.room;
  view.zoomAt(point[2] ? view.toScreen(point) : [width / 2, height / 2], factor);
  redraw();
}

function act(action) {
  if (action === "help" || action === "quit" || sheet) actions[action]();
}

// -- what else happens ------------------------------------------------------------------------------------------------

let pages = 1, problem = "";
const sync = new Sync({
  changed: showSaved,
  refused(which, reason) {
    panel.say("Not saved: " + reason);
    redraw();
  },
  overtaken(which) {
    noted(which);
    panel.say("Picture " + (which.index + 1) + " was changed in another tab meanwhile: that is shown. Ctrl-Z brings yours back.");
    redraw();
  },
  happened,
});

function noted(which) {
  overview.pictures[which.index].splice(1, 3, which.objects.some(edit.exists), which.done, which.flagged);
}

async function happened(event) {
  if (event.kind === "pages") pages = event.count;
  if (event.kind === "saved") problem = event.problem;
  if (event.kind === "proposed") {
    order.learn(event.picture, event.uncertainty);
    const waiting = sheets.get(event.picture);
    if (waiting && waiting.proposals === null) {
      waiting.proposals = (await (await fetch("picture/" + event.picture)).json()).proposals;
      redraw();
    }
  }
  if (event.kind === "changed" && event.by !== sync.client) {
    overview.pictures[event.picture].splice(1, 3, Boolean(event.labelled), Boolean(event.done), Boolean(event.flagged));
    const other = sheets.get(event.picture);
    if (other && !sync.waiting.includes(other) && !(other === sheet && pointer.busy)) {
      other.take(await (await fetch("picture/" + event.picture)).json());
      if (other === sheet) active = Math.min(active, Math.max(other.objects.length - 1, 0));
    }
    redraw();
  }
}

function showSaved() {
  const many = sync.waiting.length;
  if (sync.gone || (sync.ended && many)) {
    panel.showSaved(many ? many + " not saved" : "Not connected", "bad");
    const wait = many ? "What you changed waits in this tab: leave it open. " : "";
    const gone = "The program behind this page has gone. " + wait + "Start the same posewright label command again.";
    panel.showBanner(sync.trouble ? sync.trouble + ". " + wait : gone);
    return;
  }
  panel.showSaved(many ? "Saving..." : "Saved", many ? "wait" : "");
  if (sync.ended) {
    panel.showBanner(problem ? problem + ". The program has ended." : "Ended, and all is saved: this tab can be closed.");
  } else if (problem) {
    panel.showSaved("Needs you", "bad");
    const another = problem.includes("another program");
    panel.showBanner(problem, another ? "Write mine, keep the other as a copy" : null, () => post("overwrite"));
  } else if (pages > 1) {
    panel.showBanner("This page is open in " + pages + " tabs. Each shows what the other changes, but work in one of them.");
  } else {
    panel.showBanner("");
  }
}

const panel = new Panel(overview, colours, {
  act(action) {
    act(action);
    if (["next", "previous", "help"].includes(action)) return;
    if (document.activeElement?.matches(":focus-visible")) return; // who came by keyboard stays where they are
    at("stage").focus();
  },
  chooseKeypoint(k) {
    chosen = k;
    if (shownPoint(k)[2]) view.reveal(shownPoint(k));
    redraw();
  },
  chooseObject(o) {
    active = o;
    chosen = edit.nextMissing(object(), -1) ?? chosen;
    redraw();
  },
});
const pointer = new Pointer(view, hands);

/** Keys that buttons and lists need for themselves act only while the picture, or nothing, has the focus. */
const OWN = ["Tab", "Enter", " ", "ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "PageUp", "PageDown", "Home", "End"];

/** Actions that a key held down does again and again. */
const REPEATED = ["next", "previous", "later", "earlier", "closer", "further", "undo", "redo"];

document.addEventListener("keydown", e => {
  if (at("help").open || e.isComposing) {
    if (e.key === "?") panel.help();
    return;
  }
  const here = [at("stage"), document.body].includes(document.activeElement);
  if (!here && OWN.includes(e.key)) return;
  if (e.key === " ") {
    pointer.setSpace(true);
    return e.preventDefault();
  }
  const told = meant(e);
  if (!told || (e.repeat && told.action && !REPEATED.includes(told.action))) return;
  if (pointer.busy && told.action !== "leave") return e.preventDefault();
  e.preventDefault();
  if (told.move) move(told.move);
  else act(told.action);
});
document.addEventListener("keyup", e => {
  if (e.key === " ") pointer.setSpace(false);
});
window.addEventListener("blur", () => pointer.setSpace(false));
window.addEventListener("beforeunload", e => {
  if (sync.waiting.length) e.preventDefault();
});
new ResizeObserver(() => {
  view.resize();
  redraw();
}).observe(at("stage"));

view.resize();
showSaved();
const wanted = parseInt(location.hash.slice(1)) - 1;
const todo = overview.pictures.findIndex(([, some, done]) => !some && !done);
await show(wanted >= 0 && wanted < overview.pictures.length ? wanted : Math.max(todo, 0));
at("stage").focus();
