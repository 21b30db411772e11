// All that the page can be told to do: the keys, the buttons and the help speak of this one table.

/** [action, keys, what it does], by group. Keys are KeyboardEvent.key, with Ctrl+ and Shift+ where these count. */
export const GROUPS = {
  "Pictures": [
    ["next", ["n", "PageDown"], "next picture"],
    ["previous", ["p", "PageUp"], "previous picture"],
    ["finish", ["Enter"], "done, and to the next"],
    ["done", ["d"], "done or not"],
    ["flag", ["f"], "flag to look at again"],
    ["unlabelled", ["u"], "next picture without labels"],
    ["undone", ["Shift+U"], "next picture that is not done"],
    ["flagged", ["g"], "next flagged picture"],
    ["first", ["Home"], "first picture"],
    ["last", ["End"], "last picture"],
  ],
  "Keypoints": [
    [null, ["Click"], "place the keypoint named above the picture"],
    [null, ["Right click", "Alt+click"], "place it as hidden"],
    [null, ["Drag"], "move a keypoint"],
    [null, ["Shift+click"], "put the chosen keypoint here, even over another"],
    ["later", ["Tab"], "next keypoint"],
    ["earlier", ["Shift+Tab"], "previous keypoint"],
    ["put", ["i"], "place it at the proposal, or in the middle"],
    [null, ["Arrows"], "move by 1 px (Shift: 10, Alt: 0.1, Ctrl: 100)"],
    ["hide", ["v"], "visible or hidden"],
    ["clear", ["Delete", "Backspace"], "not labelled"],
    ["swap", ["x"], "swap left and right"],
    ["swapOne", ["Shift+X"], "swap this keypoint with its other side"],
  ],
  "Objects": [
    ["new", ["w"], "new object"],
    ["nextObject", ["j"], "next object"],
    ["previousObject", ["k"], "previous object"],
    ["remove", ["Shift+Delete"], "delete the object"],
    ["box", ["b"], "draw its box"],
    ["unbox", ["Shift+B"], "box from its keypoints again"],
    ["copy", ["c"], "copy from the picture seen before"],
    ["accept", ["a"], "accept the proposal, or what is missing of it"],
    ["replace", ["Shift+A"], "replace the object by the proposal"],
    ["ask", ["m"], "ask the model about this object's box"],
    ["proposals", ["o"], "show proposals always, never, or where nothing is labelled"],
  ],
  "Looking": [
    [null, ["Wheel", "Pinch"], "zoom"],
    [null, ["Space+drag"], "move the picture"],
    ["zoom", ["z"], "zoom to the object, and back"],
    ["fit", ["0"], "whole picture"],
    ["closer", ["+", "="], "zoom in"],
    ["further", ["-"], "zoom out"],
    ["light", ["l"], "brightness and contrast"],
    ["names", ["t"], "keypoint names"],
    ["bare", ["h"], "hide all labels, or show them"],
  ],
  "Other": [
    ["undo", ["Ctrl+Z"], "undo"],
    ["redo", ["Ctrl+Shift+Z", "Ctrl+Y"], "redo"],
    ["leave", ["Escape"], "stop what is begun; leave the picture for the buttons"],
    ["help", ["?"], "this list"],
    ["quit", ["Shift+Q"], "save and end (every change is saved at once anyway)"],
  ],
};

const BY_KEY = new Map();
for (const rows of Object.values(GROUPS)) {
  for (const [action, keys] of rows) if (action) for (const key of keys) BY_KEY.set(key, action);
}

const MOVES = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};

/** What a key press stands for: {action}, {move: [dx, dy]} in pixels of the picture, or null. */
export function meant(e) {
  if (MOVES[e.key]) {
    const far = e.ctrlKey || e.metaKey ? 100 : e.shiftKey ? 10 : e.altKey ? 0.1 : 1;
    return {move: MOVES[e.key].map(step => step * far)};
  }
  const letter = /^[a-z]$/i.test(e.key), ctrl = e.ctrlKey || e.metaKey;
  if (e.altKey) return null;
  const shift = e.shiftKey && (letter || e.key.length > 1) ? "Shift+" : "";
  const name = letter ? (shift || ctrl ? e.key.toUpperCase() : e.key.toLowerCase()) : e.key;
  const action = BY_KEY.get((ctrl ? "Ctrl+" : "") + shift + name);
  return action ? {action} : null;
}

/** The keys of an action, for people. */
export function keysOf(action) {
  for (const rows of Object.values(GROUPS)) {
    const row = rows.find(([name]) => name === action);
    if (row) return row[1].join(" or ");
  }
  return "";
}
