// Every change goes to the server at once, in order, one at a time; what it could not take waits and is sent again.

import {same} from "./sheet.js";

const AGAIN = 1000; // milliseconds until a server that has gone is tried again
const SILENT = 12000; // milliseconds without a sign of life until it counts as gone

export async function post(path, content) {
  const headers = {"X-Posewright": "label", "Content-Type": "application/json"};
  return fetch(path, {method: "POST", headers, body: JSON.stringify(content)});
}

export class Sync {
  /** `on` has changed(), refused(sheet, why), overtaken(sheet), connected() and happened(event). */
  constructor(on) {
    this.on = on;
    this.client = Array.from(crypto.getRandomValues(new Uint32Array(2)), n => n.toString(36)).join("");
    this.waiting = [];
    this.busy = this.ended = false;
    this.failing = this.silent = false; // what was sent did not arrive; nothing was heard for long
    this.trouble = ""; // why the server, which is there, cannot keep what it is sent
    this.heard = performance.now();
    this.#listen();
    setInterval(() => this.#look(), 2000);
  }

  get gone() {
    return this.failing || (this.silent && !this.ended);
  }

  /** A sheet has changed. */
  push(sheet) {
    if (!this.waiting.includes(sheet)) this.waiting.push(sheet);
    this.on.changed();
    this.#run();
  }

  async #run() {
    if (this.busy) return;
    this.busy = true;
    while (this.waiting.length) {
      const sheet = this.waiting[0], state = sheet.state;
      let answer;
      try {
        answer = await post("save/" + sheet.index, {client: this.client, base: sheet.revision, state});
      } catch {
        answer = null;
      }
      if (!answer || answer.status === 403 || answer.status >= 500) {
        this.failing = true;
        this.trouble = answer?.status >= 500 ? await answer.text().catch(() => "") : "";
        this.on.changed();
        await new Promise(done => setTimeout(done, AGAIN));
        continue;
      }
      if (this.failing && this.events.readyState !== EventSource.OPEN) {
        this.events.close();
        this.#listen(); // the browser itself would wait some seconds more
      }
      this.failing = this.silent = false;
      this.trouble = "";
      await this.#answered(sheet, state, answer);
      this.on.changed();
    }
    this.busy = false;
  }

  async #answered(sheet, state, answer) {
    if (answer.ok) {
      sheet.revision = (await answer.json()).revision;
      sheet.known = state;
    } else if (answer.status === 409) {
      const theirs = await answer.json();
      if (same(theirs, sheet.known)) {
        sheet.revision = theirs.revision; // the server was started again, and knows the picture as we left it
        return;
      }
      if (!same(theirs, sheet.state)) {
        sheet.overtaken(theirs);
        this.on.overtaken(sheet);
      } else {
        sheet.take(theirs);
      }
    } else {
      const why = await answer.text();
      Object.assign(sheet, sheet.known);
      this.on.refused(sheet, why);
    }
    if (same(sheet.state, sheet.known)) this.waiting = this.waiting.filter(other => other !== sheet);
  }

  #listen() {
    this.events = new EventSource("events?" + this.client);
    this.events.onopen = () => this.on.connected();
    this.events.onmessage = message => {
      this.heard = performance.now();
      const event = JSON.parse(message.data);
      if (event.kind === "end") {
        this.ended = true;
        this.events.close();
      } else {
        this.ended = this.silent = false;
      }
      if (event.kind !== "alive") this.on.happened(event);
      this.on.changed();
    };
  }

  /** This page is left: the others are told at once, not when its line is found dead. */
  leave() {
    this.events.close();
    const headers = {"X-Posewright": "label", "Content-Type": "application/json"};
    fetch("leave", {method: "POST", keepalive: true, headers, body: JSON.stringify(this.client)}).catch(() => {});
  }

  /** The program was told to end. */
  end() {
    this.ended = true;
    this.on.changed();
  }

  #look() {
    if (this.ended) return;
    if (this.events.readyState === EventSource.CLOSED || performance.now() - this.heard > SILENT) {
      this.events.close();
      this.silent = true;
      this.#listen();
      this.heard = performance.now();
      this.on.changed();
    }
  }
}
