// The picture on the screen: where its pixels lie, and what is drawn over it.
//
// On the screen a picture's pixel i covers zoom * i to zoom * (i + 1) from the picture's corner, and its centre is the
// whole coordinate i: between the two frames lies half a pixel.

import {extent} from "./edit.js";

const HALF = 0.5;
const MARGIN = 20; // of the stage, around a fitted picture
const ABOVE = 52; // room for what is written over it
const MOST = 64; // screen pixels a pixel

export class View {
  constructor(stage, pictureCanvas, overlayCanvas) {
    [this.stage, this.under, this.over] = [stage, pictureCanvas, overlayCanvas];
    this.image = null;
    this.zoom = 1;
    this.x = this.y = 0; // the picture's corner on the stage
    this.fitted = true;
    this.close = false; // zoomed to an object
  }

  get size() {
    return this.image ? [this.image.naturalWidth, this.image.naturalHeight] : [1, 1];
  }

  get room() {
    return [this.stage.clientWidth, this.stage.clientHeight];
  }

  toScreen([x, y]) {
    return [(x + HALF) * this.zoom + this.x, (y + HALF) * this.zoom + this.y];
  }

  toPicture([x, y]) {
    return [(x - this.x) / this.zoom - HALF, (y - this.y) / this.zoom - HALF];
  }

  resize() {
    // Canvases begin and end on whole pixels of the screen: else the browser moves or stretches them by part of one.
    const ratio = window.devicePixelRatio || 1, rect = this.stage.getBoundingClientRect();
    const whole = value => Math.round(value * ratio) / ratio;
    for (const canvas of [this.under, this.over]) {
      canvas.width = Math.round(rect.width * ratio);
      canvas.height = Math.round(rect.height * ratio);
      canvas.style.width = canvas.width / ratio + "px";
      canvas.style.height = canvas.height / ratio + "px";
      canvas.style.left = whole(rect.left) - rect.left + "px";
      canvas.style.top = whole(rect.top) - rect.top + "px";
    }
    if (this.fitted) this.fit();
  }

  fit() {
    this.#show([-HALF, -HALF, this.size[0] - HALF, this.size[1] - HALF]);
    this.fitted = true;
    this.close = false;
  }

  /** Zoom to a box of the picture, with a quarter of its longer side around it. */
  zoomTo([x0, y0, x1, y1]) {
    const more = Math.max(x1 - x0, y1 - y0, 16) / 4;
    this.#show([x0 - more, y0 - more, x1 + more, y1 + more]);
    this.fitted = false;
    this.close = true;
  }

  #show([x0, y0, x1, y1]) {
    const [width, height] = this.room, free = height - ABOVE - MARGIN;
    const across = Math.max(width - 2 * MARGIN, 50) / (x1 - x0), down = Math.max(free, 50) / (y1 - y0);
    this.zoom = Math.min(across, down, MOST);
    this.x = width / 2 - ((x0 + x1) / 2 + HALF) * this.zoom;
    this.y = ABOVE + free / 2 - ((y0 + y1) / 2 + HALF) * this.zoom;
  }

  /** Zoom by a factor about a point of the stage, which stays where it is. */
  zoomAt([x, y], factor) {
    const least = Math.min(0.05, this.room[0] / this.size[0] / 4);
    const zoom = Math.min(Math.max(this.zoom * factor, least), MOST);
    this.x = x - ((x - this.x) * zoom) / this.zoom;
    this.y = y - ((y - this.y) * zoom) / this.zoom;
    this.zoom = zoom;
    this.fitted = false;
  }

  pan(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.fitted = false;
  }

  /** Move so far that a point of the picture is on the stage. */
  reveal(point) {
    const [x, y] = this.toScreen(point), [width, height] = this.room, rim = 30;
    const dx = Math.max(rim - x, 0) + Math.min(width - rim - x, 0);
    const dy = Math.max(rim - y, 0) + Math.min(height - rim - y, 0);
    if (dx || dy) this.pan(dx, dy);
  }

  // -- drawing --------------------------------------------------------------------------------------------------------

  #context(canvas) {
    const context = canvas.getContext("2d"), ratio = window.devicePixelRatio || 1;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    return context;
  }

  drawPicture() {
    const context = this.#context(this.under);
    if (!this.image) return;
    context.imageSmoothingEnabled = this.zoom < 3; // single pixels are seen as such
    context.imageSmoothingQuality = "high";
    const [width, height] = this.size.map(side => side * this.zoom);
    const left = Math.ceil(this.x), top = Math.ceil(this.y); // whole pixels: else a white rim shows
    context.fillStyle = "#fff"; // under what is transparent, as the model has it
    context.fillRect(left, top, Math.floor(this.x + width) - left, Math.floor(this.y + height) - top);
    context.drawImage(this.image, this.x, this.y, width, height);
  }

  /**
   * What lies over the picture: `scene` holds the skeleton (links, colours, points' colours, names), the objects, the
   * active object and keypoint, the proposals to show, a box being drawn, and whether names and labels are shown.
   */
  drawOverlay(scene) {
    const context = this.#context(this.over);
    if (!this.image || scene.bare) return;
    for (const proposal of scene.proposals) this.#pose(context, scene, proposal.points, {dashed: true});
    scene.objects.forEach((object, o) => {
      if (o !== scene.active) this.#object(context, scene, object, false);
    });
    const active = scene.objects[scene.active];
    if (active) this.#object(context, scene, active, true);
    if (scene.drawn) this.#box(context, scene.drawn, "#fff", [6, 4]);
  }

  #object(context, scene, object, active) {
    context.globalAlpha = active ? 1 : 0.5;
    const box = object.box || (active && scene.objects.length > 1 ? extent(object) : null);
    if (box) this.#box(context, box, active ? "#ffffffd0" : "#ffffff90", object.box ? [] : [2, 4]);
    this.#pose(context, scene, object.points, {active});
    context.globalAlpha = 1;
  }

  #box(context, [x0, y0, x1, y1], colour, dash) {
    const [left, top] = this.toScreen([x0, y0]), [right, bottom] = this.toScreen([x1, y1]);
    for (const [style, width] of [["#0009", 3], [colour, 1.25]]) {
      context.strokeStyle = style;
      context.lineWidth = width;
      context.setLineDash(dash);
      context.strokeRect(left, top, right - left, bottom - top);
    }
    context.setLineDash([]);
  }

  /** How large points are drawn: smaller where they lie close together. */
  #radius(points) {
    const seen = points.filter(p => p && p[2] > 0);
    if (seen.length < 2) return 5;
    const gaps = seen.map((p, i) => Math.min(...seen.map((q, j) => (i === j ? Infinity : Math.hypot(p[0] - q[0], p[1] - q[1])))));
    gaps.sort((a, b) => a - b);
    return Math.min(Math.max(gaps[gaps.length >> 1] * this.zoom * 0.28, 2.2), 5.5);
  }

  #pose(context, scene, points, {active = false, dashed = false}) {
    const radius = this.#radius(points), at = points.map(p => (p && p[2] > 0 ? this.toScreen(p) : null));
    context.lineCap = "round";
    context.setLineDash(dashed ? [5, 6] : []);
    const links = scene.links.map(([a, b], i) => [at[a], at[b], scene.colours[i]]).filter(([a, b]) => a && b);
    for (const edge of [true, false]) {
      context.globalAlpha *= edge ? 0.6 : 1;
      for (const [a, b, colour] of links) {
        context.strokeStyle = edge ? "#000" : colour;
        context.lineWidth = Math.max(radius * 0.45, 1.2) + (edge ? 1.6 : 0);
        context.beginPath();
        context.moveTo(...a);
        context.lineTo(...b);
        context.stroke();
      }
      context.globalAlpha /= edge ? 0.6 : 1;
    }
    context.setLineDash([]);
    at.forEach((place, k) => {
      if (place) this.#point(context, place, radius, scene.points[k], points[k], dashed);
    });
    if (active) this.#chosen(context, scene, at, radius);
    if (dashed && scene.scores) this.#texts(context, at, radius, k => points[k][3].toFixed(2), null);
    else if (active && scene.showNames) this.#texts(context, at, radius, k => scene.names[k], scene.chosen);
  }

  /** Words beside points, the chosen one's first; those that would cover others or points are left out until there is
   * room. */
  #texts(context, at, radius, text, first) {
    context.font = "12px system-ui, 'DejaVu Sans', sans-serif";
    const gap = radius + 7, half = 7, taken = at.filter(Boolean).map(([x, y]) => [x - radius, y - radius, x + radius, y + radius]);
    const free = ([l, t, r, b]) => !taken.some(([x0, y0, x1, y1]) => l < x1 && r > x0 && t < y1 && b > y0);
    const turn = [...at.keys()].sort((a, b) => (b === first) - (a === first));
    for (const k of turn) {
      if (!at[k]) continue;
      const [x, y] = at[k], width = context.measureText(text(k)).width;
      const beside = [[x + gap, y], [x - gap - width, y], [x - width / 2, y - gap - half], [x - width / 2, y + gap + half]];
      const rooms = beside.map(([left, line]) => [left, line - half, left + width, line + half]);
      const room = rooms.find(r => r[0] >= 0 && r[2] <= this.room[0] && free(r)) ?? (k === first ? rooms[0] : null);
      if (!room) continue;
      taken.push(room);
      this.#text(context, [room[0], room[1] + half], text(k));
    }
  }

  #point(context, [x, y], radius, colour, point, dashed) {
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    const hollow = dashed || point[2] === 1;
    context.lineWidth = hollow ? 4 : 2.5;
    context.strokeStyle = "#000a";
    context.stroke();
    if (hollow) {
      context.fillStyle = "#0006";
      context.fill();
      context.lineWidth = 2;
      context.strokeStyle = colour;
      if (dashed) context.setLineDash([3, 2.5]);
      context.stroke();
      context.setLineDash([]);
    } else {
      context.fillStyle = colour;
      context.fill();
      context.lineWidth = 1;
      context.strokeStyle = "#fff";
      context.stroke();
    }
  }

  /** A ring around the chosen keypoint, and a cross whose middle is the place itself. */
  #chosen(context, scene, at, radius) {
    const place = at[scene.chosen];
    if (!place) return;
    const [x, y] = place, ring = radius + 6;
    for (const [style, width] of [["#000c", 4], ["#fff", 2]]) {
      context.strokeStyle = style;
      context.lineWidth = width;
      context.beginPath();
      context.arc(x, y, ring, 0, 2 * Math.PI);
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        context.moveTo(x + dx * ring, y + dy * ring);
        context.lineTo(x + dx * (ring + 6), y + dy * (ring + 6));
      }
      context.stroke();
    }
  }

  #text(context, [x, y], text) {
    context.textBaseline = "middle";
    context.lineWidth = 3.5;
    context.lineJoin = "round";
    context.strokeStyle = "#000d";
    context.fillStyle = "#fff";
    context.strokeText(text, x, y);
    context.fillText(text, x, y);
  }
}
