// What the page tells in words and figures.

const at = id => document.getElementById(id);
const element = (name, text = "") => Object.assign(document.createElement(name), { textContent: text });

export function say(text, bad = false) {
  at("status").textContent = text;
  at("status").classList.toggle("bad", bad);
}

/** How far the files have come that the model needs. */
export function progress({ what, loaded, total }) {
  const words = { model: "Fetching the model", engine: "Fetching the engine that runs it" }[what];
  at("loading-text").textContent = `${words}: ${(loaded / 1e6).toFixed(1)}${total ? ` of ${(total / 1e6).toFixed(1)}` : ""} MB`;
  if (total >= loaded && total) at("loaded").value = loaded / total;
  else at("loaded").removeAttribute("value"); // a server that packs files does not tell how large they are
}

export class Table {
  constructor(skeleton, colours) {
    this.rows = skeleton.keypoints.map((name, k) => {
      const row = element("tr"), head = element("th"), dot = element("i");
      head.scope = "row";
      dot.style.background = colours[k];
      head.append(dot, name);
      const cells = [element("td", "\u2013"), element("td", "\u2013"), element("td", "\u2013")];
      row.append(head, ...cells);
      return { row, cells };
    });
    at("keypoints").replaceChildren(...this.rows.map(({ row }) => row));
  }

  show(keypoints, threshold) {
    let shown = 0;
    keypoints.forEach((point, k) => {
      const { row, cells } = this.rows[k], low = !(point[2] >= threshold);
      row.classList.toggle("low", low);
      if (!low) shown++;
      point.forEach((value, c) => { cells[c].textContent = Number.isFinite(value) ? value.toFixed(c === 2 ? 2 : 1) : "\u2013"; });
    });
    at("shown").textContent = `${shown} of ${keypoints.length} shown`;
  }
}

export function presence(value) {
  at("presence").value = value;
  at("presence-value").textContent = value.toFixed(2);
}

/** Where a video is; the slider is left to who is moving it. */
export function position(video, paused) {
  const clock = s => `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, "0")}`;
  const length = Number.isFinite(video.duration) ? video.duration : 0;
  at("seek").max = length || 1;
  if (document.activeElement !== at("seek") || !paused) at("seek").value = video.currentTime;
  at("position").textContent = `${clock(video.currentTime)} / ${clock(length)}`;
}

/** Frames a second over the last ones, and where the time went, smoothed so that it can be read. */
export class Figures {
  #times = [];
  #ms = {};

  add(ms, moving) {
    const now = performance.now();
    this.#times = moving ? [...this.#times.filter(t => now - t < 2000), now] : [];
    for (const [part, value] of Object.entries(ms)) {
      const before = this.#ms[part];
      this.#ms[part] = moving && before !== undefined ? before + 0.15 * (value - before) : value;
      at(`ms-${part}`).textContent = `${this.#ms[part].toFixed(this.#ms[part] < 9.95 ? 1 : 0)} ms`;
    }
    at("rate").textContent = this.rate === null ? "\u2013" : this.rate.toFixed(1);
  }

  get rate() {
    const count = this.#times.length;
    return count > 2 ? 1000 * (count - 1) / (this.#times[count - 1] - this.#times[0]) : null;
  }

  restart() {
    this.#times = [];
    this.#ms = {};
  }
}

export function about(model) {
  const { info } = model, said = info.posewright;
  const rows = [
    ["Finds", `${said.skeleton.keypoints.length} keypoints of '${said.skeleton.name}'`],
    ["Input", `${said.crop.width} x ${said.crop.height} pixels, net ${said.preset}, ${(info.bytes / 1e6).toFixed(1)} MB`],
    ["Score", said.calibrated ? `calibrated: the share of such keypoints that are right by ${said.calibration}`
      : "the height of the decoded peak: the higher the surer, but no share of anything"],
    ["Trained on", (said.training_data ?? []).join("; ")],
    ["Measured", Object.entries(said.metrics ?? {}).map(([name, m]) => `${name} ${figure(m?.value)}${m?.data ? ` on ${m.data}` : ""}`).join("; ")],
    ["Terms", said.terms],
    ["Runs on", `${engineWords(model)}${model.reason ? ` (${model.reason})` : ""}`],
    ["Made with", `posewright ${said.tool_version}, ${info.runtime}`],
  ];
  at("about").replaceChildren(...rows.filter(([, text]) => text).map(([name, text]) => {
    const row = element("div");
    row.append(element("dt", name), element("dd", text));
    return row;
  }));
}

const figure = value => (typeof value === "number" ? Number(value.toPrecision(4)) : value);

export const engineWords = ({ engine, threads }) =>
  engine === "webgpu" ? "WebGPU" : `WebAssembly, ${threads} thread${threads === 1 ? "" : "s"}`;
