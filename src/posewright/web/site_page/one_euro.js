// The One Euro filter (Casiez, Roussel, Vogel, CHI 2012) with the settings of posewright's tracking/one_euro.py: speeds are in
// sizes of the object, so that the same settings fit near and far ones.

export const CUTOFF = 1.0;           // Hz, of a keypoint at rest
export const BETA = 4.0;             // Hz by which the cut-off rises for each size of the object a second
export const CUTOFF_OF_SPEED = 1.0;  // Hz, of the speed itself
export const FORGET = 0.5;           // seconds after which a keypoint that was not seen begins anew
export const SEEN = 0.05;            // keypoints with a lower score tell the filter nothing

const share = (cutoff, dt) => 1 / (1 + 1 / (2 * Math.PI * cutoff * dt));

export class OneEuro {
  #points = null;

  /** Take in one frame.
   *  @param points K of [x, y, score] in pixels of the picture.
   *  @param time seconds; must not go back.
   *  @param size of the object in pixels: the root of its box's area.
   *  @returns K of [x, y], [NaN, NaN] for keypoints that were never seen. */
  update(points, time, size) {
    const first = this.#points === null;
    this.#points ??= points.map(() => ({ x: NaN, y: NaN, rawX: NaN, rawY: NaN, speedX: 0, speedY: 0, time }));
    return points.map(([x, y, score], k) => {
      const p = this.#points[k];
      const seen = score >= SEEN && Number.isFinite(x) && Number.isFinite(y);
      if (!seen) return [p.x, p.y];
      const dt = Math.max(time - p.time, 1e-6);
      if (first || !Number.isFinite(p.x) || dt > FORGET) {
        Object.assign(p, { x, y, speedX: 0, speedY: 0 });
      } else {
        const slow = share(CUTOFF_OF_SPEED, dt);
        p.speedX += slow * ((x - p.rawX) / dt - p.speedX);
        p.speedY += slow * ((y - p.rawY) / dt - p.speedY);
        p.x += share(CUTOFF + BETA * Math.abs(p.speedX) / size, dt) * (x - p.x);
        p.y += share(CUTOFF + BETA * Math.abs(p.speedY) / size, dt) * (y - p.y);
      }
      Object.assign(p, { rawX: x, rawY: y, time });
      return [p.x, p.y];
    });
  }
}
