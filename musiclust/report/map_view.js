// What part of the map is in sight, and how it is moved: places in [0, 1] with up being more, pixels with down being more.

const MOST_ZOOM = 400;

class MapView {
  // width and height: how far the songs reach, at most 1 each.
  constructor(width, height) {
    Object.assign(this, {songsWide: width, songsHigh: height, wide: 1, high: 1, scale: 1, left: 0, top: 0});
  }

  get zoom() {
    return this.scale / this.wholeScale();
  }

  wholeScale() {
    const margin = Math.min(24, this.wide / 12);
    return Math.min(
      (this.wide - 2 * margin) / Math.max(this.songsWide, 1e-3), (this.high - 2 * margin) / Math.max(this.songsHigh, 1e-3),
      8 * Math.min(this.wide, this.high),
    );
  }

  // The window has another size: what was in the middle stays there.
  resize(wide, high) {
    const first = this.wide === 1, zoom = this.zoom, middle = this.placeAt(this.wide / 2, this.high / 2);
    Object.assign(this, {wide, high});
    if (first) return this.reset();
    this.scale = zoom * this.wholeScale();
    this.centre(...middle);
  }

  reset() {
    this.scale = this.wholeScale();
    this.centre(this.songsWide / 2, this.songsHigh / 2);
  }

  centre(x, y) {
    this.left = this.wide / 2 - x * this.scale;
    this.top = this.high / 2 + y * this.scale;
    this.keepInSight();
  }

  pixelOf(x, y) {
    return [this.left + x * this.scale, this.top - y * this.scale];
  }

  placeAt(right, down) {
    return [(right - this.left) / this.scale, (this.top - down) / this.scale];
  }

  move(right, down) {
    this.left += right;
    this.top += down;
    this.keepInSight();
  }

  // Zooms by a factor about a pixel, which stays where it is.
  zoomAt(right, down, factor) {
    const [x, y] = this.placeAt(right, down), whole = this.wholeScale();
    this.scale = Math.max(whole, Math.min(MOST_ZOOM * whole, this.scale * factor));
    this.left = right - x * this.scale;
    this.top = down + y * this.scale;
    if (this.scale === whole) return this.reset();
    this.keepInSight();
  }

  // The middle of the window never leaves the songs.
  keepInSight() {
    const {wide, high, scale} = this;
    this.left = Math.max(wide / 2 - this.songsWide * scale, Math.min(wide / 2, this.left));
    this.top = Math.max(high / 2, Math.min(high / 2 + this.songsHigh * scale, this.top));
  }

  // Moves as little as it takes for a place to be in sight.
  reveal(x, y) {
    const margin = 12, [right, down] = this.pixelOf(x, y);
    if (right < margin || down < margin || right > this.wide - margin || down > this.high - margin) this.centre(x, y);
  }
}
