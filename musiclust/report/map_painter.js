// Draws the map: the dots on one canvas, and on another above it what changes with the pointer.

const FEW = 2000;  // songs that stand out are drawn larger up to this many
const MOST_RATIO = 2;  // device pixels for each of CSS that are drawn

class Painter {
  constructor(frame, dots, marks, songs, view) {
    Object.assign(this, {frame, marks, songs, view, dots: new DotCanvas(dots), pen: marks.getContext("2d")});
  }

  readColours(dark) {
    const style = getComputedStyle(this.frame), of = name => style.getPropertyValue(name).trim();
    this.dark = dark;
    this.colours = {ground: hexToRgb(of("--map")), ink: of("--ink"), accent: of("--accent"), edge: of("--edge")};
  }

  resize(wide, high) {
    const ratio = this.ratio = Math.min(devicePixelRatio || 1, MOST_RATIO);
    this.dots.resize(Math.round(wide * ratio), Math.round(high * ratio));
    this.marks.width = Math.round(wide * ratio);
    this.marks.height = Math.round(high * ratio);
  }

  // Of a dot, in CSS pixels: smaller where there are many, larger the nearer one comes.
  radius() {
    const {view, songs} = this, room = Math.sqrt(view.wide * view.high / Math.max(songs.count, 1));
    return Math.min(9, Math.max(1.7, Math.min(5.5, 0.22 * room)) * view.zoom ** 0.35);
  }

  drawDots(colouring, looks, choice) {
    const {songs, ratio, dots, colours} = this, {x, y, count} = songs, {left, top, scale} = this.view, {mask} = choice;
    const radius = this.radius(), larger = choice.rows && choice.rows.length <= FEW ? Math.max(1.25 * radius, 4) : radius;
    dots.clear(colours.ground);
    // From below: those that are faded, those without a kind, the rest, and the new ones. A stamp for each code.
    for (let layer = mask ? 0 : 1; layer < (songs.newCount ? 4 : 3); layer++) {
      const stamps = [], size = ratio * (layer ? larger : radius), ring = layer === 3 ? colours.ink : "";
      for (let i = 0; i < count; i++) {
        const code = looks[i], faded = mask !== null && mask[i] === 0;
        if ((faded ? 0 : songs.fresh[i] ? 3 : code < 0 ? 1 : 2) !== layer) continue;
        const stamp = stamps[code + 1] ||= makeStamp(
          dressOf(colouring, code, songs.look, this.dark), size, colours.edge, layer ? 1 : 0.14, ring, dots.width);
        dots.stamp(stamp, Math.round(ratio * (left + x[i] * scale)), Math.round(ratio * (top - y[i] * scale)));
      }
    }
    dots.show();
  }

  // at: {playing, focused, hovered}, songs or -1; line: the lasso in pixels.
  drawMarks(at, line) {
    const {pen, view, colours, ratio} = this;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, view.wide, view.high);
    this.drawRing(at.playing, 7, colours.accent, 3);
    this.drawRing(at.focused, 4, colours.ink, 2);
    if (at.hovered !== at.focused) this.drawRing(at.hovered, 3, colours.ink, 1.5);
    if (line.length < 2) return;
    pen.beginPath();
    line.forEach(([right, down]) => pen.lineTo(right, down));
    pen.closePath();
    pen.fillStyle = pen.strokeStyle = colours.accent;
    pen.globalAlpha = 0.12;
    pen.fill();
    pen.globalAlpha = 1;
    pen.lineWidth = 1.5;
    pen.stroke();
  }

  drawRing(song, away, colour, width) {
    if (song < 0) return;
    tracePath(this.pen, "circle", ...this.view.pixelOf(this.songs.x[song], this.songs.y[song]), this.radius() + away);
    this.pen.lineWidth = width;
    this.pen.strokeStyle = colour;
    this.pen.stroke();
  }
}
