// The picture, what is drawn over it, and boxes drawn by hand.

const PALETTE = ["#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#46f0f0"];
const DARK = "#18181b", PAPER = "#fafafa";
const LARGEST = 2048;  // pixels along a side of the picture that is shown; some devices have no larger canvas
const LEAST_DRAG = 8;  // CSS pixels; a shorter one was a click

/** Each keypoint takes the colour of the first link that ends in it, or else that starts from it. */
export function keypointColours(skeleton) {
  const colours = skeleton.keypoints.map((_, k) => PALETTE[k % PALETTE.length]);
  const links = skeleton.links.map(([a, b], i) => [a, b, rgb(skeleton.link_colours[i])]).reverse();
  for (const [a, , own] of links) colours[a] = own;
  for (const [, b, own] of links) colours[b] = own;
  return colours;
}

const rgb = ([r, g, b]) => `rgb(${Number(r)},${Number(g)},${Number(b)})`;

export class Stage {
  /** @param onBox called with a box [x0, y0, x1, y1] in pixels of the picture that was drawn by hand */
  constructor(root, skeleton, onBox) {
    this.root = root;
    this.picture = root.querySelector("#picture");
    this.overlay = root.querySelector("#overlay");
    this.skeleton = skeleton;
    this.colours = keypointColours(skeleton);
    this.size = null;     // [width, height] of the picture
    this.mirrored = false;
    this.drawing = false; // fingers draw boxes, too
    this.shown = null;    // what was drawn last
    this.onBox = onBox;
    new ResizeObserver(() => this.#layout()).observe(root);
    this.#listen();
  }

  /** Show a bitmap; it can be given away afterwards. */
  show(bitmap) {
    const { width, height } = bitmap, shrink = Math.min(1, LARGEST / Math.max(width, height));
    const wide = Math.max(1, Math.round(width * shrink)), high = Math.max(1, Math.round(height * shrink));
    if (this.picture.width !== wide || this.picture.height !== high) {
      this.picture.width = wide;
      this.picture.height = high;
    }
    const brush = this.picture.getContext("2d", { alpha: false });
    brush.fillStyle = "#fff";
    brush.fillRect(0, 0, wide, high);
    brush.imageSmoothingQuality = "high";
    brush.drawImage(bitmap, 0, 0, wide, high);
    if (this.size?.[0] !== width || this.size?.[1] !== height) {
      this.size = [width, height];
      this.root.style.setProperty("--ratio", `${width} / ${height}`);
      this.#layout();
    }
  }

  #layout() {
    if (!this.size) return;
    const [width, height] = this.size, { clientWidth, clientHeight } = this.root;
    this.zoom = Math.min(clientWidth / width, clientHeight / height);
    this.left = (clientWidth - width * this.zoom) / 2;
    this.top = (clientHeight - height * this.zoom) / 2;
    Object.assign(this.picture.style, {
      left: `${this.left}px`, top: `${this.top}px`, width: `${width * this.zoom}px`, height: `${height * this.zoom}px`,
    });
    const fine = window.devicePixelRatio || 1;
    this.overlay.width = Math.round(clientWidth * fine);
    this.overlay.height = Math.round(clientHeight * fine);
    if (this.shown) this.draw(this.shown);
  }

  /** Where a pixel of the picture lies on the stage, in CSS pixels. */
  place(x, y) {
    const across = (x + 0.5) * this.zoom, width = this.size[0] * this.zoom;
    return [this.left + (this.mirrored ? width - across : across), this.top + (y + 0.5) * this.zoom];
  }

  /** The pixel of the picture at a place of the stage, the inverse of place(). */
  pixel(left, top) {
    const across = (left - this.left) / this.zoom;
    return [(this.mirrored ? this.size[0] - across : across) - 0.5, (top - this.top) / this.zoom - 0.5];
  }

  /** Draw keypoints over the picture.
   *  @param what {keypoints: K of [x, y, score], threshold, names, box or null, faint} */
  draw(what) {
    this.shown = what;
    this.picture.classList.toggle("mirrored", this.mirrored);
    if (!this.size) return;
    const brush = this.overlay.getContext("2d"), fine = window.devicePixelRatio || 1;
    brush.setTransform(fine, 0, 0, fine, 0, 0);
    brush.clearRect(0, 0, this.root.clientWidth, this.root.clientHeight);
    this.#draw(brush, what, (x, y) => this.place(x, y), this.zoom);
  }

  /** The picture with its keypoints as it is shown, as a canvas of the picture's size. */
  snapshot(bitmap) {
    const canvas = document.createElement("canvas"), [width, height] = this.size;
    const shrink = Math.min(1, 2 * LARGEST / Math.max(width, height));
    canvas.width = Math.round(width * shrink);
    canvas.height = Math.round(height * shrink);
    const brush = canvas.getContext("2d");
    brush.fillStyle = "#fff";
    brush.fillRect(0, 0, canvas.width, canvas.height);
    brush.save();
    if (this.mirrored) brush.setTransform(-1, 0, 0, 1, canvas.width, 0);
    brush.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    brush.restore();
    const across = x => (this.mirrored ? width - 1 - x : x);
    this.#draw(brush, this.shown, (x, y) => [(across(x) + 0.5) * shrink, (y + 0.5) * shrink], shrink);
    return canvas;
  }

  #draw(brush, { keypoints, threshold, names, box, faint }, place, zoom) {
    brush.lineCap = brush.lineJoin = "round";
    const side = Math.min(...this.size) * zoom, grown = Math.max(1, side / 900); // a snapshot has more pixels than a screen
    if (box) this.#box(brush, box, place, [6, 5]);
    const seen = keypoints.map(([x, y, score]) => score >= threshold && Number.isFinite(x) && Number.isFinite(y));
    const points = keypoints.map(([x, y]) => place(x, y)), visible = points.filter((_, k) => seen[k]);
    if (visible.length) {
      brush.globalAlpha = faint ? 0.35 : 1;
      const along = c => Math.max(...visible.map(p => p[c])) - Math.min(...visible.map(p => p[c]));
      const width = Math.min(Math.max(Math.min(Math.max(along(0), along(1), side / 4) / 80, side / 110), 1.5), 7 * grown);
      const links = this.skeleton.links.map(([a, b], i) => [a, b, rgb(this.skeleton.link_colours[i])])
        .filter(([a, b]) => seen[a] && seen[b]);
      const line = (a, b, colour, wide) => {
        brush.strokeStyle = colour;
        brush.lineWidth = wide;
        brush.beginPath();
        brush.moveTo(...points[a]);
        brush.lineTo(...points[b]);
        brush.stroke();
      };
      for (const [a, b] of links) line(a, b, DARK, width + 2); // all edges first, so that none cuts through another link
      for (const [a, b, own] of links) line(a, b, own, width);
      points.forEach(([x, y], k) => {
        if (!seen[k]) return;
        for (const [radius, colour] of [[1.3 * width + 1, DARK], [1.3 * width, this.colours[k]]]) {
          brush.fillStyle = colour;
          brush.beginPath();
          brush.arc(x, y, radius, 0, 2 * Math.PI);
          brush.fill();
        }
      });
      if (names) {
        brush.font = `${Math.round(Math.min(Math.max(11, 4 * width), 16) * grown)}px system-ui, sans-serif`;
        brush.lineWidth = 3 * grown;
        brush.strokeStyle = DARK;
        brush.fillStyle = PAPER;
        points.forEach(([x, y], k) => {
          if (!seen[k]) return;
          for (const how of ["strokeText", "fillText"]) brush[how](this.skeleton.keypoints[k], x + 2.6 * width, y - 1.3 * width);
        });
      }
      brush.globalAlpha = 1;
    }
    if (this.drag) this.#box(brush, this.drag, place, []);
  }

  #box(brush, [x0, y0, x1, y1], place, dash) {
    const [a, b] = place(x0, y0), [c, d] = place(x1, y1);
    for (const [colour, width] of [[DARK, 3.5], [PAPER, 1.5]]) {
      brush.strokeStyle = colour;
      brush.lineWidth = width;
      brush.setLineDash(dash);
      brush.strokeRect(Math.min(a, c), Math.min(b, d), Math.abs(c - a), Math.abs(d - b));
    }
    brush.setLineDash([]);
  }

  #listen() {
    let begun = null;
    const here = event => {
      const frame = this.root.getBoundingClientRect();
      return [event.clientX - frame.left - this.root.clientLeft, event.clientY - frame.top - this.root.clientTop];
    };
    const boxTo = event => {
      const [ax, ay] = this.pixel(...begun), [bx, by] = this.pixel(...here(event)), [width, height] = this.size;
      const within = (value, length) => Math.min(Math.max(value, -0.5), length - 0.5);
      return [
        within(Math.min(ax, bx), width), within(Math.min(ay, by), height),
        within(Math.max(ax, bx), width), within(Math.max(ay, by), height),
      ];
    };
    const end = () => {
      begun = this.drag = null;
      if (this.shown) this.draw(this.shown);
    };
    this.root.addEventListener("pointerdown", event => {
      // A finger scrolls the page unless it was asked to draw.
      if (!this.size || !this.shown || event.button !== 0 || (event.pointerType === "touch" && !this.drawing)) return;
      begun = here(event);
      this.root.setPointerCapture(event.pointerId);
    });
    this.root.addEventListener("pointermove", event => {
      if (!begun) return;
      this.drag = boxTo(event);
      this.draw(this.shown);
    });
    this.root.addEventListener("pointerup", event => {
      if (!begun) return;
      const [x, y] = here(event), far = Math.min(Math.abs(x - begun[0]), Math.abs(y - begun[1])) >= LEAST_DRAG;
      const box = boxTo(event);
      end();
      if (far && box[2] > box[0] && box[3] > box[1]) this.onBox(box);
    });
    for (const name of ["pointercancel", "lostpointercapture"]) this.root.addEventListener(name, () => begun && end());
    this.cancel = end;
  }
}
