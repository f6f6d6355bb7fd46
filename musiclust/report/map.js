// The map of a page: dots, their colours, and the player where there is something to play.
// The page holds #song-map, #song-data (JSON, made by map.py) and, where any song has a file, #song-now and #song-audio.
(() => {
  const data = JSON.parse(document.getElementById("song-data").textContent);
  const plot = document.getElementById("song-map");
  const audio = document.getElementById("song-audio");  // null where no song has a file
  const now = document.getElementById("song-now");
  const narrow = matchMedia("(max-width: 700px)");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  // plotly takes some HTML in its texts for markup.
  const plain = text => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const called = (colouring, code) => code < 0 ? colouring.none : colouring.names[code];
  let colouring = data.colourings[0], playing = null;

  const hover = i => [
    `<b>${plain(data.title[i])}</b>`, plain(data.artist[i]),
    ...data.colourings.map((c, n) => plain((n ? c.name + ": " : "") + called(c, c.codes[i]))),
    plain(data.tags[i]),
    audio && !data.audio[i] ? "no audio file" : "",
  ].filter(line => line).join("<br>");

  function traces() {
    const rowsOf = new Map();
    colouring.codes.forEach((code, i) => rowsOf.has(code) ? rowsOf.get(code).push(i) : rowsOf.set(code, [i]));
    const codes = [...rowsOf.keys()].sort((a, b) => (a < 0) - (b < 0) || a - b);
    const kinds = codes.map(code => {
      const rows = rowsOf.get(code);
      return {
        type: data.x.length > 5000 ? "scattergl" : "scatter", mode: "markers",
        name: plain(`${called(colouring, code)} (${rows.length})`),
        x: rows.map(i => data.x[i]), y: rows.map(i => data.y[i]), customdata: rows,
        text: rows.map(hover), hovertemplate: "%{text}<extra></extra>",
        marker: {
          size: data.x.length > 2000 ? 6 : 9, opacity: 0.9, line: {width: 0.6, color: "rgba(128,128,128,0.7)"},
          color: code < 0 ? data.grey : data.palette[code % data.palette.length],
          symbol: data.symbols[code < 0 ? 0 : Math.floor(code / data.palette.length) % data.symbols.length],
        },
      };
    });
    const here = playing === null ? [] : [playing];
    const ring = {
      type: "scatter", mode: "markers", x: here.map(i => data.x[i]), y: here.map(i => data.y[i]),
      hoverinfo: "skip", showlegend: false,
      marker: {size: 18, symbol: "circle-open", color: getComputedStyle(plot).color, line: {width: 3}},
    };
    return [...kinds, ring];
  }

  function draw() {
    const style = getComputedStyle(plot), clear = "rgba(0,0,0,0)";
    const axis = {visible: false, zeroline: false};
    return Plotly.react(plot, traces(), {
      autosize: true, height: narrow.matches ? 560 : 600, margin: {l: 4, r: 4, t: 30, b: 4}, hovermode: "closest",
      paper_bgcolor: clear, plot_bgcolor: clear, font: {color: style.color, family: style.fontFamily, size: 13},
      xaxis: axis, yaxis: axis, dragmode: "pan", hoverlabel: {align: "left"}, uirevision: "keep",
      modebar: {bgcolor: clear, color: "#888888", activecolor: style.color},
      legend: narrow.matches ? {orientation: "h", y: 0, yanchor: "top"} : {itemsizing: "constant"},
    }, {displaylogo: false, responsive: true, modeBarButtons: [["zoomIn2d", "zoomOut2d", "resetScale2d", "toImage"]]});
  }

  function play(i) {
    playing = i;
    const name = [data.title[i], data.artist[i]].filter(part => part).join(" \u2013 ");
    now.textContent = data.audio[i] ? name : `${name}: no audio file`;
    audio.pause();
    if (data.audio[i]) {
      audio.src = data.audio[i];
      audio.play().catch(() => {});  // the "error" event below tells of a file that cannot be played
    } else {
      audio.removeAttribute("src");
    }
    draw();
  }

  document.addEventListener("click", event => {
    const button = event.target.closest("[data-song], [data-colouring]");
    if (!button) return;
    if ("song" in button.dataset) return play(Number(button.dataset.song));
    colouring = data.colourings[Number(button.dataset.colouring)];
    document.querySelectorAll("[data-colouring]").forEach(b => b.setAttribute("aria-pressed", b === button));
    draw();
  });
  narrow.addEventListener("change", draw);
  dark.addEventListener("change", draw);
  const drawn = draw();
  if (audio) {
    audio.addEventListener("error", () => {
      if (audio.hasAttribute("src")) now.textContent = `${data.title[playing]}: cannot be played here (${audio.src})`;
    });
    drawn.then(() => plot.on("plotly_click", event => play(event.points[0].customdata)));
  }
})();
