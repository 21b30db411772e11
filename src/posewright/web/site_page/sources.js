// Where pictures come from: a file, a video file, a camera. Each has: kind, name, moving, grab() -> {bitmap, time, frame},
// mirrored (how it is shown at first), stop(); moving ones also play(), pause() and a video element of their own, and call
// what they were given as `on`: frame() for each new one, seeked(), ended().

import { bitmapOf } from "./posewright.js";

/** A picture: a Blob, or what else a bitmap can be made of. */
export async function openPicture(source, name) {
  let bitmap;
  try {
    bitmap = await bitmapOf(source);
  } catch {
    throw new Error(`${name} cannot be read as a picture here: it is damaged, too large, or of a kind this browser does not know`);
  }
  return {
    kind: "picture", name, moving: false, mirrored: false,
    grab: async () => ({ bitmap, time: null }),
    stop() {},
  };
}

/** In the page, though nobody sees it: some browsers play no other. */
function makeVideo() {
  const video = Object.assign(document.createElement("video"), { playsInline: true, muted: true, className: "source" });
  video.setAttribute("aria-hidden", "true");
  document.body.append(video);
  return video;
}

const MOST_MISSED = 30; // frames in a row

class Moving {
  moving = true;
  #stopped = false;
  #seen = -1;
  #missed = 0;

  constructor(video, on) {
    this.video = video;
    this.on = on;
    for (const name of ["seeked", "ended"]) video.addEventListener(name, () => !this.#stopped && on[name]?.());
    this.#next();
  }

  /** Tell of each frame that the video element shows. */
  #next() {
    const video = this.video;
    const look = (_, about) => {
      if (this.#stopped) return;
      this.mediaTime = about?.mediaTime ?? video.currentTime;
      if (about || this.mediaTime !== this.#seen) { this.#seen = this.mediaTime; this.on.frame(); }
      this.#next();
    };
    if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(look);
    else requestAnimationFrame(() => look());
  }

  async grab() {
    if (this.video.readyState < 2) return null;
    const time = this.time();
    try {
      const bitmap = await bitmapOf(this.video);
      this.#missed = 0;
      return { bitmap, time };
    } catch (error) {
      // Between two frames, or while it begins, there may be none for a moment.
      if (++this.#missed > MOST_MISSED) throw error;
      return null;
    }
  }

  stop() {
    this.#stopped = true;
    this.video.pause();
    this.video.remove();
  }
}

class VideoFile extends Moving {
  kind = "video";
  mirrored = false;

  constructor(video, on, name, address) {
    super(video, on);
    this.name = name;
    this.address = address;
  }

  time() { return this.video.paused ? this.video.currentTime : this.mediaTime ?? this.video.currentTime; }
  async play() { await this.video.play(); }
  pause() { this.video.pause(); }
  step(seconds) { this.video.currentTime = Math.min(Math.max(this.video.currentTime + seconds, 0), this.video.duration || 0); }

  stop() {
    super.stop();
    this.video.removeAttribute("src");
    this.video.load();
    URL.revokeObjectURL(this.address);
  }
}

/** A video file, playing. */
export async function openVideo(blob, name, on) {
  const address = URL.createObjectURL(blob), video = makeVideo();
  video.src = address;
  try {
    await new Promise((resolve, reject) => {
      video.addEventListener("loadeddata", resolve, { once: true });
      video.addEventListener("error", reject, { once: true });
    });
    if (!video.videoWidth) throw new Error("no picture");
  } catch {
    video.remove();
    URL.revokeObjectURL(address);
    throw new Error(`${name} cannot be played here: it is damaged, or of a kind this browser does not know (H.264 in mp4 is safest)`);
  }
  const source = new VideoFile(video, on, name, address);
  await video.play().catch(() => {}); // a browser that does not let it start by itself shows its first frame
  return source;
}

class Camera extends Moving {
  kind = "camera";

  constructor(video, on, stream) {
    super(video, on);
    this.stream = stream;
    const track = stream.getVideoTracks()[0], { facingMode, deviceId } = track.getSettings();
    this.name = track.label || "camera";
    this.deviceId = deviceId;
    // A camera that looks at who sits before it is shown like a mirror; only one that looks away is not.
    this.mirrored = facingMode !== "environment" && !/\b(back|rear)\b/i.test(track.label);
  }

  time() { return performance.now() / 1000; }
  async play() { await this.video.play(); }
  pause() { this.video.pause(); }

  stop() {
    super.stop();
    for (const track of this.stream.getTracks()) track.stop();
    this.video.srcObject = null;
  }
}

const REFUSALS = {
  NotAllowedError: "The camera was not allowed: allow it for this page in the browser's settings, and try again.",
  NotFoundError: "No camera was found.",
  OverconstrainedError: "That camera is not there any more.",
  NotReadableError: "The camera could not be started: another program may have it.",
};

/** A camera, running; any one where deviceId is empty. */
export async function openCamera(deviceId, on) {
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new Error("Browsers give cameras only to pages at https:// or http://localhost addresses.");
  }
  const which = deviceId ? { deviceId: { exact: deviceId } } : { facingMode: "user" };
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { ...which, width: { ideal: 1280 }, height: { ideal: 720 } } });
  } catch (error) {
    throw new Error(REFUSALS[error.name] ?? `The camera could not be started: ${error.message || error.name}`);
  }
  const video = makeVideo();
  video.srcObject = stream;
  const camera = new Camera(video, on, stream);
  stream.getVideoTracks()[0].addEventListener("ended", on.ended);
  try {
    await video.play();
  } catch (error) {
    camera.stop();
    throw new Error(`The camera could not be started: ${error.message}`);
  }
  return camera;
}

/** The cameras there are, as {id, label}; their names are known only after one was allowed. */
export async function listCameras() {
  const devices = await navigator.mediaDevices?.enumerateDevices?.() ?? [];
  return devices.filter(device => device.kind === "videoinput")
    .map((device, i) => ({ id: device.deviceId, label: device.label || `Camera ${i + 1}` }));
}
