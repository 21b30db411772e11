// What the pointer does to the picture at hand: find, place, drag and box. See pointer.js for the gestures.

import * as edit from "./edit.js";

export class Hands {
  constructor(work, proposals, ready) {
    [this.work, this.proposals, this.ready] = [work, proposals, ready];
    this.before = null; // the objects as they were when the gesture began
    this.placed = false;
  }

  get #there() {
    return this.work.sheet && this.work.view.image && this.ready();
  }

  get boxing() {
    return this.work.boxing;
  }

  redraw() {
    this.work.redraw();
  }

  /** The keypoint within `near` screen pixels: of the active object first, then of others, then of proposals. */
  find(place, near) {
    const {work} = this;
    if (!this.#there || work.bare) return null;
    let best = null, least = near;
    const look = (points, hit, handicap) => points.forEach((p, k) => {
      if (!p || !p[2]) return;
      const [x, y] = work.view.toScreen(p), far = Math.hypot(x - place[0], y - place[1]) + handicap;
      if (far < least) [best, least] = [{...hit, k}, far];
    });
    work.sheet.objects.forEach((o, i) => look(o.points, {o: i}, i === work.active ? 0 : 2));
    if (!best) work.proposals().forEach(proposal => look(proposal.points, {proposal}, 0));
    return best;
  }

  choose(hit) {
    const {work} = this;
    if (!hit.proposal) {
      [work.active, work.chosen] = [hit.o, hit.k];
    } else {
      if (edit.anyLabelled(work.sheet.objects)) {
        const [x, y, v] = hit.proposal.points[hit.k];
        work.change(edit.withPoint(work.sheet.objects, work.active, hit.k, [...edit.inside([x, y], work.view.size), v]));
      } else {
        this.proposals.accept(hit.k);
      }
      work.chosen = hit.k;
    }
    work.redraw();
  }

  held() {
    this.before = this.work.sheet.objects;
    return this.work.seenPoint;
  }

  /** Put the chosen keypoint down, where there is one to put; a drag may follow until drop(). */
  place(place, hidden, force) {
    const {work} = this;
    if (!this.#there) return false;
    if (work.seenPoint[2] && !force) {
      const next = edit.nextMissing(work.object, work.chosen);
      if (next === null) {
        work.panel.say("All are placed. Drag one to move it, or w for a new object.");
        return false;
      }
      work.chosen = next;
    }
    const objects = work.begun(), k = work.chosen;
    this.before = work.sheet.objects;
    const v = hidden ? 1 : force && work.seenPoint[2] === 1 ? 1 : 2;
    work.sheet.objects = edit.withPoint(objects, work.active, k, [...edit.inside(place, work.view.size), v]);
    this.placed = !force || !this.before[work.active]?.points[k][2];
    work.redraw();
    return true;
  }

  moveTo(point) {
    const {work} = this, v = work.seenPoint[2];
    const place = [...edit.inside(point, work.view.size), v];
    work.sheet.objects = edit.withPoint(work.sheet.objects, work.active, work.chosen, place);
    work.redraw();
  }

  /** The gesture is over: what came of it is one step. */
  drop() {
    const {work, placed} = this, after = work.sheet.objects;
    work.sheet.objects = this.before;
    this.placed = false;
    if (after !== this.before) work.change(after);
    if (placed) work.chooseMissing(work.chosen);
    work.redraw();
  }

  putBack() {
    this.work.sheet.objects = this.before;
    this.placed = false;
    this.work.redraw();
  }

  box(from, to, final) {
    const {work} = this;
    work.drawn = null;
    if (from && this.#there) {
      const [a, b] = [from, to].map(p => edit.inside(p, work.view.size));
      const box = [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[0], b[0]), Math.max(a[1], b[1])];
      if (final) {
        work.boxing = false;
        const room = box[2] - box[0] >= 1 && box[3] - box[1] >= 1;
        if (room) work.change(edit.withBox(work.begun(), work.active, box));
      } else {
        work.drawn = box;
      }
    }
    work.redraw();
  }
}
