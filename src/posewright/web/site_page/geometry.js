// Boxes and the map from a picture to a crop, as posewright's geometry.py has them: the centre of the top-left pixel is
// (0, 0), so that a whole W x H picture is the box (-0.5, -0.5, W - 0.5, H - 0.5). Boxes are [x0, y0, x1, y1].

export const pictureBox = (width, height) => [-0.5, -0.5, width - 0.5, height - 0.5];

/** Widen a box by `margin` about its centre, then lengthen its shorter side until width / height = `aspect`. */
export function expandBox([x0, y0, x1, y1], margin, aspect) {
  let width = (x1 - x0) * margin, height = (y1 - y0) * margin;
  [width, height] = [Math.max(width, height * aspect), Math.max(height, width / aspect)];
  const cx = (x0 + x1) / 2, cy = (y0 + y1) / 2;
  return [cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2];
}

/** The map from picture to crop, x' = scale * x + dx and y' = scale * y + dy, by a model's crop rule; the whole picture,
 *  without its margin, where `box` is null. */
export function cropMap(box, width, height, rule) {
  const margin = box ? rule.margin : 1;
  const [x0, y0, x1, y1] = expandBox(box ?? pictureBox(width, height), margin, rule.width / rule.height);
  const scale = rule.width / (x1 - x0);
  return {
    scale,
    dx: (rule.width - 1) / 2 - scale * (x0 + x1) / 2,
    dy: (rule.height - 1) / 2 - scale * (y0 + y1) / 2,
  };
}

/** Whether four numbers are a box that can be looked into. */
export const isBox = box => Array.isArray(box) && box.length === 4 && box.every(Number.isFinite)
  && box[2] > box[0] && box[3] > box[1];

/** The root of a box's area in pixels, one at least. */
export const sizeOf = ([x0, y0, x1, y1]) => Math.max(Math.sqrt(Math.max(x1 - x0, 0) * Math.max(y1 - y0, 0)), 1);
