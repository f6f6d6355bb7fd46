// What the page knows of its songs, unpacked from the JSON that map.py wrote.

const ARRAYS = {i1: Int8Array, i2: Int16Array, i4: Int32Array, f4: Float32Array};
const STRETCH = /^(.+)#t=(\d+(?:\.\d+)?),(\d+(?:\.\d+)?)$/s;  // as in musiclust/stretches.py

function unpackArray({type, base64}) {
  const letters = atob(base64), bytes = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
  return new ARRAYS[type](bytes.buffer);
}

// Strings of which many are the same: each once, and a number for each song.
function unpackStrings({names, codes}) {
  const code = unpackArray(codes);
  return i => names[code[i]];
}

function readSongs(text) {
  const data = JSON.parse(text);
  const place = unpackArray(data.xy), seconds = unpackArray(data.seconds);
  const artist = unpackStrings(data.artist), certainty = unpackStrings(data.certainty);
  const folder = unpackStrings(data.folder);
  const tagEnds = unpackArray(data.tags.ends), tagCodes = unpackArray(data.tags.codes);
  const count = data.title.length, x = new Float32Array(count), y = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    x[i] = place[2 * i];
    y[i] = place[2 * i + 1];
  }
  const fresh = new Uint8Array(count);
  for (const i of data.fresh) fresh[i] = 1;
  const tags = i => {
    const words = [];
    for (let at = i ? tagEnds[i - 1] : 0; at < tagEnds[i]; at++) words.push(data.tags.names[tagCodes[at]]);
    return words.join(", ");
  };
  const within = data.previews.length > 0;  // what is played lies within the page
  const sounds = within ? data.previews : data.file;
  const hasFile = i => sounds[i] !== "", anyFile = sounds.some(sound => sound !== "");
  // A delete character stands for the title, two for itself.
  const nameOf = i => data.file[i].replace(/\x7f\x7f?/g, found => found.length > 1 ? "\x7f" : data.title[i]);
  const colourings = data.colourings.map(one => one.codes
    ? {...one, numeric: false, codes: unpackArray(one.codes)}
    : scaleOf(one.name, unpackArray(one.values)));
  return {
    count, x, y, artist, certainty, tags, hasFile, colourings, fresh,
    newCount: data.fresh.length,
    anyFile, within,
    title: i => data.title[i],
    seconds: i => seconds[i],
    typical: data.typical,
    look: {palette: data.palette, shapes: data.shapes, grey: data.grey},
    called: i => [data.title[i], artist(i)].filter(part => part).join(" \u2013 "),
    // The file as it is called on disk, from the page's folder; without the stretch of it that the song may be.
    file: i => folder(i) + splitStretch(nameOf(i))[0],
    address: i => !hasFile(i) ? "" : within ? `data:audio/mpeg;base64,${data.previews[i]}` : audioAddress(folder(i) + nameOf(i), data.root),
    end: i => splitStretch(nameOf(i))[2],
    // What is to be said of a song, [name or "", text] each: its cluster, how sure, its tags and the other columns.
    facts: i => [
      ["", kindOf(colourings[0], i)], ["", certainty(i)], ["", tags(i)],
      ...colourings.slice(1).map(one => [one.name, kindOf(one, i)]), ["", fresh[i] ? "new" : ""],
      ["", anyFile && !hasFile(i) ? "no audio file" : ""],
    ].filter(([, text]) => text),
  };
}

// A column of numbers: values, and the ends of its scale, beyond which lies no more than 1 in 100 songs on each side.
function scaleOf(name, values) {
  const known = values.filter(value => !Number.isNaN(value)).sort();
  const at = share => known[Math.round(share * (known.length - 1))];
  const [low, high] = known.length ? [at(0.01), at(0.99)] : [0, 0];
  const cut = {low: known[0] < low, high: known[known.length - 1] > high};
  return {name, numeric: true, values, low, high, cut, none: "not known"};
}

function kindOf(colouring, i) {
  if (colouring.numeric) {
    return Number.isNaN(colouring.values[i]) ? "" : writeNumber(colouring.values[i]);
  }
  return nameOfCode(colouring, colouring.codes[i]);
}

function nameOfCode(colouring, code) {
  return code < 0 ? colouring.none : colouring.names[code];
}

function writeNumber(value) {
  return Number(value.toPrecision(3)).toLocaleString("en", {maximumFractionDigits: 6});
}

function countSongs(count) {
  return `${count.toLocaleString("en")} ${count === 1 ? "song" : "songs"}`;
}

// "song.wav#t=10,20" -> ["song.wav", 10, 20]; the whole of a file has no start and no end.
function splitStretch(path) {
  const match = STRETCH.exec(path);
  return match ? [match[1], Number(match[2]), Number(match[3])] : [path, null, null];
}

// Bytes of a path as they are on disk: Python says a byte that is no UTF-8 as a lone surrogate, U+DC80 to U+DCFF.
function bytesOf(path) {
  const bytes = [], encoder = new TextEncoder();
  for (const letter of path) {
    const code = letter.codePointAt(0);
    if (code >= 0xdc80 && code <= 0xdcff) bytes.push(code - 0xdc00);
    else bytes.push(...encoder.encode(letter));
  }
  return bytes;
}

// Where the browser finds a song. Audio below the page's folder has a relative address, so that the folder can be moved
// whole; audio elsewhere is told by its place on disk. `root` is the page's folder when it was written.
function audioAddress(path, root) {
  const [name] = splitStretch(path), fragment = path.slice(name.length);
  const inside = !name.startsWith("../") && !isAbsolute(name);
  const whole = inside ? name : isAbsolute(name) ? name : resolve(root, name);
  const encoded = bytesOf(whole).map(byte => {
    const letter = String.fromCharCode(byte);
    return byte < 128 && /[A-Za-z0-9_.~\/-]/.test(letter) ? letter
      : "%" + byte.toString(16).toUpperCase().padStart(2, "0");
  }).join("");
  if (inside) return encoded + fragment;
  return "file://" + (encoded.startsWith("/") ? "" : "/") + encoded.replace(/^\/?([A-Za-z])%3A\//, "/$1:/") + fragment;
}

const isAbsolute = path => path.startsWith("/") || /^[A-Za-z]:\//.test(path);

function resolve(root, path) {
  const parts = root.replace(/\/$/, "").split("/");
  for (const part of path.split("/")) {
    if (part === "..") parts.pop();
    else parts.push(part);
  }
  return parts.join("/");
}
