// What pointers do on the map: one drags it or draws a lasso, two pinch, one that stays where it is clicks; a wheel zooms.

const STILL = 5;  // pixels that a pointer may move and still click

class Pointers {
  // on: {hover(place), leave(), click(place, touched), lasso(line), moved(), drawn()}; places are in pixels of the map.
  constructor(canvas, view, on) {
    Object.assign(this, {canvas, view, on, places: new Map(), lassoing: false, line: [], moved: false, pinched: 0});
    canvas.addEventListener("pointerdown", event => this.press(event));
    canvas.addEventListener("pointermove", event => this.move(event));
    canvas.addEventListener("pointerup", event => this.release(event));
    canvas.addEventListener("pointercancel", event => this.cancel(event));
    canvas.addEventListener("pointerleave", () => { if (!this.places.size) on.leave(); });
    canvas.addEventListener("wheel", event => this.turnWheel(event), {passive: false});
    this.setTouch();
  }

  setLassoing(lassoing) {
    this.lassoing = lassoing;
    this.setTouch();
  }

  // A finger scrolls the page as long as there is nowhere to drag the map to.
  setTouch() {
    this.canvas.style.touchAction = this.lassoing || this.view.zoom > 1 ? "none" : "pan-y";
  }

  placeOf(event) {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  press(event) {
    if (event.button) return;
    const place = this.placeOf(event);
    this.canvas.setPointerCapture(event.pointerId);
    this.places.set(event.pointerId, place);
    this.moved = this.places.size > 1;
    this.pinched = 0;
    this.line = !this.moved && (this.lassoing || event.shiftKey) ? [place] : [];
  }

  move(event) {
    const place = this.placeOf(event), before = this.places.get(event.pointerId);
    if (!before) return this.on.hover(place);
    if (this.places.size === 2) {
      this.pinch(event.pointerId, place, before);
    } else {
      if (!this.moved && Math.hypot(place[0] - before[0], place[1] - before[1]) < STILL) return;
      this.moved = true;
      if (this.line.length) this.line.push(place);
      else this.view.move(place[0] - before[0], place[1] - before[1]);
    }
    this.places.set(event.pointerId, place);
    if (this.line.length) this.on.drawn();
    else this.on.moved();
  }

  // Two fingers: as far as they part the map grows, and it moves with the place between them.
  pinch(pointer, place, before) {
    const [a, b] = [...this.places.keys()].map(id => id === pointer ? place : this.places.get(id));
    const apart = Math.hypot(a[0] - b[0], a[1] - b[1]);
    if (this.pinched) this.view.zoomAt((a[0] + b[0]) / 2, (a[1] + b[1]) / 2, apart / this.pinched);
    this.pinched = apart;
    this.view.move((place[0] - before[0]) / 2, (place[1] - before[1]) / 2);
  }

  release(event) {
    if (!this.places.delete(event.pointerId)) return;
    const {line} = this;
    this.line = [];
    this.pinched = 0;
    if (!this.moved) this.on.click(this.placeOf(event), event.pointerType === "touch");
    else if (line.length > 2) this.on.lasso(line);
    this.on.drawn();
  }

  cancel(event) {
    this.places.delete(event.pointerId);
    this.line = [];
    this.on.drawn();
  }

  turnWheel(event) {
    // Once the whole map is in sight, a wheel turned further back scrolls the page.
    if (event.deltaY > 0 && this.view.zoom <= 1) return;
    event.preventDefault();
    const pixels = event.deltaY * (event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1);
    const speed = event.ctrlKey ? 100 : 300;  // a pinch on a touchpad is told as a wheel with Ctrl, in small steps
    this.view.zoomAt(...this.placeOf(event), Math.exp(-Math.max(-240, Math.min(240, pixels)) / speed));
    this.on.moved();
  }
}
