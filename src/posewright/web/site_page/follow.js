// Where to look on the next frame: around the keypoints of this one, or at the whole frame where the object was not there. A
// simple form of posewright's tracking/follower.py, with its numbers; that one also searches, and foretells.

import { isBox } from "./geometry.js";

export const BOX_MARGIN = 1.2; // of the box around the keypoints; what training boxes made from keypoints have
export const LOW = 0.3;        // presence below which the object is not there
export const LOOK = 0.1;       // keypoints with a lower score do not say where the object is

/** The box to look into next; null for the whole frame.
 *  @param keypoints K of [x, y, score] in pixels of the picture. */
export function nextBox(keypoints, presence) {
  if (!(presence >= LOW)) return null;
  const known = keypoints.filter(([x, y, score]) => score >= LOOK && Number.isFinite(x) && Number.isFinite(y));
  if (known.length < Math.min(3, keypoints.length)) return null;
  const along = c => {
    const values = known.map(point => point[c]), low = Math.min(...values), high = Math.max(...values);
    const half = Math.max((high - low) * BOX_MARGIN, 1) / 2;
    return [(low + high) / 2 - half, (low + high) / 2 + half];
  };
  const [x0, x1] = along(0), [y0, y1] = along(1);
  const box = [x0, y0, x1, y1];
  return isBox(box) ? box : null;
}
