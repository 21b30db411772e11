// What a hand does to the objects of a picture. Every function returns new objects and leaves the old ones as they are,
// so that a state kept for undo stays what it was. A point is [x, y, v]; v: 0 not labelled, 1 hidden, 2 visible.
// (0, 0) is the centre of the first pixel.

export const empty = count => ({points: Array.from({length: count}, () => [0, 0, 0]), box: null, extra: {}});
export const labelled = object => object.points.filter(p => p[2] > 0).length;
export const anyLabelled = objects => objects.some(o => labelled(o) > 0);
export const exists = object => object.box !== null || labelled(object) > 0;

const rounded = value => Math.round(value * 1e4) / 1e4;

/** A position inside a picture of this size, whose edges lie half a pixel outside its outer pixels' centres. */
export function inside([x, y], [width, height]) {
  return [
    rounded(Math.min(Math.max(x, -0.5), width - 0.5)),
    rounded(Math.min(Math.max(y, -0.5), height - 0.5)),
  ];
}

const replaced = (list, index, value) => list.map((old, i) => (i === index ? value : old));

export const withObject = (objects, o, object) => replaced(objects, o, object);

export function withPoint(objects, o, k, point) {
  return replaced(objects, o, {...objects[o], points: replaced(objects[o].points, k, point)});
}

export const without = (objects, o) => objects.filter((_, i) => i !== o);

export function withBox(objects, o, box) {
  return replaced(objects, o, {...objects[o], box: box && box.map(rounded)});
}

/** Left and right change places: all pairs, or only the one that keypoint `only` belongs to. */
export function swapped(objects, o, swaps, only = null) {
  const points = [...objects[o].points];
  for (const [a, b] of swaps) {
    if (only === null || only === a || only === b) [points[a], points[b]] = [points[b], points[a]];
  }
  return replaced(objects, o, {...objects[o], points});
}

/** The first keypoint after `from` that is not labelled, round the end; null where all are. */
export function nextMissing(object, from) {
  const count = object.points.length;
  for (let step = 1; step <= count; step++) {
    const k = (from + step) % count;
    if (object.points[k][2] === 0) return k;
  }
  return null;
}

/** [x0, y0, x1, y1] around the labelled points, or the box of its own; null where there is neither. */
export function extent(object) {
  const seen = object.points.filter(p => p && p[2] > 0);
  const xs = seen.map(p => p[0]), ys = seen.map(p => p[1]);
  if (object.box) {
    xs.push(object.box[0], object.box[2]);
    ys.push(object.box[1], object.box[3]);
  }
  return xs.length ? [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)] : null;
}

/** A proposal's points as labels; those with a lower score than the threshold stay without. */
export function taken(proposal, threshold, size, old = null) {
  const points = proposal.points.map((p, k) => {
    if (old && old.points[k][2] > 0) return old.points[k];
    return p && p[3] >= threshold ? [...inside(p, size), p[2]] : [0, 0, 0];
  });
  return {points, box: old ? old.box : null, extra: old ? old.extra : {}};
}

/** The proposal that lies nearest to an object; null where there is none. */
export function nearest(proposals, object) {
  let best = null, least = Infinity;
  for (const proposal of proposals || []) {
    let sum = 0, count = 0;
    object.points.forEach((p, k) => {
      const q = proposal.points[k];
      if (p[2] > 0 && q) {
        sum += Math.hypot(p[0] - q[0], p[1] - q[1]);
        count++;
      }
    });
    const far = count ? sum / count : 1e9;
    if (far < least) [best, least] = [proposal, far];
  }
  return best;
}

/** Objects as a copy on another picture: same places, nothing of what labels said of the old ones. */
export function copied(objects, size) {
  return objects.filter(exists).map(o => ({
    points: o.points.map(p => (p[2] > 0 ? [...inside(p, size), p[2]] : [0, 0, 0])),
    box: o.box && [...inside(o.box.slice(0, 2), size), ...inside(o.box.slice(2), size)],
    extra: {},
  }));
}
