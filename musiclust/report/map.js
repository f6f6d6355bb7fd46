// The map of a page: what is shown, and what follows from a pointer, a key or a button.
// The page holds the elements of map.html and #song-data (JSON, made by map.py). Any element with `data-song` plays that
// song where it has a file. Whatever a song is called reaches the page by textContent alone.

const HOVER = 14;  // pixels from a dot at which it still counts as pointed at
const MOST_KINDS = 200;  // lines of a legend
const FEW = 2000;  // songs that stand out are drawn larger up to this many

function startMap() {
  const byId = id => document.getElementById(id);
  const songs = readSongs(byId("song-data").textContent);
  const frame = byId("map-frame"), marks = byId("map-marks"), card = byId("map-card"), said = byId("map-said");
  const search = byId("map-search"), lassoButton = byId("map-lasso");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const grid = new DotGrid(songs.x, songs.y);
  const largest = values => values.reduce((most, value) => Math.max(most, value), 0);
  const view = new MapView(largest(songs.x), largest(songs.y));
  const dots = new DotCanvas(byId("map-dots")), pen = marks.getContext("2d");

  let colouring = songs.colourings[0], looks = looksOf(colouring, songs.count);
  let kept = new Set();  // codes of the legend that are to stand out; none for all
  let onlyFresh = false;
  let lassoed = null;  // rows within the lasso
  let out = null, outRows = null;  // who stands out, (count,) of 0 and 1, and their rows; null for all
  let hovered = -1, focused = -1, line = null, lassoing = false, match = -1;
  let ratio = 1, colours = {};
  const standsOut = i => !out || out[i] === 1;

  // ---- What stands out: in the legend, the search and the lasso at once.

  let searchable = null;
  const fold = text => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();

  function makeSearchable() {
    searchable ||= Array.from({length: songs.count}, (_, i) =>
      fold([songs.title(i), songs.artist(i), songs.tags(i)].join("\n")));
  }

  function choose() {
    const words = fold(search.value).split(/\s+/).filter(word => word);
    if (words.length) makeSearchable();
    match = -1;
    if (!words.length && !lassoed && !kept.size && !onlyFresh) {
      out = outRows = null;
    } else {
      outRows = [];
      out = new Uint8Array(songs.count);
      const rows = lassoed || {length: songs.count};
      for (let at = 0; at < rows.length; at++) {
        const i = lassoed ? lassoed[at] : at;
        if (onlyFresh && !songs.fresh[i]) continue;
        if (kept.size && !kept.has(looks[i])) continue;
        if (words.length && !words.every(word => searchable[i].includes(word))) continue;
        out[i] = 1;
        outRows.push(i);
      }
    }
    if (focused >= 0 && !standsOut(focused)) focused = -1;
    showCard(focused);
    list.show(outRows, songs.count);
    tellChosen();
    draw();
  }

  function nameOfChosen() {
    const names = [...kept].sort((a, b) => a - b).map(code => nameOfCode(code));
    if (search.value.trim()) names.push(`\u201c${search.value.trim()}\u201d`);
    if (onlyFresh) names.push("new");
    if (lassoed) names.push("lasso");
    return names.join(", ");
  }

  function tellChosen() {
    const name = nameOfChosen();
    byId("map-chosen").textContent = outRows
      ? `${outRows.length.toLocaleString("en")} of ${countSongs(songs.count)}: ${name}` : countSongs(songs.count);
    byId("map-clear").hidden = !outRows;
    if (player) {
      for (const id of ["map-listen", "map-save"]) byId(id).disabled = !!outRows && !outRows.some(songs.hasFile);
    }
    byId("map-found").textContent = !search.value.trim() ? "" : !outRows.length ? "none found"
      : match < 0 ? `${outRows.length.toLocaleString("en")} found` : `${match + 1} of ${outRows.length.toLocaleString("en")}`;
  }

  function clearChosen() {
    search.value = "";
    lassoed = null;
    kept = new Set();
    onlyFresh = false;
    markKept();
    choose();
  }

  function nextMatch(step) {
    if (!outRows || !outRows.length) return;
    match = match < 0 ? (step > 0 ? 0 : outRows.length - 1) : (match + step + outRows.length) % outRows.length;
    focusSong(outRows[match], true);
    list.follow(outRows[match]);
    tellChosen();
  }

  // ---- Drawing

  function readColours() {
    const style = getComputedStyle(frame), of = name => style.getPropertyValue(name).trim();
    // Asked here alone: whoever asks between a change and its event has Chromium leave the event out.
    colours = {dark: dark.matches, ground: hexToRgb(of("--map")), ink: of("--ink"), accent: of("--accent"), edge: of("--edge")};
  }

  function radiusOfDots() {
    const room = Math.sqrt(view.wide * view.high / Math.max(songs.count, 1));
    return Math.max(1.7, Math.min(5.5, 0.22 * room)) * Math.min(2.2, view.zoom ** 0.35);
  }

  function drawDots() {
    const radius = Math.min(radiusOfDots(), 9);
    const shownRadius = outRows && outRows.length <= FEW ? Math.max(1.25 * radius, 4) : radius;
    dots.clear(colours.ground);
    const {x, y, count} = songs, {left, top, scale} = view;
    const layers = [[], [], [], []];  // stamps by code: faded, without a kind, the rest, and the new on top of all
    for (let layer = 0; layer < 4; layer++) {
      if (layer === 0 && !out || layer === 3 && !songs.anyFresh) continue;
      for (let i = 0; i < count; i++) {
        const code = looks[i], stands = !out || out[i] === 1;
        if ((!stands ? 0 : songs.fresh[i] ? 3 : code < 0 ? 1 : 2) !== layer) continue;
        const stamp = layers[layer][code + 1] ||= makeStamp(
          dressFor(code), ratio * (stands ? shownRadius : radius), colours.edge,
          stands ? 1 : 0.14, layer === 3 ? colours.ink : "", dots.width);
        dots.stamp(stamp, Math.round(ratio * (left + x[i] * scale)), Math.round(ratio * (top - y[i] * scale)));
      }
    }
    dots.show();
  }

  function drawMarks() {
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, view.wide, view.high);
    const radius = Math.min(radiusOfDots(), 9);
    const ring = (i, far, colour, width) => {
      if (i < 0) return;
      tracePath(pen, "circle", ...view.pixelOf(songs.x[i], songs.y[i]), radius + far);
      pen.lineWidth = width;
      pen.strokeStyle = colour;
      pen.stroke();
    };
    if (player) ring(player.playing, 7, colours.accent, 3);
    ring(focused, 4, colours.ink, 2);
    if (hovered !== focused) ring(hovered, 3, colours.ink, 1.5);
    if (line && line.length > 1) {
      pen.beginPath();
      line.forEach(([right, down]) => pen.lineTo(right, down));
      pen.closePath();
      pen.fillStyle = colours.accent;
      pen.globalAlpha = 0.12;
      pen.fill();
      pen.globalAlpha = 1;
      pen.lineWidth = 1.5;
      pen.strokeStyle = colours.accent;
      pen.stroke();
    }
  }

  let due = "";
  function draw(what = "dots") {
    if (!due) requestAnimationFrame(() => {
      if (due === "dots") drawDots();
      drawMarks();
      placeCard();
      due = "";
    });
    if (due !== "dots") due = what;
  }

  // ---- What a song is: the card beside its dot, its line in the list, and its words for a screen reader

  const describe = i => [songs.called(i), ...songs.facts(i).map(([name, text]) => name ? `${name}: ${text}` : text)].join(". ");
  const noteOf = i => songs.anyFile && !songs.hasFile(i) ? "no audio file" : "";
  const dressFor = code => dressOf(colouring, code, songs.look, colours.dark);
  const swatchOf = i => makeSwatch(dressFor(looks[i]));

  function showCard(i) {
    card.hidden = i < 0;
    if (i < 0) return;
    const lines = songs.facts(i).map(([name, text]) => makeElement("div", name ? `${name}: ${text}` : text, "fact"));
    const title = makeElement("strong", songs.title(i));
    title.prepend(swatchOf(i));
    card.replaceChildren(
      title, makeElement("div", songs.artist(i)), ...lines,
      makeElement("div", noteOf(i), "fact"),
    );
    placeCard();
  }

  function placeCard() {
    const i = hovered >= 0 ? hovered : focused;
    if (card.hidden || i < 0) return;
    const [right, down] = view.pixelOf(songs.x[i], songs.y[i]), far = 16;
    const wide = card.offsetWidth, high = card.offsetHeight;
    const left = right + far + wide <= view.wide ? right + far : right - far - wide;
    card.style.left = `${Math.max(4, Math.min(view.wide - wide - 4, left))}px`;
    card.style.top = `${Math.max(4, Math.min(view.high - high - 4, down - high / 2))}px`;
  }

  function hover(i) {
    if (i === hovered) return;
    hovered = i;
    marks.style.cursor = lassoing ? "crosshair" : i >= 0 ? "pointer" : "grab";
    showCard(i >= 0 ? i : focused);
    draw("marks");
  }

  // Makes a song the one that the keyboard is at.
  function focusSong(i, aloud) {
    focused = i;
    if (i >= 0) {
      view.reveal(songs.x[i], songs.y[i]);
      if (aloud) said.textContent = describe(i);
    }
    hovered = -1;
    showCard(i);
    draw();
  }

  function play(i) {
    focusSong(i, false);
    list.follow(i);
    if (player) player.playOne(i);
    else said.textContent = describe(i);
  }

  // ---- The list, the player, and what is done with all that stand out

  const list = new SongList(byId("map-list"), i => {
    const [kind, ...others] = songs.facts(i).map(([name, text]) => name ? `${name}: ${text}` : text);
    const told = texts => texts.filter(text => text).join(" \u00b7 ");
    return {swatch: swatchOf(i), lines: [songs.title(i), told([songs.artist(i), kind]), told([...others, noteOf(i)])]};
  }, {move: i => focusSong(i, false), choose: play});

  const player = !songs.anyFile ? null : new Player(songs, byId("song-audio"), byId("song-now"), {
    bar: byId("song-steps"), back: byId("song-back"), on: byId("song-on"), place: byId("song-place"),
  }, i => {
    list.mark(i);
    draw("marks");
  });

  const chosenRows = () => outRows || Array.from({length: songs.count}, (_, i) => i);

  if (player) {
    byId("map-listen").addEventListener("click", () => player.playThrough(chosenRows()));
    byId("map-save").addEventListener("click", () => {
      const name = nameOfChosen() || document.querySelector("h1").textContent;
      const {bytes, written, left} = makePlaylist(name, chosenRows(), songs);
      saveFile(name, bytes);
      byId("map-note").textContent = `${countSongs(written)} saved${left ? `, ${countSongs(left)} left out for want of a file` : ""}. `
        + "Keep the playlist in the folder of this page: its paths begin there.";
    });
  }
  byId("map-clear").addEventListener("click", clearChosen);

  // ---- The legend

  const nameOfCode = code => code < 0 ? colouring.none : colouring.names[code];

  function showLegend() {
    const kinds = document.createElement("ul");
    if (!colouring.numeric) kinds.append(...makeKinds());
    if (songs.anyFresh) {
      const dress = {colour: "none", shape: "circle"};
      kinds.append(makeKind("fresh", dress, "new", songs.fresh.reduce((sum, one) => sum + one, 0)));
    }
    byId("map-legend").replaceChildren(...(colouring.numeric ? [makeScale()] : []), ...(kinds.children.length ? [kinds] : []));
    markKept();
  }

  function makeKinds() {
    const counts = new Map();
    for (const code of looks) counts.set(code, (counts.get(code) || 0) + 1);
    let codes = [...counts.keys()].sort((a, b) => (a < 0) - (b < 0) || a - b);
    const more = codes.length - MOST_KINDS;
    if (more > 0) codes = codes.sort((a, b) => counts.get(b) - counts.get(a)).slice(0, MOST_KINDS);
    const items = codes.map(code => {
      const item = makeKind(code, dressFor(code), nameOfCode(code), counts.get(code));
      if (player) item.append(makeListenButton(code));
      return item;
    });
    if (more > 0) items.push(makeElement("li", `and ${more.toLocaleString("en")} more`, "quiet"));
    return items;
  }

  // A line of the legend: a button that has the songs of a kind stand out.
  function makeKind(code, dress, name, count) {
    const item = document.createElement("li"), button = document.createElement("button");
    button.type = "button";
    button.className = "kind";
    button.dataset.code = code;
    button.append(makeSwatch(dress), makeElement("span", name, "name"), makeElement("span", count.toLocaleString("en"), "quiet"));
    item.append(button);
    return item;
  }

  function makeListenButton(code) {
    const button = document.createElement("button"), typical = colouring === songs.colourings[0] && songs.typical[code];
    button.type = "button";
    button.className = "listen";
    button.textContent = "\u25b6";
    button.setAttribute("aria-label", `Listen to ${typical ? "the most typical of " : ""}${nameOfCode(code)}`);
    button.title = typical ? "Listen to its most typical songs" : "Listen to its songs";
    const rows = () => typical || chosenRows().filter(i => looks[i] === code);
    button.addEventListener("click", () => player.playThrough(rows()));
    return button;
  }

  function makeScale() {
    const scale = document.createElement("div"), bar = document.createElement("div"), ends = document.createElement("div");
    const steps = Array.from({length: 11}, (_, n) => scaleColour(n / 10, colours.dark));
    scale.className = "scale";
    bar.className = "bar";
    bar.style.background = `linear-gradient(to right, ${steps.join(",")})`;
    ends.className = "ends";
    ends.append(
      makeElement("span", (colouring.cut.low ? "\u2264 " : "") + writeNumber(colouring.low)),
      makeElement("span", (colouring.cut.high ? "\u2265 " : "") + writeNumber(colouring.high)));
    scale.append(bar, ends);
    if (colouring.values.some(Number.isNaN)) {
      const unknown = makeElement("div", colouring.none, "quiet");
      unknown.prepend(makeSwatch(dressFor(-1)));
      scale.append(unknown);
    }
    return scale;
  }

  function markKept() {
    for (const button of document.querySelectorAll("#map-legend .kind")) {
      const {code} = button.dataset;
      button.setAttribute("aria-pressed", code === "fresh" ? onlyFresh : kept.has(Number(code)));
    }
  }

  byId("map-legend").addEventListener("click", event => {
    const button = event.target.closest(".kind");
    if (!button) return;
    const code = Number(button.dataset.code);
    if (button.dataset.code === "fresh") onlyFresh = !onlyFresh;
    else if (!kept.delete(code)) kept.add(code);
    markKept();
    choose();
  });

  const colourBy = byId("map-colour");
  colourBy.append(...songs.colourings.map((one, n) => new Option(one.name, n)));
  colourBy.addEventListener("change", () => {
    colouring = songs.colourings[Number(colourBy.value)];
    looks = looksOf(colouring, songs.count);
    kept = new Set();
    showLegend();
    choose();
  });

  // ---- Search

  search.addEventListener("focus", () => setTimeout(makeSearchable));  // before the first letter
  search.addEventListener("input", choose);
  search.addEventListener("keydown", event => {
    if (event.key === "Enter") nextMatch(event.shiftKey ? -1 : 1);
    else if (event.key === "Escape") clearChosen();
    else return;
    event.preventDefault();
  });

  // ---- Pointers: one drags or draws a lasso, two pinch, and one that stays where it is plays.

  const pointers = new Map();
  let moved = false, pinch = 0;
  const placeOf = event => {
    const box = marks.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const songUnder = ([right, down], radius) =>
    grid.nearest(...view.placeAt(right, down), radius / view.scale, standsOut);

  function zoomBy(factor, at = [view.wide / 2, view.high / 2]) {
    view.zoomAt(...at, factor);
    draw();
  }

  marks.addEventListener("pointerdown", event => {
    if (event.button) return;
    marks.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, placeOf(event));
    moved = pointers.size > 1;
    pinch = 0;
    line = pointers.size === 1 && (lassoing || event.shiftKey) ? [placeOf(event)] : null;
  });

  marks.addEventListener("pointermove", event => {
    const place = placeOf(event), before = pointers.get(event.pointerId);
    if (!before) return hover(songUnder(place, HOVER));
    if (pointers.size === 2) {
      const [a, b] = [...pointers.keys()].map(id => id === event.pointerId ? place : pointers.get(id));
      const wide = Math.hypot(a[0] - b[0], a[1] - b[1]);
      if (pinch) view.zoomAt((a[0] + b[0]) / 2, (a[1] + b[1]) / 2, wide / pinch);
      pinch = wide;
      view.move((place[0] - before[0]) / 2, (place[1] - before[1]) / 2);
    } else {
      if (!moved && Math.hypot(place[0] - before[0], place[1] - before[1]) < 5) return;
      moved = true;
      hover(-1);
      if (line) line.push(place);
      else view.move(place[0] - before[0], place[1] - before[1]);
    }
    pointers.set(event.pointerId, place);
    draw(line ? "marks" : "dots");
  });

  marks.addEventListener("pointerup", event => {
    if (!pointers.delete(event.pointerId)) return;
    if (!moved) {
      const i = songUnder(placeOf(event), event.pointerType === "touch" ? 1.6 * HOVER : HOVER);
      if (i >= 0) play(i);
      else focusSong(-1);
    } else if (line && line.length > 2) {
      lassoed = grid.inside(line.map(([right, down]) => view.placeAt(right, down)));
      choose();
      said.textContent = `${countSongs(outRows.length)} in the lasso`;
    }
    line = null;
    pinch = 0;
    draw("marks");
  });
  marks.addEventListener("pointercancel", event => {
    pointers.delete(event.pointerId);
    line = null;
    draw("marks");
  });
  marks.addEventListener("pointerleave", () => { if (!pointers.size) hover(-1); });
  marks.addEventListener("wheel", event => {
    // Once the whole map is in sight, a wheel turned further back scrolls the page.
    if (event.deltaY > 0 && view.zoom <= 1) return;
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
    zoomBy(Math.exp(-Math.max(-240, Math.min(240, event.deltaY * lines)) / (event.ctrlKey ? 100 : 300)), placeOf(event));
  }, {passive: false});

  byId("map-in").addEventListener("click", () => zoomBy(1.6));
  byId("map-out").addEventListener("click", () => zoomBy(1 / 1.6));
  byId("map-whole").addEventListener("click", () => {
    view.reset();
    draw();
  });
  lassoButton.addEventListener("click", () => {
    lassoing = !lassoing;
    lassoButton.setAttribute("aria-pressed", lassoing);
    marks.style.cursor = lassoing ? "crosshair" : "grab";
  });

  // ---- Keys

  const WAYS = {ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1]};

  function step([dx, dy]) {
    const [x, y] = view.placeAt(view.wide / 2, view.high / 2);
    const next = focused < 0 || !standsOut(focused) ? grid.nearest(x, y, 2, standsOut)
      : grid.neighbour(focused, dx, dy, standsOut);
    if (next < 0) return;
    focusSong(next, true);
    list.follow(next);
  }

  marks.addEventListener("keydown", event => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (WAYS[event.key]) step(WAYS[event.key]);
    else if ((event.key === "Enter" || event.key === " ") && focused >= 0) play(focused);
    else if (event.key === "+" || event.key === "=") zoomBy(1.6);
    else if (event.key === "-") zoomBy(1 / 1.6);
    else if (event.key === "0") byId("map-whole").click();
    else if (event.key === "Escape") {
      focusSong(-1);
      if (outRows) clearChosen();
      said.textContent = "";
    } else return;
    event.preventDefault();
  });

  document.addEventListener("click", event => {
    const button = event.target.closest("[data-song]");
    if (button) play(Number(button.dataset.song));
  });

  // ---- Size and colours of the window

  function resize() {
    const {clientWidth: wide, clientHeight: high} = frame;
    if (!wide || !high) return;
    ratio = Math.min(devicePixelRatio || 1, 2);
    view.resize(wide, high);
    dots.resize(Math.round(wide * ratio), Math.round(high * ratio));
    marks.width = Math.round(wide * ratio);
    marks.height = Math.round(high * ratio);
    drawDots();  // at once: a canvas that was resized is empty
    drawMarks();
    placeCard();
  }

  readColours();
  showLegend();
  list.show(null, songs.count);
  tellChosen();
  resize();
  performance.mark("map-drawn");
  new ResizeObserver(resize).observe(frame);
  dark.addEventListener("change", () => {
    readColours();
    showLegend();
    list.draw();
    draw();
  });
}
