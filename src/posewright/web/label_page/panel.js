// Everything around the picture: names, lists, marks, messages, help.

import {labelled} from "./edit.js";
import {GROUPS, keysOf} from "./keys.js";

const at = id => document.getElementById(id);
const WORDS = ["", "hidden", ""];

function element(kind, text = "", name = "") {
  const made = document.createElement(kind);
  made.textContent = text;
  if (name) made.className = name;
  return made;
}

/** A name that may be broken where its words end: after _ and before capital letters. */
function broken(kind, text, name = "") {
  const made = element(kind, "", name);
  text.split(/(?<=[_.\-/ ])|(?<=[a-z])(?=[A-Z])/).forEach((part, i) => made.append(...(i ? [element("wbr")] : []), part));
  return made;
}

function set(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export class Panel {
  /** `does` has act(action), chooseKeypoint(k) and chooseObject(o). */
  constructor(overview, colours, does) {
    [this.set, this.colours, this.does] = [overview, colours, does];
    document.title = overview.title + " · posewright label";
    for (const button of document.querySelectorAll("[data-action]")) {
      const keys = keysOf(button.dataset.action);
      if (keys) button.title = button.textContent.trim() + " (" + keys + ")";
      button.addEventListener("click", () => does.act(button.dataset.action));
    }
    at("accept").hidden = !overview.model;
    this.rows = overview.keypoints.map((name, k) => this.#row(name, k));
    at("keypoints").replaceChildren(...this.rows.map(row => row.item));
    this.#help();
    this.timer = 0;
  }

  #row(name, k) {
    const item = element("li"), button = element("button"), dot = element("i"), state = element("small");
    button.type = "button";
    dot.style.borderColor = this.colours[k];
    button.append(dot, broken("span", name, "name"), state);
    button.addEventListener("click", () => this.does.chooseKeypoint(k));
    item.append(button);
    return {item, button, dot, state, colour: this.colours[k]};
  }

  #help() {
    for (const [group, rows] of Object.entries(GROUPS)) {
      const list = element("dl");
      for (const [action, keys, what] of rows) {
        if (!this.set.model && ["accept", "replace", "ask", "proposals"].includes(action)) continue;
        const row = element("div"), term = element("dt");
        keys.forEach((key, i) => term.append(...(i ? [" "] : []), element("kbd", key)));
        row.append(term, element("dd", what));
        list.append(row);
      }
      at("help-keys").append(element("h3", group), list);
    }
  }

  showPlace(place, index) {
    const [name] = this.set.pictures[index], count = this.set.pictures.length;
    set(at("place"), place + 1 + " of " + count);
    set(at("name"), name);
    at("name").title = name;
    at("stage").setAttribute("aria-label", "Picture " + name);
  }

  showProgress() {
    const rows = this.set.pictures, done = rows.filter(row => row[2]).length, some = rows.filter(row => row[1]).length;
    const flagged = rows.filter(row => row[3]).length;
    at("bar").value = done / rows.length;
    set(at("counts"), done + " done, " + some + " labelled" + (flagged ? ", " + flagged + " flagged" : "") + " of " + rows.length);
  }

  showSheet(sheet, active, chosen) {
    at("done").setAttribute("aria-pressed", sheet.done);
    at("flag").setAttribute("aria-pressed", sheet.flagged);
    this.#showObjects(sheet, active);
    const object = sheet.objects[active];
    set(at("many"), object ? labelled(object) + " of " + object.points.length : "");
    this.rows.forEach((row, k) => {
      const v = object ? object.points[k][2] : 0;
      row.button.classList.toggle("none", v === 0);
      row.button.setAttribute("aria-current", k === chosen);
      row.dot.style.background = v === 2 ? row.colour : "transparent";
      set(row.state, WORDS[v]);
      row.button.setAttribute("aria-label", this.set.keypoints[k] + ", " + ["not labelled", "hidden", "visible"][v]);
    });
    const row = this.rows[chosen];
    if (row && this.shown !== chosen) row.item.scrollIntoView({block: "nearest"});
    this.shown = chosen;
  }

  #showObjects(sheet, active) {
    const words = sheet.objects.map((object, o) => o + 1 + ": " + labelled(object) + "/" + object.points.length);
    const told = JSON.stringify([words, active]);
    if (this.told === told) return;
    this.told = told;
    const chips = sheet.objects.map((object, o) => {
      const button = element("button", words[o]);
      button.type = "button";
      button.setAttribute("aria-label", "Object " + (o + 1) + ", " + labelled(object) + " keypoints");
      button.setAttribute("aria-current", o === active);
      button.addEventListener("click", () => this.does.chooseObject(o));
      return button;
    });
    const held = at("objects").contains(document.activeElement);
    at("objects").replaceChildren(...chips);
    if (held) chips[active]?.focus();
    chips[active]?.scrollIntoView({block: "nearest"});
  }

  showHint(colour, parts) {
    const hint = at("hint"), text = parts.join("|");
    if (this.hinted === text) return;
    this.hinted = text;
    hint.replaceChildren();
    if (!parts.length) return;
    const dot = element("i");
    dot.style.background = colour;
    hint.append(dot, broken("b", parts[0] + ": "), parts.slice(1).join(" "));
  }

  showSaved(text, kind) {
    set(at("saved"), text);
    at("saved").className = kind;
  }

  showBanner(text, button = null, press = null) {
    at("banner").hidden = !text;
    set(at("banner-text"), text);
    at("banner-button").hidden = !button;
    set(at("banner-button"), button || "");
    at("banner-button").onclick = press;
  }

  showBroken(text) {
    at("broken").hidden = !text;
    set(at("broken"), text);
  }

  say(text) {
    set(at("toast"), text);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => set(at("toast"), ""), 5000);
  }

  help() {
    const dialog = at("help");
    if (dialog.open) return dialog.close();
    dialog.showModal();
    dialog.scrollTop = 0; // the button that gets the focus is at its end
  }
}
