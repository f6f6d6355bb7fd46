// Who lies where: songs sorted into the cells of a square grid, so that the nearest is found without a look at them all.

class DotGrid {
  constructor(x, y) {
    this.x = x;
    this.y = y;
    this.side = Math.max(1, Math.min(512, Math.round(Math.sqrt(x.length))));  // cells a side; places lie in [0, 1]
    const cells = this.side * this.side, cell = new Int32Array(x.length);
    this.start = new Int32Array(cells + 1);
    for (let i = 0; i < x.length; i++) {
      cell[i] = this.column(y[i]) * this.side + this.column(x[i]);
      this.start[cell[i] + 1]++;
    }
    for (let c = 0; c < cells; c++) this.start[c + 1] += this.start[c];
    const next = this.start.slice();
    this.items = new Int32Array(x.length);
    for (let i = 0; i < x.length; i++) this.items[next[cell[i]]++] = i;
  }

  column(value) {
    return Math.max(0, Math.min(this.side - 1, Math.floor(value * this.side)));
  }

  // Calls visit(i) for each song of the cells that touch a rectangle.
  visit(left, bottom, right, top, visit) {
    for (let row = this.column(bottom); row <= this.column(top); row++) {
      const from = this.start[row * this.side + this.column(left)];
      const to = this.start[row * this.side + this.column(right) + 1];
      for (let at = from; at < to; at++) visit(this.items[at]);
    }
  }

  // The song nearest to a place, no farther than `radius`; -1 where there is none. Only those that `allowed(i)`.
  nearest(x, y, radius, allowed) {
    let found = -1, best = radius * radius;
    this.visit(x - radius, y - radius, x + radius, y + radius, i => {
      const far = (this.x[i] - x) ** 2 + (this.y[i] - y) ** 2;
      if (far <= best && allowed(i)) {
        best = far;
        found = i;
      }
    });
    return found;
  }

  // The nearest song to the right of song i (dx 1), left (-1), above (dy 1) or below (-1), within 45 degrees on either
  // side of that way; -1 where there is none. Songs at one place follow each other in their order, to the right and up.
  neighbour(i, dx, dy, allowed) {
    const x = this.x[i], y = this.y[i], onward = dx + dy;
    for (let radius = 2 / this.side; ; radius *= 2) {
      let found = -1, best = Infinity;
      this.visit(x - radius, y - radius, x + radius, y + radius, j => {
        if (j === i || !allowed(j)) return;
        const right = this.x[j] - x, up = this.y[j] - y;
        const along = right * dx + up * dy, aside = Math.abs(right * dy) + Math.abs(up * dx);
        const far = Math.hypot(right, up);
        if (far === 0 ? (j - i) * onward < 0 : along <= 0 || aside > along) return;
        // Among songs at one place, the next in order; else the nearest.
        const cost = far === 0 ? Math.abs(j - i) * 1e-12 - 1 : far;
        if (cost < best) {
          best = cost;
          found = j;
        }
      });
      // What lies in the corners of the square may be farther than what lies just outside its sides.
      if (found >= 0 && best <= radius) return found;
      if (radius >= 2) return found;
    }
  }

  // Songs within a closed line of [x, y] points: those whose every ray to the right crosses it an odd number of times.
  inside(line) {
    const xs = line.map(point => point[0]), ys = line.map(point => point[1]), found = [];
    this.visit(Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys), i => {
      let odd = false;
      for (let a = 0, b = line.length - 1; a < line.length; b = a++) {
        if (ys[a] > this.y[i] !== ys[b] > this.y[i]
          && this.x[i] < (xs[b] - xs[a]) * (this.y[i] - ys[a]) / (ys[b] - ys[a]) + xs[a]) odd = !odd;
      }
      if (odd) found.push(i);
    });
    return found.sort((a, b) => a - b);
  }
}
