// A crop of a picture, resampled as posewright's warp.py does it, so that a model sees here what it sees there: bilinear, with
// what lies outside the picture at the rule's border value, and area-averaged first where the picture shrinks by more than
// the rule's `reduce_above`. A browser's own scaling differs from one to the next.

const STRIP = 2_000_000; // pixels read from a picture at a time: some browsers have no larger canvas

/** The whole factor by which a picture is averaged before the warp; 1 where the rule asks for none. */
export function reductionFactor(scale, rule) {
  const shrink = 1 / scale;
  return shrink > rule.reduce_above ? Math.max(1, Math.floor(shrink + 1e-9)) : 1;
}

/** The part of a picture that a crop is made of, in whole blocks of factor x factor pixels; it may reach over the far edge. */
export function seenPart(width, height, map, rule, factor) {
  const back = (at, offset) => (at - offset) / map.scale;
  const along = (size, length, offset) => {
    const low = (Math.floor(back(-0.5, offset) / factor) - 2) * factor;
    const high = (Math.ceil(back(length - 0.5, offset) / factor) + 2) * factor;
    const end = Math.ceil(size / factor) * factor;
    const start = Math.min(Math.max(low, 0), end - factor);
    return [start, Math.min(Math.max(high, start + factor), end)];
  };
  const [x0, x1] = along(width, rule.width, map.dx), [y0, y1] = along(height, rule.height, map.dy);
  return [x0, y0, x1, y1];
}

/** A mean as a whole number, rounded like OpenCV does it: of two by two pixels a half goes up, else to the even number, which
 *  is what a Uint8ClampedArray does as well. */
const rounded = (sum, area) => (area === 4 ? (sum + 2) >> 2 : sum / area);

/** A part of a picture as RGB, averaged over blocks of factor x factor pixels; what reaches over the far edge is border.
 *  `read(x, y, width, height)` returns RGBA bytes of the picture. */
export function areaReduced(read, width, height, [x0, y0, x1, y1], factor, border) {
  const columns = Math.ceil((x1 - x0) / factor), rows = Math.ceil((y1 - y0) / factor);
  const data = new Uint8ClampedArray(columns * rows * 3), sums = new Float64Array(columns * 3);
  const wide = Math.min(x1, width) - x0, area = factor * factor;
  const rowsAtOnce = Math.max(1, Math.floor(STRIP / (wide * factor)));
  // A rest narrower than a block is filled up with border.
  const missing = columns * factor - wide;
  for (let first = 0; first < rows; first += rowsAtOnce) {
    const top = y0 + first * factor;
    const count = Math.min(rowsAtOnce, rows - first);
    const high = Math.min(top + count * factor, height) - top;
    const from = read(x0, top, wide, high);
    for (let row = 0; row < count; row++) {
      const lines = Math.min(factor, high - row * factor);
      sums.fill((factor - lines) * factor * border);
      for (let line = 0; line < lines; line++) {
        let at = (row * factor + line) * wide * 4;
        for (let x = 0, to = 0, left = factor; x < wide; x++, at += 4) {
          sums[to] += from[at]; sums[to + 1] += from[at + 1]; sums[to + 2] += from[at + 2];
          if (--left === 0) { left = factor; to += 3; }
        }
      }
      if (missing) for (let c = 1; c <= 3; c++) sums[columns * 3 - c] += missing * lines * border;
      for (let i = 0, to = (first + row) * columns * 3; i < sums.length; i++, to++) data[to] = rounded(sums[i], area);
    }
  }
  return { data, width: columns, height: rows };
}

/** Resample RGB bytes into a crop of the rule's size; `map` leads from their pixels to the crop's. In single precision like
 *  OpenCV, step by step: where two peaks of a map are equally high, a single level of a single pixel decides. */
export function bilinear(source, map, rule) {
  const { width, height, data } = source, out = new Uint8ClampedArray(rule.width * rule.height * 3);
  const { fround, floor } = Math, back = map.scale / (map.scale * map.scale), step = fround(back);
  const along = (length, offset) => Array.from({ length }, (_, i) => {
    const at = fround(step * i + fround(-back * offset)), cell = floor(at);
    return [cell, fround(at - cell)];
  });
  const columns = along(rule.width, map.dx), rows = along(rule.height, map.dy);
  const mix = (a, b, share) => fround(share * fround(b - a) + a);
  const at = (x, y, c) => (x >= 0 && y >= 0 && x < width && y < height ? data[(y * width + x) * 3 + c] : rule.border);
  let to = 0;
  for (const [y, v] of rows) {
    for (const [x, u] of columns) {
      if (x >= 0 && y >= 0 && x + 1 < width && y + 1 < height) {
        const a = (y * width + x) * 3, b = a + width * 3;
        for (let c = 0; c < 3; c++) {
          out[to++] = mix(mix(data[a + c], data[a + 3 + c], u), mix(data[b + c], data[b + 3 + c], u), v);
        }
      } else if (x >= -1 && y >= -1 && x < width && y < height) {
        for (let c = 0; c < 3; c++) {
          out[to++] = mix(mix(at(x, y, c), at(x + 1, y, c), u), mix(at(x, y + 1, c), at(x + 1, y + 1, c), u), v);
        }
      } else {
        out[to++] = out[to++] = out[to++] = rule.border;
      }
    }
  }
  return out;
}

/** A model's input, RGB bytes of the rule's size, from a picture of width x height pixels that `read` reads parts of. */
export function crop(read, width, height, map, rule) {
  const factor = reductionFactor(map.scale, rule);
  const part = seenPart(width, height, map, rule, factor);
  const source = areaReduced(read, width, height, part, factor, rule.border);
  // part (u, v) -> picture: x = factor * u + (factor - 1) / 2 + x0
  const scale = map.scale * factor, middle = (factor - 1) / 2;
  const moved = { scale, dx: map.scale * (middle + part[0]) + map.dx, dy: map.scale * (middle + part[1]) + map.dy };
  return bilinear(source, moved, rule);
}
