// One picture's labels with their history; the server has the last word on each state.

const MOST = 500; // steps kept for undo
const SOON = 1000; // milliseconds within which moves of one point by the arrows are one step

export class Sheet {
  constructor(index, answer) {
    this.index = index;
    this.undone = [];
    this.steps = [];
    this.merge = null;
    this.take(answer);
  }

  /** What the server says the picture is. */
  take(answer) {
    this.revision = answer.revision;
    this.objects = answer.objects;
    this.done = answer.done;
    this.flagged = answer.flagged;
    this.proposals = answer.proposals;
    this.known = this.state;
  }

  get state() {
    return {objects: this.objects, done: this.done, flagged: this.flagged};
  }

  /** A step that can be undone; steps in a row with the same name `merge` count as one. */
  change(objects, merge = null) {
    const now = performance.now();
    const same = merge !== null && this.merge === merge && now - this.when < SOON;
    if (!same) this.steps.push(this.objects);
    if (this.steps.length > MOST) this.steps.shift();
    [this.merge, this.when] = [merge, now];
    this.undone = [];
    this.objects = objects;
  }

  undo() {
    return this.#step(this.steps, this.undone);
  }

  redo() {
    return this.#step(this.undone, this.steps);
  }

  #step(from, to) {
    if (!from.length) return false;
    to.push(this.objects);
    this.objects = from.pop();
    this.merge = null;
    return true;
  }

  /** Somebody else changed the picture meanwhile: theirs is shown, ours is one undo away. */
  overtaken(answer) {
    const ours = this.objects;
    this.take(answer);
    this.steps.push(ours);
    this.merge = null;
  }
}

export const same = (a, b) =>
  JSON.stringify([a.objects, a.done, a.flagged]) === JSON.stringify([b.objects, b.done, b.flagged]);
