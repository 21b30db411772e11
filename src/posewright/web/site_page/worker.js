// Runs the net, away from the page: takes pictures, cuts the crop out, returns keypoints in the picture's pixels.

import { cropMap, pictureBox } from "./geometry.js";
import { crop } from "./warp.js";

const ENGINES = {
  wasm: { script: "runtime/ort-wasm.js", binary: "runtime/ort-wasm-simd-threaded.wasm" },
  webgpu: { script: "runtime/ort-webgpu.js", binary: "runtime/ort-wasm-simd-threaded.asyncify.wasm" },
};
const MOST_THREADS = 4;

let ort = null, session = null, info = null, batch = 1, input = null;
const canvas = new OffscreenCanvas(1, 1);
const brush = canvas.getContext("2d", { willReadFrequently: true });

const at = path => new URL(path, import.meta.url);

/** A file's bytes, with word of how far it has come. */
async function fetched(path, what) {
  const answer = await fetch(at(path));
  if (!answer.ok) throw new Error(`${path} could not be fetched: ${answer.status} ${answer.statusText}`);
  const total = Number(answer.headers.get("Content-Length")) || 0;
  if (!answer.body) return new Uint8Array(await answer.arrayBuffer());
  const parts = [];
  let loaded = 0;
  for (let reader = answer.body.getReader(), told = 0; ;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    loaded += value.length;
    if (performance.now() - told > 100) {
      told = performance.now();
      postMessage({ type: "progress", what, loaded, total });
    }
  }
  const bytes = new Uint8Array(loaded);
  let end = 0;
  for (const part of parts) { bytes.set(part, end); end += part.length; }
  return bytes;
}

/** Why WebGPU is not tried; empty where it is. A software adapter is slower than WebAssembly. */
async function againstWebGPU(asked) {
  if (!navigator.gpu) return "this browser has no WebGPU";
  const adapter = await navigator.gpu.requestAdapter();
  if (!adapter) return "there is no WebGPU adapter";
  const software = adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter ?? false;
  return software && asked !== "webgpu" ? "its WebGPU runs in software" : "";
}

async function start(engine, model) {
  const { script, binary } = ENGINES[engine];
  const wasm = await fetched(binary, "engine");
  ort = await import(at(script));
  ort.env.logLevel = "error";
  // Threads need shared memory, which browsers give to pages served with two certain headers only.
  const threads = self.crossOriginIsolated ? Math.min(MOST_THREADS, navigator.hardwareConcurrency || 1) : 1;
  Object.assign(ort.env.wasm, { wasmBinary: wasm, numThreads: threads, proxy: false });
  session = await ort.InferenceSession.create(model, { executionProviders: [engine], logSeverityLevel: 3 });
  const { width, height } = info.posewright.crop;
  batch = info.batch ?? 1;
  input = new Uint8Array(batch * width * height * 3);
  await net(); // the first run sets things up, and shows whether it works at all
  return engine === "webgpu" ? 1 : threads;
}

async function load(message) {
  info = message.info;
  let model = await fetched(message.model, "model");
  let reason = message.engine === "wasm" ? "asked for" : "";
  if (message.engine !== "wasm") {
    reason = await againstWebGPU(message.engine);
    if (!reason) {
      try {
        await start("webgpu", model);
        return { engine: "webgpu", threads: 1, reason: "" };
      } catch (error) {
        reason = `WebGPU failed: ${firstLine(error)}`;
        session = null;
      }
    }
  }
  return { engine: "wasm", threads: await start("wasm", model), reason };
}

async function net() {
  const { width, height } = info.posewright.crop;
  const outputs = ["keypoints", ...(info.posewright.outputs.includes("presence") ? ["presence"] : [])];
  const found = await session.run({ image: new ort.Tensor("uint8", input, [batch, height, width, 3]) }, outputs);
  const count = info.posewright.skeleton.keypoints.length * 3;
  const keypoints = await found.keypoints.getData();
  if (!(keypoints instanceof Float32Array) || keypoints.length !== batch * count) {
    throw new Error("the model returned something else than keypoints");
  }
  const own = Array.from(keypoints.subarray(0, count));
  const presence = found.presence ? (await found.presence.getData())[0] : null;
  for (const tensor of Object.values(found)) tensor.dispose();
  return { own, presence };
}

/** Reads parts of a bitmap as RGBA; what is transparent lies over white. */
const reader = bitmap => (x, y, width, height) => {
  if (canvas.width < width || canvas.height < height) {
    canvas.width = Math.max(canvas.width, width);
    canvas.height = Math.max(canvas.height, height);
  }
  brush.fillStyle = "#fff";
  brush.fillRect(0, 0, width, height);
  brush.drawImage(bitmap, x, y, width, height, 0, 0, width, height);
  return brush.getImageData(0, 0, width, height).data;
};

async function infer({ bitmap, box }) {
  const rule = info.posewright.crop, { width, height } = bitmap;
  const map = cropMap(box, width, height, rule);
  let reading = 0;
  const start = performance.now(), read = reader(bitmap);
  const timed = (...part) => {
    const before = performance.now(), data = read(...part);
    reading += performance.now() - before;
    return data;
  };
  input.set(crop(timed, width, height, map, rule));
  const cropped = performance.now();
  const { own, presence } = await net();
  const end = performance.now();
  const keypoints = [];
  let sum = 0;
  for (let i = 0; i < own.length; i += 3) {
    keypoints.push([(own[i] - map.dx) / map.scale, (own[i + 1] - map.dy) / map.scale, own[i + 2]]);
    sum += own[i + 2];
  }
  return {
    width, height, keypoints,
    presence: presence ?? sum / keypoints.length,
    box: box ?? pictureBox(width, height),
    ms: { read: reading, crop: cropped - start - reading, net: end - cropped },
  };
}

const firstLine = error => String(error?.message ?? error).split("\n")[0].slice(0, 300);

// One thing at a time: a session does not run twice at once.
let last = Promise.resolve();
self.onmessage = ({ data: message }) => {
  last = last.then(async () => {
    const { id, bitmap } = message, back = bitmap ? [bitmap] : [];
    try {
      const result = message.type === "load" ? await load(message) : await infer(message);
      postMessage({ type: "done", id, result, bitmap }, back);
    } catch (error) {
      postMessage({ type: "failed", id, message: firstLine(error), bitmap }, back);
    }
  });
};
postMessage({ type: "hello" });
