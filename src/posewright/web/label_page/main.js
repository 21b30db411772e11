// The page put together: keys and buttons, what the server tells, and what the header says of it.

import {ANYWHERE, FLICKS, keypointActions, objectActions, pictureActions, viewActions} from "./actions.js";
import {Hands} from "./hands.js";
import {meant} from "./keys.js";
import {Panel} from "./panel.js";
import {Pictures} from "./pictures.js";
import {Pointer} from "./pointer.js";
import {Proposals} from "./proposals.js";
import {Sync, post} from "./sync.js";
import {View} from "./view.js";
import {Work} from "./work.js";

const at = id => document.getElementById(id);
const stage = at("stage");
const overview = await (await fetch("set")).json();
const work = new Work(overview, new View(stage, at("picture"), at("overlay")));
const proposals = new Proposals(work);
const pictures = new Pictures(work, () => pointer.cancel());
const pointer = new Pointer(work.view, new Hands(work, proposals, () => !pictures.turning));
const actions = {
  ...pictureActions(work, pictures), ...keypointActions(work, proposals), ...objectActions(work, proposals),
  ...viewActions(work, pointer),
};

function act(action) {
  if (ANYWHERE.includes(action)) actions[action]();
  else pictures.whenThere(() => work.sheet && actions[action](), FLICKS.includes(action));
}

const panel = work.panel = new Panel(overview, work.colours, {
  act(action) {
    act(action);
    if (["next", "previous", "help"].includes(action)) return;
    if (document.activeElement?.matches(":focus-visible")) return; // who came by keyboard stays where they are
    stage.focus();
  },
  chooseKeypoint: k => pictures.whenThere(() => work.sheet && actions.choose(k)),
  chooseObject: o => pictures.whenThere(() => work.sheet && actions.chooseObject(o)),
});

// -- what the server tells --------------------------------------------------------------------------------------------

let pages = 1, problem = "", overtaken = false, modelTrouble = overview.trouble;
const sync = work.sync = new Sync({
  changed: showSaved,
  refused(_, reason) {
    panel.say("Not saved: " + reason);
    work.redraw();
  },
  overtaken(which) {
    work.note(which);
    panel.say("Picture " + (which.index + 1) + " was changed in another tab meanwhile: that is shown. Ctrl-Z brings yours back.");
    work.redraw();
  },
  connected() {
    for (const sheet of pictures.sheets.values()) {
      if (sheet.proposals === null) proposed({picture: sheet.index}).catch(() => {}); // told before anybody listened
    }
  },
  happened(event) {
    if (event.kind === "pages") pages = event.count;
    if (event.kind === "saved") ({problem, overtaken} = event);
    if (event.kind === "trouble") modelTrouble = event.reason;
    const told = {proposed, changed}[event.kind];
    told?.(event)?.catch(() => {}); // what could not be fetched is fetched when the picture is looked at
  },
});

async function proposed(event) {
  pictures.order.learn(event.picture, event.uncertainty);
  await pictures.fetching.get(event.picture); // which may have been answered just before
  const waiting = pictures.sheets.get(event.picture);
  if (!waiting || waiting.proposals !== null) return;
  waiting.proposals = (await (await fetch("picture/" + event.picture)).json()).proposals;
  work.redraw();
}

/** Another tab has changed a picture: it is shown as it is now, unless a hand is on it here. */
async function changed(event) {
  if (event.by === sync.client) return;
  overview.pictures[event.picture].splice(1, 3, Boolean(event.labelled), Boolean(event.done), Boolean(event.flagged));
  work.redraw();
  const other = pictures.sheets.get(event.picture);
  if (!other) return;
  const answer = await (await fetch("picture/" + event.picture)).json();
  if (sync.waiting.includes(other) || (other === work.sheet && pointer.busy)) return; // what is sent meets it there
  other.take(answer);
  if (other === work.sheet) work.active = Math.min(work.active, Math.max(other.objects.length - 1, 0));
  work.redraw();
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
    panel.showBanner(problem, overtaken ? "Write mine, keep the other as a copy" : null, () => post("overwrite"));
  } else if (pages > 1) {
    panel.showBanner("This page is open in " + pages + " tabs. Each shows what the other changes, but work in one of them.");
  } else {
    panel.showBanner(modelTrouble);
  }
}

// -- keys -------------------------------------------------------------------------------------------------------------

/** Keys that buttons and lists need for themselves act only while the picture, or nothing, has the focus. */
const OWN = ["Tab", "Enter", " ", "ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "PageUp", "PageDown", "Home", "End"];

/** Actions that a key held down does again and again. */
const REPEATED = ["next", "previous", "later", "earlier", "closer", "further", "undo", "redo"];

document.addEventListener("keydown", e => {
  if (at("help").open || e.isComposing) {
    if (e.key === "?") panel.help();
    return;
  }
  const here = [stage, document.body].includes(document.activeElement);
  if (!here && OWN.includes(e.key)) return;
  if (e.key === " ") {
    pointer.setSpace(true);
    return e.preventDefault();
  }
  const told = meant(e);
  if (!told || (e.repeat && told.action && !REPEATED.includes(told.action))) return;
  e.preventDefault();
  if (pointer.busy && told.action !== "leave") return;
  if (told.move) pictures.whenThere(() => work.sheet && actions.move(told.move));
  else act(told.action);
});
document.addEventListener("keyup", e => {
  if (e.key === " ") pointer.setSpace(false);
});
window.addEventListener("blur", () => pointer.setSpace(false));
window.addEventListener("beforeunload", e => {
  if (sync.waiting.length) e.preventDefault();
});
window.addEventListener("pagehide", () => sync.leave());
new ResizeObserver(() => {
  work.view.resize();
  work.redraw();
}).observe(stage);

work.view.resize();
showSaved();
const wanted = parseInt(location.hash.slice(1)) - 1;
const todo = overview.pictures.findIndex(([, some, done]) => !some && !done);
await pictures.show(wanted >= 0 && wanted < overview.pictures.length ? wanted : Math.max(todo, 0));
stage.focus();
