// Taking over what the model proposes for the picture at hand.

import * as edit from "./edit.js";
import {post} from "./sync.js";

const SHOWN = {auto: "where nothing is labelled", always: "always", never: "never"};

export class Proposals {
  constructor(work) {
    this.work = work;
  }

  /** Where the model has the chosen keypoint of the active object: [x, y, v, score], or null. */
  ofChosen(objects) {
    const {sheet, active, chosen} = this.work;
    return edit.nearest(sheet.proposals, objects[active])?.points[chosen] ?? null;
  }

  /** All of them where nothing is labelled yet, and keypoint `chosen` whatever its score; else what is missing of one. */
  accept(chosen = null) {
    const {work} = this, {sheet, overview} = work, all = sheet.proposals, size = work.view.size;
    if (!overview.model) return work.panel.say("There is no model: start with --model to have proposals.");
    if (!all?.length || !work.view.image) return work.panel.say(all ? "The model proposes nothing here." : "The model is still looking.");
    if (!edit.anyLabelled(sheet.objects)) {
      const kept = sheet.objects.length === all.length ? sheet.objects : null;
      const objects = all.map((p, i) => edit.taken(p, overview.threshold, size, kept && kept[i]));
      if (chosen !== null && !objects[0].points[chosen][2]) {
        const [x, y, v] = all[0].points[chosen];
        objects[0].points[chosen] = [...edit.inside([x, y], size), v];
      }
      work.active = 0;
      work.change(objects);
    } else if (work.object) {
      const mended = edit.taken(edit.nearest(all, work.object), overview.threshold, size, work.object);
      work.change(edit.withObject(sheet.objects, work.active, mended));
    }
    work.chooseMissing();
  }

  /** The active object gets all that the model has of it. */
  replace() {
    const found = this.work.object && edit.nearest(this.work.sheet.proposals, this.work.object);
    if (found) this.#put(found);
    else this.work.panel.say("The model proposes nothing for this object.");
  }

  /** Ask about the box of the active object, now. */
  async ask() {
    const {work} = this, {sheet, active, panel} = work, box = work.object && edit.extent(work.object);
    if (!box || !work.overview.model) {
      return panel.say(box ? "There is no model to ask: start with --model." : "There is no box to ask about: draw one with b.");
    }
    panel.say("The model is looking...");
    const answer = await post("propose/" + sheet.index, box).catch(() => null);
    if (!answer?.ok) return panel.say(answer ? await answer.text() : "The program has gone.");
    const [found] = await answer.json();
    if (sheet !== work.sheet || active !== work.active || !work.object) return;
    panel.say(found ? "" : "The model finds nothing there.");
    if (found) this.#put(found);
  }

  #put(proposal) {
    const {work} = this, fresh = edit.taken(proposal, work.overview.threshold, work.view.size);
    const points = fresh.points.map((p, k) => (p[2] ? p : work.object.points[k]));
    work.change(edit.withObject(work.sheet.objects, work.active, {...work.object, points}));
  }

  turn() {
    const {work} = this;
    if (!work.overview.model) return;
    work.showing = {auto: "always", always: "never", never: "auto"}[work.showing];
    work.panel.say("Proposals are shown " + SHOWN[work.showing] + ".");
    work.redraw();
  }
}
