// The list beside the map: as many songs as one likes, of which only those in sight are in the document.
// A listbox for the keyboard and for screen readers: the arrows move, Enter plays.

class SongList {
  // box: the element that scrolls; describe(i): {swatch, lines} of song i; on: {move(i), choose(i)}.
  constructor(box, describe, on) {
    this.box = box;
    this.describe = describe;
    this.on = on;
    this.rows = null;  // of the songs shown; null for all of `count`
    this.count = 0;
    this.active = -1;
    this.playing = -1;
    this.sheet = document.createElement("div");
    this.sheet.setAttribute("role", "presentation");
    this.sheet.className = "sheet";
    box.append(this.sheet);
    box.addEventListener("scroll", () => this.draw());
    new ResizeObserver(() => this.draw()).observe(box);
    box.addEventListener("keydown", event => this.press(event));
    // A pointer brings the focus too, before its click: rows that were drawn anew in between would get no click.
    let pressed = false;
    box.addEventListener("pointerdown", () => { pressed = true; });
    document.addEventListener("pointerup", () => { pressed = false; });
    box.addEventListener("focus", () => { if (!pressed && this.active < 0 && this.count) this.move(0, false); });
    box.addEventListener("click", event => {
      const row = event.target.closest("[role=option]");
      if (row) this.choose(Number(row.dataset.at));
    });
  }

  songAt(at) {
    return this.rows ? this.rows[at] : at;
  }

  placeOf(song) {
    return this.rows ? this.rows.indexOf(song) : song;
  }

  show(rows, count) {
    this.rows = rows;
    this.count = rows ? rows.length : count;
    this.active = -1;
    this.box.scrollTop = 0;
    this.box.removeAttribute("aria-activedescendant");
    this.draw();
  }

  // Shows the song that the map has come to, without saying so back.
  follow(song) {
    const at = song < 0 ? -1 : this.placeOf(song);
    if (at >= 0) this.move(at, true);
  }

  mark(playing) {
    this.playing = playing;
    this.draw();
  }

  rowHeight() {
    return parseFloat(getComputedStyle(this.box).getPropertyValue("--row")) || 56;
  }

  move(at, quietly) {
    const row = this.rowHeight(), top = at * row;
    this.active = at;
    if (top < this.box.scrollTop) this.box.scrollTop = top;
    else if (top + row > this.box.scrollTop + this.box.clientHeight) this.box.scrollTop = top + row - this.box.clientHeight;
    this.draw();
    this.box.setAttribute("aria-activedescendant", `song-${at}`);
    if (!quietly) this.on.move(this.songAt(at));
  }

  choose(at) {
    this.move(at, false);
    this.on.choose(this.songAt(at));
  }

  press(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || !this.count) return;
    const page = Math.max(1, Math.floor(this.box.clientHeight / this.rowHeight()) - 1);
    const step = {ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -this.count, End: this.count}[event.key];
    if (step) this.move(Math.max(0, Math.min(this.count - 1, this.active + step)), false);
    else if ((event.key === "Enter" || event.key === " ") && this.active >= 0) this.choose(this.active);
    else return;
    event.preventDefault();
  }

  draw() {
    const row = this.rowHeight();
    const from = Math.max(0, Math.floor(this.box.scrollTop / row) - 2);
    const to = Math.min(this.count, Math.ceil((this.box.scrollTop + this.box.clientHeight) / row) + 2);
    this.sheet.style.height = `${this.count * row}px`;
    const elements = [];
    for (let at = from; at < to; at++) elements.push(this.element(at, row));
    this.sheet.replaceChildren(...elements);
  }

  element(at, height) {
    const song = this.songAt(at), {swatch, lines} = this.describe(song);
    const option = document.createElement("div"), text = document.createElement("div");
    option.id = `song-${at}`;
    option.dataset.at = at;
    option.setAttribute("role", "option");
    option.setAttribute("aria-setsize", this.count);
    option.setAttribute("aria-posinset", at + 1);
    option.setAttribute("aria-selected", at === this.active);
    if (song === this.playing) option.setAttribute("aria-current", "true");
    option.style.top = `${at * height}px`;
    text.append(...lines.map(line => makeElement("div", line, "line")));
    option.append(swatch, text);
    return option;
  }
}

function makeElement(tag, text, className) {
  const element = document.createElement(tag);
  element.textContent = text;
  element.dir = "auto";  // a title in Arabic or Hebrew runs from the right, and turns nothing else around
  if (className) element.className = className;
  return element;
}
