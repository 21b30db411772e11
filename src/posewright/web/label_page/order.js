// In which order pictures come: as given, or those first that the model is least sure of.

export class Order {
  constructor(count, uncertain, uncertainty) {
    this.uncertain = uncertain;
    this.uncertainty = new Map(Object.entries(uncertainty).map(([i, value]) => [Number(i), value]));
    this.visits = [];
    this.list = Array.from({length: count}, (_, i) => i);
  }

  /** Picture `i` is looked at: those seen so far keep their places, the others may change theirs. */
  visit(i) {
    if (this.uncertain && !this.visits.includes(i)) this.visits.push(i);
  }

  learn(i, uncertainty) {
    if (uncertainty !== null && uncertainty !== undefined) this.uncertainty.set(i, uncertainty);
  }

  /** Put the pictures nobody has looked at yet into order, what is done after the rest. */
  arrange(isDone) {
    if (!this.uncertain) return;
    const seen = new Set(this.visits);
    const rank = i => [isDone(i) ? 1 : 0, -(this.uncertainty.get(i) ?? -1), i];
    const rest = this.list.filter(i => !seen.has(i)).map(i => [i, rank(i)]);
    rest.sort(([, a], [, b]) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2]);
    this.list = [...this.visits, ...rest.map(([i]) => i)];
  }

  place(i) {
    return this.uncertain ? this.list.indexOf(i) : i;
  }

  /** The picture `step` places from picture `i`, null beyond the ends. */
  from(i, step) {
    return this.list[this.place(i) + step] ?? null;
  }

  /** The next picture after `i`, round the end, that fits; null where none does. */
  find(i, fits) {
    const start = this.place(i), count = this.list.length;
    for (let step = 1; step <= count; step++) {
      const other = this.list[(start + step) % count];
      if (fits(other)) return other;
    }
    return null;
  }
}
