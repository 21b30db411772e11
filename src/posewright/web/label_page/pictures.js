// Going from picture to picture: what is fetched of each, and what waits until the next one is there.

import {Order} from "./order.js";
import {Sheet} from "./sheet.js";

const KEPT = 6; // pictures kept decoded
const MOMENT = 300; // milliseconds

export class Pictures {
  /** `leave` is called before another picture comes. */
  constructor(work, leave) {
    [this.work, this.leave] = [work, leave];
    const {pictures, order, uncertainty} = work.overview;
    this.order = new Order(pictures.length, order === "uncertain", uncertainty);
    this.sheets = new Map();
    this.images = new Map();
    this.fetching = new Map();
    this.index = -1;
    this.turning = false; // a picture was asked for and is not there yet
    this.waiting = []; // what was meant for it
  }

  from(step) {
    return this.order.from(this.index, step);
  }

  /** Go to the next picture that fits. */
  seek(fits, none) {
    const found = this.order.find(this.index, fits);
    if (found === null || found === this.index) this.work.panel.say(none);
    else this.show(found);
  }

  /**
   * Do something to the picture that is, or is about to be, shown: a key pressed right after "next picture" is meant
   * for that one. `flick` is what may overtake a picture that is still on its way: going on to another.
   */
  whenThere(does, flick = false) {
    if (this.turning && !(flick && !this.waiting.length)) this.waiting.push(does);
    else does();
  }

  async show(wanted) {
    const {work, order} = this, panel = work.panel;
    if (wanted === null) return panel.say("That was the last picture in this direction.");
    if (wanted === this.index) return;
    this.leave();
    clearTimeout(this.stopped);
    this.#turn(true);
    this.index = wanted;
    order.visit(wanted);
    order.arrange(i => work.overview.pictures[i][2]);
    panel.showPlace(order.place(wanted), wanted);
    let sheet;
    try {
      sheet = await this.#sheet(wanted);
    } catch {
      if (this.index === wanted) this.#stay();
      return;
    }
    const image = this.#image(wanted), well = await image.ready;
    if (!well) this.images.delete(wanted);
    const trouble = well ? "" : await this.#why(wanted);
    if (this.index !== wanted) return;
    history.replaceState(null, "", "#" + (wanted + 1));
    work.take(sheet);
    work.view.image = well ? image : null;
    work.view.fit();
    panel.showBroken(trouble);
    work.redraw();
    this.#fetchNext();
    this.#turn(false);
    while (this.waiting.length && !this.turning) this.waiting.shift()();
  }

  /** The picture asked for does not come: the one that is shown stays, and what was meant for the other is dropped. */
  #stay() {
    const {sheet, panel} = this.work;
    // A key pressed in the moment after it failed was meant for that picture as well.
    this.waiting = [];
    this.stopped = setTimeout(() => {
      this.waiting = [];
      this.#turn(false);
    }, MOMENT);
    this.index = sheet ? sheet.index : -1;
    if (sheet) panel.showPlace(this.order.place(this.index), this.index);
    panel.say("The program has gone: this picture cannot be fetched.");
  }

  #turn(value) {
    this.turning = value;
    this.work.view.stage.setAttribute("aria-busy", value);
  }

  #fetchNext() {
    const following = this.from(1);
    if (following === null) return;
    this.#image(following);
    this.#sheet(following).catch(() => {});
  }

  async #sheet(i) {
    if (!this.sheets.has(i)) {
      const answer = await this.answer(i);
      if (!this.sheets.has(i)) this.sheets.set(i, new Sheet(i, answer));
    }
    return this.sheets.get(i);
  }

  /** What the server says of a picture; asked once, however many want to know at the same time. */
  answer(i) {
    if (!this.fetching.has(i)) {
      const told = fetch("picture/" + i).then(r => r.json()).finally(() => this.fetching.delete(i));
      this.fetching.set(i, told);
    }
    return this.fetching.get(i);
  }

  #image(i) {
    let found = this.images.get(i);
    if (!found) {
      found = new Image();
      found.src = "pixels/" + i;
      found.ready = found.decode().then(() => true, () => false);
    }
    this.images.delete(i); // and to the end, as the one used last
    this.images.set(i, found);
    for (const old of this.images.keys()) {
      if (this.images.size > KEPT && old !== this.index) this.images.delete(old);
    }
    return found;
  }

  async #why(i) {
    try {
      const answer = await fetch("pixels/" + i);
      return answer.ok ? "This browser cannot show the picture." : await answer.text();
    } catch {
      return "The program has gone.";
    }
  }
}
