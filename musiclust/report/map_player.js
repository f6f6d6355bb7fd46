// What is played: one song, or several one after the other.

class Player {
  // audio: the element; now: where to say what it plays; steps: {bar, back, on, place}, shown while several are played.
  constructor(songs, audio, now, steps, changed) {
    Object.assign(this, {songs, audio, now, steps, changed, playing: -1, queue: [], at: 0});
    audio.addEventListener("error", () => {
      if (audio.hasAttribute("src")) now.textContent = `${songs.called(this.playing)}: cannot be played here (${audio.src.slice(0, 300)})`;
    });
    audio.addEventListener("ended", () => this.step(1));
    // A stretch of a file ends in a pause, which nobody but the browser can have made there.
    audio.addEventListener("pause", () => {
      const end = songs.end(this.playing);
      if (this.playing >= 0 && end !== null && audio.currentTime >= end - 0.05) this.step(1);
    });
    steps.back.addEventListener("click", () => this.step(-1));
    steps.on.addEventListener("click", () => this.step(1));
    this.showQueue();
  }

  playOne(song) {
    this.queue = [];
    this.play(song);
  }

  // Plays those of the songs that have a file.
  playThrough(rows) {
    this.queue = [...rows].filter(this.songs.hasFile);
    this.at = 0;
    if (this.queue.length) this.play(this.queue[0]);
  }

  step(by) {
    const next = this.at + by;
    if (next < 0 || next >= this.queue.length) return;
    this.at = next;
    this.play(this.queue[next]);
  }

  play(song) {
    const {audio, songs} = this;
    this.playing = -1;  // the pause that follows is not the end of a stretch
    audio.pause();
    this.playing = song;
    this.now.textContent = songs.called(song) + (songs.hasFile(song) ? "" : ": no audio file");
    audio.hidden = !songs.hasFile(song);
    if (songs.hasFile(song)) {
      audio.src = songs.address(song);
      audio.play().catch(() => {});  // the "error" event above tells of a file that cannot be played
    } else {
      audio.removeAttribute("src");
    }
    this.showQueue();
    this.changed(song);
  }

  showQueue() {
    const {bar, back, on, place} = this.steps;
    bar.hidden = this.queue.length < 2;
    back.disabled = this.at === 0;
    on.disabled = this.at === this.queue.length - 1;
    place.textContent = `${this.at + 1} of ${this.queue.length}`;
  }
}
