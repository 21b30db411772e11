// What the keys and buttons do; keys.js has the same names with their keys.

import * as edit from "./edit.js";
import {post} from "./sync.js";

const LIGHTS = ["", "light1", "light2", "light3"];
const LIGHT_WORDS = ["as it is", "brighter", "much brighter", "more contrast"];

/** Actions that lead to another picture: they need not wait for one that is still on its way. */
export const FLICKS = ["next", "previous", "first", "last"];

/** Actions that need no picture. */
export const ANYWHERE = ["help", "quit"];

export function pictureActions(work, pictures) {
  function mark(name, value = !work.sheet[name]) {
    work.sheet[name] = value;
    work.note(work.sheet);
    work.sync.push(work.sheet);
    work.redraw();
  }

  const seek = (fits, none) => pictures.seek(i => fits(work.overview.pictures[i]), none);

  return {
    next: () => pictures.show(pictures.from(1)),
    previous: () => pictures.show(pictures.from(-1)),
    first: () => pictures.show(pictures.order.list[0]),
    last: () => pictures.show(pictures.order.list.at(-1)),
    finish() {
      mark("done", true);
      const following = pictures.from(1);
      if (following === null) work.panel.say("Done. That was the last picture.");
      else pictures.show(following);
    },
    done: () => mark("done"),
    flag: () => mark("flagged"),
    unlabelled: () => seek(([, some, done]) => !some && !done, "Every other picture is labelled or done."),
    undone: () => seek(([, , done]) => !done, "Every other picture is done."),
    flagged: () => seek(([, , , flagged]) => flagged, "No other picture is flagged."),
  };
}

export function keypointActions(work, proposals) {
  const {view, count} = work;

  function choose(k) {
    work.chosen = k;
    if (work.seenPoint[2]) view.reveal(work.seenPoint);
    work.redraw();
  }

  const set = point => work.change(edit.withPoint(work.sheet.objects, work.active, work.chosen, point));

  /** Place the chosen keypoint without a pointer: where the model has it, else in the middle of what is seen. */
  function put() {
    if (!view.image || work.seenPoint[2]) return;
    const objects = work.begun(), [width, height] = view.room;
    const place = proposals.ofChosen(objects) ?? [...view.toPicture([width / 2, height / 2]), 2];
    work.change(edit.withPoint(objects, work.active, work.chosen, [...edit.inside(place, view.size), place[2]]));
  }

  function swap(only) {
    const pairs = work.overview.swaps.filter(pair => only === null || pair.includes(only));
    if (!pairs.length) work.panel.say((only === null ? "These keypoints have" : "This keypoint has") + " no left and right.");
    else if (work.object) work.change(edit.swapped(work.sheet.objects, work.active, pairs));
  }

  return {
    choose,
    later: () => choose((work.chosen + 1) % count),
    earlier: () => choose((work.chosen + count - 1) % count),
    put,
    move([dx, dy]) {
      const [x, y, v] = work.seenPoint;
      if (!view.image) return;
      if (!v) return put();
      const place = edit.inside([x + dx, y + dy], view.size);
      const {active, chosen} = work;
      work.change(edit.withPoint(work.sheet.objects, active, chosen, [...place, v]), active + "." + chosen);
      view.reveal(place);
    },
    hide() {
      const [x, y, v] = work.seenPoint;
      if (v) set([x, y, 3 - v]);
    },
    clear: () => work.seenPoint[2] && set([0, 0, 0]),
    swap: () => swap(null),
    swapOne: () => swap(work.chosen),
  };
}

export function objectActions(work, proposals) {
  function choose(o) {
    work.active = o;
    work.chooseMissing();
  }

  function other(by) {
    const many = work.sheet.objects.length;
    if (many) choose((work.active + by + many) % many);
  }

  return {
    chooseObject: choose,
    new() {
      if (work.object && !edit.exists(work.object)) return;
      work.active = work.sheet.objects.length;
      work.chosen = 0;
      work.change([...work.sheet.objects, edit.empty(work.count)]);
    },
    nextObject: () => other(1),
    previousObject: () => other(-1),
    remove() {
      if (!work.object) return;
      work.change(edit.without(work.sheet.objects, work.active));
      work.panel.say("Object deleted: Ctrl-Z brings it back.");
    },
    box() {
      work.boxing = !work.boxing;
      work.redraw();
    },
    unbox: () => work.object?.box && work.change(edit.withBox(work.sheet.objects, work.active, null)),
    copy() {
      const {last, sheet, panel} = work;
      if (!last || last === sheet) return panel.say("No labelled picture was seen before this one.");
      if (edit.anyLabelled(sheet.objects)) return panel.say("This picture has labels already.");
      work.active = 0;
      work.change(edit.copied(last.objects, work.view.size));
      work.chooseMissing();
    },
    accept: () => proposals.accept(),
    replace: () => proposals.replace(),
    ask: () => proposals.ask(),
    proposals: () => proposals.turn(),
    undo: () => (work.sheet.undo() ? work.settled() : work.panel.say("Nothing to undo on this picture.")),
    redo: () => (work.sheet.redo() ? work.settled() : work.panel.say("Nothing to do again on this picture.")),
  };
}

export function viewActions(work, pointer) {
  const {view} = work, stage = view.stage;
  let light = 0;

  function fit() {
    view.fit();
    work.redraw();
  }

  function zoomBy(factor) {
    const point = work.seenPoint, [width, height] = view.room;
    view.zoomAt(point[2] ? view.toScreen(point) : [width / 2, height / 2], factor);
    work.redraw();
  }

  return {
    zoom() {
      const box = !view.close && work.object && edit.extent(work.object);
      if (!box) return fit();
      view.zoomTo(box);
      work.redraw();
    },
    fit,
    closer: () => zoomBy(1.25),
    further: () => zoomBy(0.8),
    light() {
      light = (light + 1) % LIGHTS.length;
      view.under.className = LIGHTS[light];
      work.panel.say("Picture " + LIGHT_WORDS[light] + ".");
    },
    names() {
      work.showNames = !work.showNames;
      work.redraw();
    },
    bare() {
      work.bare = !work.bare;
      if (work.bare) work.panel.say("Labels are hidden: h shows them.");
      work.redraw();
    },
    leave() {
      if (pointer.busy) return pointer.cancel();
      if (work.boxing) {
        work.boxing = false;
        return work.redraw();
      }
      if (document.activeElement === stage) document.querySelector("[data-action=previous]").focus();
      else stage.focus();
    },
    help: () => work.panel.help(),
    async quit() {
      const answer = await post("quit").catch(() => null);
      if (answer?.ok) work.sync.end();
    },
  };
}
