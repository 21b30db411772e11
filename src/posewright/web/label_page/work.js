// The picture at hand: which object and keypoint is meant, what is shown of them, and how a step is made.

import * as edit from "./edit.js";

const PALETTE = ["#f5be28", "#28c3cd", "#c850dc", "#3cb44b", "#eb4034", "#4287f5", "#ff8c69", "#9acd32"];
const MOST_SCORES = 30; // keypoints; the scores of more would cover each other

export class Work {
  /** `panel` and `sync` are set once they are there: they call back into what works on this. */
  constructor(overview, view) {
    [this.overview, this.view] = [overview, view];
    this.count = overview.keypoints.length;
    this.linkColours = overview.colours.map(([r, g, b]) => `rgb(${r} ${g} ${b})`);
    this.colours = overview.keypoints.map((_, k) => {
      const link = overview.links.findIndex(ends => ends.includes(k));
      return link < 0 ? PALETTE[k % PALETTE.length] : this.linkColours[link];
    });
    this.panel = this.sync = null;
    this.sheet = null;
    this.last = null; // the sheet seen before, where it has labels
    this.active = this.chosen = 0;
    this.boxing = this.showNames = this.bare = this.asked = false;
    this.drawn = null; // the box being drawn
    this.showing = "auto"; // of proposals: "auto", "always", "never"
  }

  get object() {
    return this.sheet?.objects[this.active];
  }

  /** Keypoint k of the active object; [0, 0, 0] where it is not labelled. */
  point(k) {
    return this.object?.points[k] ?? [0, 0, 0];
  }

  get seenPoint() {
    return this.point(this.chosen);
  }

  /** Another picture is at hand. */
  take(sheet) {
    if (this.sheet && this.sheet !== sheet && edit.anyLabelled(this.sheet.objects)) this.last = this.sheet;
    [this.sheet, this.boxing, this.drawn, this.active] = [sheet, false, null, 0];
    this.chosen = sheet.objects.length ? edit.nextMissing(sheet.objects[0], -1) ?? 0 : 0;
  }

  /** Go on to the first keypoint that is missing after `from`; stay where none is. */
  chooseMissing(from = -1) {
    if (this.object) this.chosen = edit.nextMissing(this.object, from) ?? this.chosen;
    this.redraw();
  }

  /** The objects, one begun where there is none. */
  begun() {
    if (this.sheet.objects.length) return this.sheet.objects;
    this.active = 0;
    return [edit.empty(this.count)];
  }

  /** A step that can be undone, and is sent at once. */
  change(objects, merge = null) {
    this.sheet.change(objects, merge);
    this.settled();
  }

  settled() {
    this.active = Math.min(this.active, Math.max(this.sheet.objects.length - 1, 0));
    this.note(this.sheet);
    this.sync.push(this.sheet);
    this.redraw();
  }

  /** Keep the list of pictures right about one of them. */
  note(sheet) {
    this.overview.pictures[sheet.index].splice(1, 3, sheet.objects.some(edit.exists), sheet.done, sheet.flagged);
  }

  /** Proposals to show whole, and for the active object what it lacks of one. */
  proposals() {
    const all = this.sheet?.proposals || [];
    if (this.showing === "never" || !all.length) return [];
    const shaped = all.map(p => ({...p, points: p.points.map(q => q && (q[2] ? q : null))}));
    if (this.showing === "always" || !edit.anyLabelled(this.sheet.objects)) return shaped;
    const mine = this.object && edit.nearest(shaped, this.object);
    if (!mine) return [];
    return [{...mine, points: mine.points.map((p, k) => (this.object.points[k][2] ? null : p))}];
  }

  // -- what is seen ---------------------------------------------------------------------------------------------------

  redraw() {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    this.asked = false;
    if (!this.sheet) return;
    const {overview, view, panel, sheet, active, chosen, drawn, showNames, bare} = this;
    view.drawPicture();
    view.drawOverlay({
      links: overview.links, colours: this.linkColours, points: this.colours, names: overview.keypoints,
      scores: this.count <= MOST_SCORES, objects: sheet.objects, proposals: this.proposals(),
      active, chosen, drawn, showNames, bare,
    });
    panel.showSheet(sheet, active, chosen);
    panel.showProgress();
    panel.showHint(this.colours[chosen], this.#hint());
  }

  /** [what is meant, what can be done about it]. */
  #hint() {
    if (!this.view.image) return [];
    if (this.boxing) return ["Box", "drag from corner to corner, Escape leaves it"];
    const {sheet, chosen, overview} = this, name = overview.keypoints[chosen], v = this.seenPoint[2];
    if (!edit.anyLabelled(sheet.objects) && this.proposals().length) {
      return [name, "click to place it, or a to accept the proposal"];
    }
    if (overview.model && sheet.proposals === null) return [name, "click to place it (the model is still looking)"];
    if (v === 0) return [name, "click to place it"];
    const next = edit.nextMissing(this.object, chosen);
    const then = next === null ? "all placed: Enter for done" : "drag or arrows move it, a click places " + overview.keypoints[next];
    return [name + (v === 1 ? ", hidden" : ""), then];
  }
}
