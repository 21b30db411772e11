// A model in a web page: what index.html is built on, and what other pages can import.
//
//   import { load } from "./site/posewright.js";
//   const model = await load();
//   const found = await model.predict(document.querySelector("img"));

import { isBox } from "./geometry.js";

/** Start the worker. From a page that has a Content-Security-Policy, it is started in a way that makes it obey that too:
 *  a worker with an address of its own would not. */
async function startWorker() {
  const address = new URL("worker.js", import.meta.url).href;
  const shell = URL.createObjectURL(new Blob([`import ${JSON.stringify(address)};`], { type: "text/javascript" }));
  const begun = source => new Promise((resolve, reject) => {
    const worker = new Worker(source, { type: "module", name: "posewright" });
    worker.onmessage = () => resolve(worker); // its hello
    worker.onerror = () => { worker.terminate(); reject(new Error("the worker could not be started")); };
  });
  try {
    return await begun(shell);
  } catch {
    return await begun(address); // where workers made from text may not import
  } finally {
    URL.revokeObjectURL(shell);
  }
}

/** Load the model that lies beside this file.
 *  @param engine "auto" (WebGPU where it works), "wasm" or "webgpu"
 *  @param progress called with {what: "model" or "engine", loaded, total} in bytes; total is 0 where nobody knows
 *  @returns a Model */
export async function load({ engine = "auto", progress = () => {} } = {}) {
  if (!["auto", "wasm", "webgpu"].includes(engine)) throw new Error(`unknown engine '${engine}'`);
  const answer = await fetch(new URL("model.json", import.meta.url), { cache: "no-cache" });
  if (!answer.ok) throw new Error(`model.json could not be fetched: ${answer.status} ${answer.statusText}`);
  const info = await answer.json();
  const model = new Model(info, await startWorker(), progress);
  try {
    // Its digest in the address: a browser that remembers an older model under that name asks again.
    Object.assign(model, await model._ask({
      type: "load", engine, info, model: `${info.file}?${info.sha256.slice(0, 16)}`,
    }));
  } catch (error) {
    model.close();
    throw error;
  }
  return model;
}

/** A model that runs in a worker.
 *  - info: model.json; info.posewright is what the model file says of itself
 *  - names: its keypoints
 *  - engine: "wasm" or "webgpu"; threads; reason: why not WebGPU */
export class Model {
  #worker; #waiting = new Map(); #next = 0;

  constructor(info, worker, progress) {
    this.info = info;
    this.names = info.posewright.skeleton.keypoints;
    this.#worker = worker;
    worker.onmessage = ({ data }) => {
      if (data.type === "progress") { progress(data); return; }
      const asked = this.#waiting.get(data.id);
      if (!asked) { data.bitmap?.close(); return; }
      this.#waiting.delete(data.id);
      if (data.type === "done") asked.resolve(asked.keep ? { ...data.result, bitmap: data.bitmap } : data.result);
      else asked.reject(Object.assign(new Error(data.message), { bitmap: data.bitmap }));
    };
    worker.onerror = event => this.#fail(event.message || "the worker died");
  }

  #fail(message) {
    for (const { reject } of this.#waiting.values()) reject(new Error(message));
    this.#waiting.clear();
  }

  _ask(message, transfer = [], keep = false) {
    return new Promise((resolve, reject) => {
      const id = this.#next++;
      this.#waiting.set(id, { resolve, reject, keep });
      this.#worker.postMessage({ ...message, id }, transfer);
    });
  }

  /** Find the keypoints of one object.
   *  @param source a Blob or File, an image, video or canvas element, an ImageBitmap or ImageData
   *  @param box [x0, y0, x1, y1] around the object in the picture's pixels; null for the whole picture
   *  @returns {width, height, keypoints: K of [x, y, score], presence, box, ms: {read, crop, net}}; x and y in pixels of the
   *           picture, (0, 0) at the centre of the first one */
  async predict(source, { box = null } = {}) {
    if (box !== null && !isBox(box)) throw new Error("a box is [x0, y0, x1, y1] with x0 < x1 and y0 < y1");
    const found = await this.predictBitmap(await bitmapOf(source), box);
    found.bitmap.close();
    delete found.bitmap;
    return found;
  }

  /** Like predict, of an ImageBitmap, which is given away and comes back as `bitmap` of the result (or of the error). */
  predictBitmap(bitmap, box = null) {
    return this._ask({ type: "infer", bitmap, box }, [bitmap], true);
  }

  close() {
    this.#worker.terminate();
    this.#fail("the model was closed");
  }
}

/** A picture as it is meant to be seen, by its EXIF orientation, with its colours as they are in the file. */
export const bitmapOf = source => createImageBitmap(source, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
