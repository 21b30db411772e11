// What of a frame can be taken home.

import { say } from "./panel.js";

const rounded = (value, digits) => (Number.isFinite(value) ? Number(value.toFixed(digits)) : null);

/** A frame's keypoints as a record of the kind that posewright predict writes, one line of its .jsonl files. */
export function recordOf(found, skeleton) {
  return {
    source: found.source, width: found.width, height: found.height,
    ...(found.time === null ? {} : { time: rounded(found.time, 6) }),
    skeleton,
    poses: [{
      box: found.box.map(value => rounded(value, 3)),
      presence: rounded(found.presence, 5),
      keypoints: found.keypoints.map(([x, y, score]) => [rounded(x, 3), rounded(y, 3), rounded(score, 5)]),
    }],
  };
}

/** Save a Blob as a file named after what it was found in. */
export function saveFile(blob, found, ending) {
  const link = document.createElement("a");
  const stem = found.source.replace(/\.[^.]*$/, "").replace(/[^\p{L}\p{N}_-]+/gu, "_").slice(0, 60) || "posewright";
  link.href = URL.createObjectURL(blob);
  link.download = `${stem}${found.time === null ? "" : `_${found.time.toFixed(2)}s`}${ending}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  say(`Saved ${link.download}`);
}

/** A bitmap's pixels as ImageData; what is transparent lies over white. */
export function pixelsOf(bitmap) {
  const { width, height } = bitmap, canvas = new OffscreenCanvas(width, height);
  const brush = canvas.getContext("2d", { willReadFrequently: true });
  brush.fillStyle = "#fff";
  brush.fillRect(0, 0, width, height);
  brush.drawImage(bitmap, 0, 0);
  return brush.getImageData(0, 0, width, height);
}
