// Mouse, pen and fingers on the stage.

const NEAR = {mouse: 10, pen: 14, touch: 24}; // screen pixels within which a point is taken hold of
const STILL = 3; // screen pixels that a held point must be moved before it follows

export class Pointer {
  /**
   * `does` is a Hands: find(place, near), choose(hit), held(), place(place, hidden, force), moveTo(point), drop(),
   * putBack(), box(from, to, final), redraw(), and whether a box is to be drawn (`boxing`).
   */
  constructor(view, does) {
    [this.view, this.does] = [view, does];
    this.down = new Map();
    this.gesture = null;
    this.space = false;
    const stage = view.stage;
    stage.addEventListener("pointerdown", e => this.#begin(e));
    stage.addEventListener("pointermove", e => this.#move(e));
    stage.addEventListener("pointerup", e => this.#end(e, true));
    stage.addEventListener("pointercancel", e => this.#end(e, false));
    stage.addEventListener("contextmenu", e => e.preventDefault());
    stage.addEventListener("wheel", e => this.#wheel(e), {passive: false});
  }

  #place(e) {
    const rect = this.view.over.getBoundingClientRect();
    return [e.clientX - rect.left, e.clientY - rect.top];
  }

  setSpace(held) {
    this.space = held;
    this.view.stage.classList.toggle("pan", held);
  }

  get busy() {
    return this.gesture !== null;
  }

  #begin(e) {
    const place = this.#place(e);
    this.view.stage.focus();
    this.view.stage.setPointerCapture(e.pointerId);
    this.down.set(e.pointerId, place);
    if (this.down.size === 2) {
      this.cancel();
      this.gesture = {kind: "pinch"};
      return;
    }
    if (this.down.size > 2 || this.gesture) return;
    if (e.button === 1 || (e.button === 0 && this.space)) {
      e.preventDefault();
      this.gesture = {kind: "pan", last: place};
    } else if (this.does.boxing) {
      this.gesture = {kind: "box", start: this.view.toPicture(place)};
    } else {
      this.#onPoint(e, place);
    }
  }

  #onPoint(e, place) {
    const hit = e.shiftKey ? null : this.does.find(place, NEAR[e.pointerType] ?? NEAR.mouse);
    if (hit && e.button === 0) {
      this.does.choose(hit);
      const held = this.does.held();
      const at = this.view.toScreen(held);
      this.gesture = {kind: "drag", start: place, grip: [at[0] - place[0], at[1] - place[1]], moved: false};
    } else if (e.pointerType === "touch") {
      this.gesture = {kind: "tap", start: place, last: place}; // a finger that moves on turns into a pan
    } else if (this.does.place(this.view.toPicture(place), e.button === 2 || e.altKey, e.shiftKey)) {
      this.gesture = {kind: "drag", start: place, grip: [0, 0], moved: false};
    }
  }

  #move(e) {
    const place = this.#place(e), gesture = this.gesture;
    if (!this.down.has(e.pointerId)) {
      const hit = !this.space && !this.does.boxing && this.does.find(place, NEAR.mouse);
      this.view.stage.classList.toggle("hit", Boolean(hit));
      return;
    }
    const before = this.down.get(e.pointerId);
    if (gesture?.kind === "pinch") {
      this.#pinch(e.pointerId, before, place);
    } else if (gesture?.kind === "pan") {
      this.view.pan(place[0] - gesture.last[0], place[1] - gesture.last[1]);
      gesture.last = place;
      this.does.redraw();
    } else if (gesture?.kind === "box") {
      this.does.box(gesture.start, this.view.toPicture(place), false);
    } else if (gesture?.kind === "tap" && far(gesture.start, place) > 2 * STILL) {
      this.gesture = {kind: "pan", last: place};
    } else if (gesture?.kind === "drag") {
      gesture.moved ||= far(gesture.start, place) > STILL;
      if (gesture.moved) this.does.moveTo(this.view.toPicture([place[0] + gesture.grip[0], place[1] + gesture.grip[1]]));
    }
    this.down.set(e.pointerId, place);
  }

  #pinch(id, before, now) {
    const other = [...this.down].find(([key]) => key !== id)?.[1];
    if (!other) return;
    const middle = [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2];
    this.view.pan((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
    this.view.zoomAt(middle, Math.max(far(now, other), 1) / Math.max(far(before, other), 1));
    this.does.redraw();
  }

  #end(e, well) {
    const place = this.#place(e), gesture = this.gesture;
    if (!this.down.delete(e.pointerId)) return;
    if (this.down.size) return;
    this.gesture = null;
    if (gesture?.kind === "drag") this.does.drop();
    if (gesture?.kind === "box") this.does.box(well ? gesture.start : null, this.view.toPicture(place), well);
    if (gesture?.kind === "tap" && well && this.does.place(this.view.toPicture(place), false, false)) this.does.drop();
  }

  /** Leave a gesture, as if it had not been begun. */
  cancel() {
    if (this.gesture?.kind === "drag") this.does.putBack();
    if (this.gesture?.kind === "box") this.does.box(null, null, false);
    this.gesture = null;
  }

  #wheel(e) {
    e.preventDefault();
    const lines = e.deltaMode === 1 ? 33 : e.deltaMode === 2 ? 400 : 1;
    this.view.zoomAt(this.#place(e), Math.exp(-e.deltaY * lines * 0.0016));
    this.does.redraw();
  }
}

const far = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]);
