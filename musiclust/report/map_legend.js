// What the colours stand for: a line for each kind, which has its songs stand out, or a scale of numbers.

const MOST_KINDS = 200;  // lines

class Legend {
  // on: {toggle(code or "new"), listen(code, name)}, the latter null where nothing can be played.
  constructor(box, songs, on) {
    Object.assign(this, {box, songs, on});
    box.addEventListener("click", event => {
      const button = event.target.closest("button");
      if (!button) return;
      const code = button.dataset.code === "new" ? "new" : Number(button.dataset.code);
      if (button.className === "kind") on.toggle(code);
      else on.listen(code);
    });
  }

  show(colouring, looks, dark) {
    const {songs} = this, kinds = document.createElement("ul"), dress = code => dressOf(colouring, code, songs.look, dark);
    const parts = colouring.numeric ? [makeScale(colouring, dark, dress(-1))] : [];
    if (!colouring.numeric) kinds.append(...this.makeKinds(colouring, looks, dress));
    if (songs.newCount) kinds.append(makeKind("new", {colour: "none", shape: "circle"}, "new", songs.newCount));
    this.box.replaceChildren(...parts, ...(kinds.children.length ? [kinds] : []));
  }

  // Shows which kinds are chosen.
  mark(choice) {
    for (const button of this.box.querySelectorAll(".kind")) {
      const {code} = button.dataset;
      button.setAttribute("aria-pressed", code === "new" ? choice.onlyNew : choice.kinds.has(Number(code)));
    }
  }

  makeKinds(colouring, looks, dress) {
    const counts = new Map();
    for (const code of looks) counts.set(code, (counts.get(code) || 0) + 1);
    let codes = [...counts.keys()].sort((a, b) => (a < 0) - (b < 0) || a - b);
    const more = codes.length - MOST_KINDS;
    if (more > 0) codes = codes.sort((a, b) => counts.get(b) - counts.get(a)).slice(0, MOST_KINDS);
    const items = codes.map(code => {
      const name = nameOfCode(colouring, code), item = makeKind(code, dress(code), name, counts.get(code));
      if (this.on.listen) item.append(makeListenButton(code, name, colouring === this.songs.colourings[0]));
      return item;
    });
    if (more > 0) items.push(makeElement("li", `and ${more.toLocaleString("en")} more`, "quiet"));
    return items;
  }
}

function makeKind(code, dress, name, count) {
  const item = document.createElement("li"), button = makeElement("button", "", "kind");
  button.type = "button";
  button.dataset.code = code;
  button.append(makeSwatch(dress), makeElement("span", name, "name"), makeElement("span", count.toLocaleString("en"), "quiet"));
  item.append(button);
  return item;
}

function makeListenButton(code, name, cluster) {
  const button = makeElement("button", "\u25b6", "listen");
  button.type = "button";
  button.dataset.code = code;
  button.setAttribute("aria-label", `Listen to ${name}`);
  button.title = cluster ? "Listen to it, the most typical songs first" : "Listen to it";
  return button;
}

function makeScale(colouring, dark, unknownDress) {
  const scale = makeElement("div", "", "scale"), bar = makeElement("div", "", "bar"), ends = makeElement("div", "", "ends");
  const steps = Array.from({length: 11}, (_, n) => scaleColour(n / 10, dark));
  bar.style.background = `linear-gradient(to right, ${steps.join(",")})`;
  ends.append(
    makeElement("span", (colouring.cut.low ? "\u2264 " : "") + writeNumber(colouring.low)),
    makeElement("span", (colouring.cut.high ? "\u2265 " : "") + writeNumber(colouring.high)));
  scale.append(bar, ends);
  if (colouring.values.some(Number.isNaN)) {
    const unknown = makeElement("div", colouring.none, "quiet");
    unknown.prepend(makeSwatch(unknownDress));
    scale.append(unknown);
  }
  return scale;
}
