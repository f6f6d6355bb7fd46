// The map of a page: what is shown, and what follows from a pointer, a key or a button.
// The page holds the elements of map.html and #song-data (JSON, made by map.py). Any element with `data-song` plays that
// song where it has a file. Whatever a song is called reaches the page by textContent alone.

const NEAR = 14;  // pixels from a dot at which it still counts as pointed at
const NEAR_FINGER = 22;
const ZOOM_STEP = 1.6;  // of a button or key
const WAYS = {ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1]};

function startMap() {
  const byId = id => document.getElementById(id);
  const songs = readSongs(byId("song-data").textContent);
  const frame = byId("map-frame"), marks = byId("map-marks"), card = byId("map-card"), search = byId("map-search");
  const grid = new DotGrid(songs.x, songs.y), choice = new Choice(songs);
  const view = new MapView(songs.x.reduce((a, b) => Math.max(a, b), 0), songs.y.reduce((a, b) => Math.max(a, b), 0));
  const painter = new Painter(frame, byId("map-dots"), marks, songs, view);
  const at = {playing: -1, focused: -1, hovered: -1};
  const standsOut = i => choice.standsOut(i);
  let colouring = songs.colourings[0], looks = looksOf(colouring, songs.count);
  let match = -1;  // of those that stand out, the one that Enter has come to

  // ---- What a song is: its dress, its words for a screen reader, its line in the list, the card beside its dot

  const swatchOf = i => makeSwatch(dressOf(colouring, looks[i], songs.look, painter.dark));
  const factsOf = i => songs.facts(i).map(([name, text]) => name ? `${name}: ${text}` : text);
  const describe = i => [songs.called(i), ...factsOf(i)].join(". ");

  function describeLine(i) {
    const [kind, ...others] = factsOf(i), told = texts => texts.filter(text => text).join(" \u00b7 ");
    return {swatch: swatchOf(i), lines: [songs.title(i), told([songs.artist(i), kind]), told(others)]};
  }

  function showCard() {
    const i = at.hovered >= 0 ? at.hovered : at.focused;
    card.hidden = i < 0;
    if (i < 0) return;
    const title = makeElement("strong", songs.title(i));
    title.prepend(swatchOf(i));
    card.replaceChildren(
      title, makeElement("div", songs.artist(i)), ...factsOf(i).map(fact => makeElement("div", fact, "fact")));
    placeCard();
  }

  function placeCard() {
    const i = at.hovered >= 0 ? at.hovered : at.focused;
    if (i < 0) return;
    const [right, down] = view.pixelOf(songs.x[i], songs.y[i]), away = 16;
    card.hidden = right < 0 || down < 0 || right > view.wide || down > view.high;
    const wide = card.offsetWidth, high = card.offsetHeight;
    const left = right + away + wide <= view.wide ? right + away : right - away - wide;
    card.style.left = `${Math.max(4, Math.min(view.wide - wide - 4, left))}px`;
    card.style.top = `${Math.max(4, Math.min(view.high - high - 4, down - high / 2))}px`;
  }

  const say = text => { byId("map-said").textContent = text; };

  // ---- Drawing, at most once a frame

  let due = "";
  function draw(what = "dots") {
    if (!due) requestAnimationFrame(() => {
      if (due === "dots") painter.drawDots(colouring, looks, choice);
      painter.drawMarks(at, pointers.line);
      placeCard();
      due = "";
    });
    if (due !== "dots") due = what;
  }

  function drawMoved() {
    pointers.setTouch();
    draw();
  }

  function resize() {
    const {clientWidth: wide, clientHeight: high} = frame;
    if (!wide || !high) return;
    view.resize(wide, high);
    painter.resize(wide, high);
    painter.drawDots(colouring, looks, choice);  // at once: a canvas that was resized is empty
    painter.drawMarks(at, pointers.line);
    placeCard();
  }

  // ---- Pointing at a song, and playing it

  function hover(i) {
    if (i === at.hovered) return;
    at.hovered = i;
    marks.style.cursor = pointers.lassoing ? "crosshair" : i >= 0 ? "pointer" : "grab";
    showCard();
    draw("marks");
  }

  // Makes a song the one that the keyboard is at; -1 for none.
  function focusSong(i) {
    at.focused = i;
    at.hovered = -1;
    if (i >= 0) view.reveal(songs.x[i], songs.y[i]);
    showCard();
    drawMoved();
  }

  function goTo(i) {
    focusSong(i);
    list.follow(i);
    say(describe(i));
  }

  function play(i) {
    focusSong(i);
    list.follow(i);
    if (player) player.playOne(i);
    else say(describe(i));
  }

  const list = new SongList(byId("map-list"), describeLine, {move: focusSong, choose: play});
  const player = !songs.anyFile ? null : new Player(songs, byId("song-audio"), byId("song-now"), {
    bar: byId("song-steps"), back: byId("song-back"), on: byId("song-on"), place: byId("song-place"),
  }, i => {
    at.playing = i;
    list.mark(i);
    draw("marks");
  });

  // ---- Which songs stand out, and what is done with all of them

  function choose() {
    choice.find(looks);
    match = -1;
    if (at.focused >= 0 && !standsOut(at.focused)) at.focused = -1;
    at.hovered = -1;
    showCard();
    legend.mark(choice);
    list.show(choice.rows, songs.count);
    tellChosen();
    draw();
  }

  function tellChosen() {
    const {rows} = choice, count = rows ? rows.length.toLocaleString("en") : "";
    byId("map-chosen").textContent = rows
      ? `${count} of ${countSongs(songs.count)}: ${choice.name(colouring)}` : countSongs(songs.count);
    byId("map-found").textContent = !choice.text.trim() ? "" : !rows.length ? "none found"
      : match < 0 ? `${count} found` : `${match + 1} of ${count}`;
    byId("map-clear").hidden = !rows;
    byId("map-note").textContent = "";
    if (player) {
      const silent = rows !== null && !rows.some(songs.hasFile);
      byId("map-listen").disabled = silent;
      if (!songs.within) byId("map-save").disabled = silent;
    }
  }

  function clearChosen() {
    search.value = "";
    choice.clear();
    choose();
  }

  function nextMatch(step) {
    const {rows} = choice;
    if (!rows || !rows.length) return;
    match = match < 0 && step < 0 ? rows.length - 1 : (match + step + rows.length) % rows.length;
    goTo(rows[match]);
    tellChosen();
  }

  function savePlaylist() {
    const name = choice.name(colouring) || document.title;
    const {bytes, written, left} = makePlaylist(name, choice.rowsOrAll(), songs);
    saveFile(name, bytes);
    const leftOut = left ? `, ${countSongs(left)} left out for want of a file` : "";
    byId("map-note").textContent = `${countSongs(written)} saved${leftOut}. `
      + "Keep the playlist in the folder of this page: its paths begin there.";
  }

  const legend = new Legend(byId("map-legend"), songs, {
    toggle: code => {
      if (code === "new") choice.onlyNew = !choice.onlyNew;
      else if (!choice.kinds.delete(code)) choice.kinds.add(code);
      choose();
    },
    listen: !player ? null : code => {
      const typical = colouring === songs.colourings[0] && songs.typical[code] || [], first = new Set(typical);
      const others = choice.rowsOrAll().filter(i => looks[i] === code && !first.has(i));
      player.playThrough([...typical, ...others]);
    },
  });

  byId("map-clear").addEventListener("click", clearChosen);
  if (player) {
    byId("map-listen").addEventListener("click", () => player.playThrough(choice.rowsOrAll()));
    if (!songs.within) byId("map-save").addEventListener("click", savePlaylist);
  }

  search.addEventListener("focus", () => setTimeout(() => choice.prepare()));
  search.addEventListener("input", () => {
    choice.text = search.value;
    choose();
  });
  search.addEventListener("keydown", event => {
    if (event.key === "Enter") nextMatch(event.shiftKey ? -1 : 1);
    else if (event.key === "Escape") clearChosen();
    else return;
    event.preventDefault();
  });

  const colourBy = byId("map-colour");
  colourBy.append(...songs.colourings.map((one, n) => new Option(one.name, n)));
  colourBy.addEventListener("change", () => {
    colouring = songs.colourings[Number(colourBy.value)];
    looks = looksOf(colouring, songs.count);
    choice.kinds.clear();
    legend.show(colouring, looks, painter.dark);
    choose();
  });

  // ---- Pointers, buttons and keys of the map

  const songUnder = (place, near) => grid.nearest(...view.placeAt(...place), near / view.scale, standsOut);
  const pointers = new Pointers(marks, view, {
    hover: place => hover(songUnder(place, NEAR)),
    leave: () => hover(-1),
    click: (place, touched) => {
      const i = songUnder(place, touched ? NEAR_FINGER : NEAR);
      if (i >= 0) play(i);
      else focusSong(-1);
    },
    lasso: line => {
      choice.lassoed = grid.inside(line.map(place => view.placeAt(...place)));
      choose();
      say(`${countSongs(choice.rows.length)} in the lasso`);
    },
    moved: () => {
      hover(-1);
      drawMoved();
    },
    drawn: () => draw("marks"),
  });

  function zoomBy(factor) {
    view.zoomAt(view.wide / 2, view.high / 2, factor);
    drawMoved();
  }

  function showWhole() {
    view.reset();
    drawMoved();
  }

  byId("map-in").addEventListener("click", () => zoomBy(ZOOM_STEP));
  byId("map-out").addEventListener("click", () => zoomBy(1 / ZOOM_STEP));
  byId("map-whole").addEventListener("click", showWhole);
  byId("map-lasso").addEventListener("click", event => {
    pointers.setLassoing(!pointers.lassoing);
    event.currentTarget.setAttribute("aria-pressed", pointers.lassoing);
    marks.style.cursor = pointers.lassoing ? "crosshair" : "grab";
  });

  // From the song that the keyboard is at to its neighbour; from none to the one in the middle.
  function stepTo([dx, dy]) {
    const next = at.focused >= 0 ? grid.neighbour(at.focused, dx, dy, standsOut)
      : grid.nearest(...view.placeAt(view.wide / 2, view.high / 2), 2, standsOut);
    if (next >= 0) goTo(next);
  }

  marks.addEventListener("keydown", event => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (WAYS[event.key]) stepTo(WAYS[event.key]);
    else if ((event.key === "Enter" || event.key === " ") && at.focused >= 0) play(at.focused);
    else if (event.key === "+" || event.key === "=") zoomBy(ZOOM_STEP);
    else if (event.key === "-") zoomBy(1 / ZOOM_STEP);
    else if (event.key === "0") showWhole();
    else if (event.key === "Escape") {
      focusSong(-1);
      clearChosen();
      say("");
    } else return;
    event.preventDefault();
  });

  document.addEventListener("click", event => {
    const button = event.target.closest("[data-song]");
    if (button) play(Number(button.dataset.song));
  });

  // ---- Light or dark, and the start

  // Asked here alone: whoever asks between a change and its event has Chromium leave the event out.
  const dark = matchMedia("(prefers-color-scheme: dark)");
  function dressUp() {
    painter.readColours(dark.matches);
    legend.show(colouring, looks, painter.dark);
    legend.mark(choice);
  }
  dark.addEventListener("change", () => {
    dressUp();
    showCard();
    list.draw();
    draw();
  });

  dressUp();
  list.show(null, songs.count);
  tellChosen();
  resize();
  performance.mark("map-drawn");
  new ResizeObserver(resize).observe(frame);
}
