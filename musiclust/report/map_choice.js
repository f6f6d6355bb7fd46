// Which songs stand out: those that the legend, the search and the lasso let through, each of them where it is in use.

class Choice {
  constructor(songs) {
    this.songs = songs;
    this.clear();
  }

  clear() {
    this.text = "";  // of the search
    this.kinds = new Set();  // codes of the legend
    this.onlyNew = false;
    this.lassoed = null;  // rows
    this.rows = null;  // those that stand out; null for all
    this.mask = null;  // (count,) of 1 for them and 0; null for all
  }

  standsOut(i) {
    return !this.mask || this.mask[i] === 1;
  }

  rowsOrAll() {
    return this.rows || Array.from({length: this.songs.count}, (_, i) => i);
  }

  // Makes the texts that are searched. It takes a moment for many songs, so it is done before the first letter.
  prepare() {
    const {songs} = this;
    this.searched ||= Array.from({length: songs.count}, (_, i) =>
      foldText([songs.title(i), songs.artist(i), songs.tags(i)].join("\n")));
  }

  // Finds who stands out. looks: what code of the legend each song has.
  find(looks) {
    const {songs, kinds, lassoed} = this, words = foldText(this.text).split(/\s+/).filter(word => word);
    this.rows = this.mask = null;
    if (!words.length && !lassoed && !kinds.size && !this.onlyNew) return;
    if (words.length) this.prepare();
    this.rows = [];
    this.mask = new Uint8Array(songs.count);
    const among = lassoed ? lassoed.length : songs.count;
    for (let at = 0; at < among; at++) {
      const i = lassoed ? lassoed[at] : at;
      if (this.onlyNew && !songs.fresh[i]) continue;
      if (kinds.size && !kinds.has(looks[i])) continue;
      if (!words.every(word => this.searched[i].includes(word))) continue;
      this.mask[i] = 1;
      this.rows.push(i);
    }
  }

  // What they have in common, in words; "" for all songs.
  name(colouring) {
    const names = [...this.kinds].sort((a, b) => a - b).map(code => nameOfCode(colouring, code));
    if (this.text.trim()) names.push(`\u201c${this.text.trim()}\u201d`);
    if (this.onlyNew) names.push("new");
    if (this.lassoed) names.push("lasso");
    return names.join(", ");
  }
}

// Small letters without their accents.
function foldText(text) {
  return text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
}
