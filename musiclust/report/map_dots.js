// How the dots look, and how they come onto a canvas.
// A dot is drawn once for each colour, shape and size, and then stamped pixel by pixel: 100,000 dots take some tens of milliseconds,
// with no help of a graphics card.

const VIRIDIS = [
  "#440154", "#482878", "#3e4a89", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6dcd59", "#b4de2c", "#fde725",
];
const STEPS = 64;  // colours of a continuous scale

const hexToRgb = hex => [1, 3, 5].map(at => parseInt(hex.slice(at, at + 2), 16));

// The colour at a share of the scale, from 0 to 1. The end that is near the ground's colour is left out.
function scaleColour(share, dark) {
  const at = (dark ? 0.2 + 0.8 * share : 0.93 * share) * (VIRIDIS.length - 1), below = Math.min(Math.floor(at), VIRIDIS.length - 2);
  const [from, to] = [hexToRgb(VIRIDIS[below]), hexToRgb(VIRIDIS[below + 1])];
  return `rgb(${from.map((value, c) => Math.round(value + (at - below) * (to[c] - value))).join(",")})`;
}

// Which of the looks a song has: a class's code or a step of the scale, -1 for none.
function lookOf(colouring, i) {
  if (!colouring.numeric) return colouring.codes[i];
  const value = colouring.values[i];
  if (Number.isNaN(value)) return -1;
  const share = colouring.high > colouring.low ? (value - colouring.low) / (colouring.high - colouring.low) : 0.5;
  return Math.round(Math.max(0, Math.min(1, share)) * (STEPS - 1));
}

function looksOf(colouring, count) {
  return Int32Array.from({length: count}, (_, i) => lookOf(colouring, i));
}

// Colour and shape of a look; past the palette's end the colours come again in another shape.
function dressOf(colouring, code, {palette, shapes, grey}, dark) {
  if (code < 0) return {colour: grey, shape: shapes[0]};
  if (colouring.numeric) return {colour: scaleColour(code / (STEPS - 1), dark), shape: shapes[0]};
  return {
    colour: palette[code % palette.length],
    shape: shapes[Math.floor(code / palette.length) % shapes.length],
  };
}

// Corners of a shape about (0, 0), of about the area of a circle of radius 1; null for the circle itself.
function cornersOf(shape) {
  const wide = 0.38, long = 1.15;
  return {
    circle: null,
    triangle: [[0, -1.3], [1.15, 0.8], [-1.15, 0.8]],
    square: [[-0.9, -0.9], [0.9, -0.9], [0.9, 0.9], [-0.9, 0.9]],
    diamond: [[0, -1.25], [1.25, 0], [0, 1.25], [-1.25, 0]],
    cross: [
      [-wide, -long], [wide, -long], [wide, -wide], [long, -wide], [long, wide], [wide, wide],
      [wide, long], [-wide, long], [-wide, wide], [-long, wide], [-long, -wide], [-wide, -wide],
    ],
  }[shape];
}

function tracePath(context, shape, x, y, radius) {
  const corners = cornersOf(shape);
  context.beginPath();
  if (corners) {
    corners.forEach(([right, down]) => context.lineTo(x + radius * right, y + radius * down));
    context.closePath();
  } else {
    context.arc(x, y, radius, 0, 2 * Math.PI);
  }
}

// The same as a small picture beside a text.
function makeSwatch({colour, shape}) {
  const name = "http://www.w3.org/2000/svg", svg = document.createElementNS(name, "svg");
  const corners = cornersOf(shape), drawn = document.createElementNS(name, corners ? "polygon" : "circle");
  svg.setAttribute("viewBox", "-1.6 -1.6 3.2 3.2");
  svg.setAttribute("class", "swatch");
  svg.setAttribute("aria-hidden", "true");
  if (corners) drawn.setAttribute("points", corners.map(corner => corner.join(",")).join(" "));
  else drawn.setAttribute("r", "1.05");
  drawn.setAttribute("fill", colour);
  if (colour === "none") svg.classList.add("ring");
  svg.append(drawn);
  return svg;
}

// A dot as pixels for a canvas `width` pixels wide: how far each lies from the middle, along a row and down the canvas
// and in pixels of the canvas; its colour as a word; and how much it covers (1 to 255), those that cover all first.
function makeStamp({colour, shape}, radius, edge, alpha, ring, width) {
  const half = Math.ceil(radius * 1.35 + (ring ? 4.5 : 1.5)), size = 2 * half + 1;
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = size;
  const context = canvas.getContext("2d", {willReadFrequently: true});
  context.globalAlpha = alpha;
  tracePath(context, shape, half + 0.5, half + 0.5, radius);
  context.fillStyle = colour;
  context.fill();
  if (radius > 2) {
    context.lineWidth = Math.max(0.6, radius / 8);
    context.strokeStyle = edge;
    context.stroke();
  }
  if (ring) {
    tracePath(context, "circle", half + 0.5, half + 0.5, radius * 1.2 + 2);
    context.lineWidth = Math.max(1, radius / 4);
    context.strokeStyle = ring;
    context.stroke();
  }
  const {data} = context.getImageData(0, 0, size, size), pixels = [];
  for (let at = 0; at < size * size; at++) {
    const cover = data[4 * at + 3];
    if (cover > 3) {
      const [red, green, blue] = data.subarray(4 * at, 4 * at + 3);
      pixels.push({right: at % size - half, down: Math.floor(at / size) - half, word: wordOf(red, green, blue), cover});
    }
  }
  pixels.sort((a, b) => b.cover - a.cover);
  return {
    half,
    solid: pixels.filter(pixel => pixel.cover === 255).length,
    right: Int16Array.from(pixels, pixel => pixel.right),
    down: Int16Array.from(pixels, pixel => pixel.down),
    away: Int32Array.from(pixels, pixel => pixel.down * width + pixel.right),
    word: Uint32Array.from(pixels, pixel => pixel.word),
    cover: Uint8Array.from(pixels, pixel => pixel.cover),
  };
}

const wordOf = (red, green, blue) => (255 << 24 | blue << 16 | green << 8 | red) >>> 0;

// A canvas that dots are stamped on. Its ground is opaque, so that what is blended needs no alpha of its own.
class DotCanvas {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", {alpha: false});
  }

  resize(width, height) {
    this.canvas.width = this.width = width;
    this.canvas.height = this.height = height;
    this.image = this.context.createImageData(width, height);
    this.words = new Uint32Array(this.image.data.buffer);
  }

  clear(colour) {
    this.words.fill(wordOf(...colour));
  }

  stamp(stamp, x, y) {
    const {width, height, words} = this, {half, solid, away, word} = stamp, count = away.length;
    if (x < half || y < half || x >= width - half || y >= height - half) return this.stampPart(stamp, x, y);
    const middle = y * width + x;
    for (let p = 0; p < solid; p++) words[middle + away[p]] = word[p];
    for (let p = solid; p < count; p++) this.blend(middle + away[p], word[p], stamp.cover[p]);
  }

  // A dot that is cut by the canvas's edge, or beyond it.
  stampPart({half, right, down, away, word, cover}, x, y) {
    const {width, height} = this;
    if (x < -half || y < -half || x >= width + half || y >= height + half) return;
    for (let p = 0; p < away.length; p++) {
      const px = x + right[p], py = y + down[p];
      if (px >= 0 && py >= 0 && px < width && py < height) this.blend(py * width + px, word[p], cover[p]);
    }
  }

  blend(at, word, cover) {
    const below = this.words[at], part = shift => {
      const old = below >>> shift & 255;
      return (old + ((word >>> shift & 255) - old) * cover / 255 | 0) << shift;
    };
    this.words[at] = (255 << 24 | part(16) | part(8) | part(0)) >>> 0;
  }

  show() {
    this.context.putImageData(this.image, 0, 0);
  }
}
