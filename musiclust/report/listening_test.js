// A listening test: three songs a trial, an answer for each. The solutions are not here: they lie in key.json.

const LETTERS = ["A", "B", "C"];
const {test, trials} = JSON.parse(document.getElementById("data").textContent);
const STORED = `musiclust-listening-${test}`;

const at = id => document.getElementById(id);
const players = [...document.querySelectorAll("audio")];
const buttons = [...document.querySelectorAll("[data-play]")];
const bars = [...document.querySelectorAll(".song progress")];
const choices = [...document.querySelectorAll("input[name=odd]")];

let state = load();
let heard = [false, false, false], broken = [false, false, false], shownAt = 0;

function load() {
  try {
    const kept = JSON.parse(localStorage.getItem(STORED));
    const whole = kept && typeof kept.listener === "string" && Array.isArray(kept.answers) && Number.isInteger(kept.next);
    return whole && kept.next >= 0 && kept.next <= trials.length ? kept : null;
  } catch {
    return null;
  }
}

function keep() {
  try {
    localStorage.setItem(STORED, JSON.stringify(state));
    at("kept").textContent = "";
  } catch {
    at("kept").textContent = "This browser keeps nothing for this page: save the answers before you close it.";
  }
}

// Seconds at which a clip begins and ends, by the fragment of its address; Infinity where it ends with the file.
function stretch(address) {
  const found = /#t=([\d.]+)(?:,([\d.]+))?$/.exec(address);
  return found ? [Number(found[1]), found[2] === undefined ? Infinity : Number(found[2])] : [0, Infinity];
}

const clip = song => trials[state.next].clips[song];

function show() {
  players.forEach(player => player.pause());
  const running = state !== null, over = running && state.next === trials.length;
  at("begin").hidden = running;
  at("trial").hidden = !running || over;
  at("end").hidden = !over;
  at("save").hidden = !running;
  at("download").classList.toggle("main", over);
  if (over) at("thanks").focus();
  if (!running || over) return;
  at("count").textContent = `${state.listener}, trial ${state.next + 1} of ${trials.length}`;
  at("done").value = state.next;
  heard = [false, false, false];
  broken = [false, false, false];
  choices.forEach(choice => choice.checked = false);
  players.forEach((player, song) => player.src = clip(song));
  at("skip").hidden = true;
  say("");
  bars.forEach(bar => bar.value = 0);
  buttons.forEach((_, song) => draw(song));
  shownAt = performance.now();
  buttons[0].focus();
}

function say(text) {
  at("said").textContent = text;
}

function draw(song) {
  const playing = !players[song].paused;
  buttons[song].textContent = `${playing ? "\u25a0" : "\u25b6"} ${LETTERS[song]}`;
  buttons[song].setAttribute("aria-label", `${playing ? "Pause" : "Play"} song ${LETTERS[song]}`);
  buttons[song].classList.toggle("playing", playing);
}

function play(song) {
  const player = players[song];
  if (!player.paused) {
    player.pause();
    return;
  }
  players.forEach((other, i) => i === song || other.pause());
  heard[song] = true;
  if (!broken[song]) say("");
  const [begin, end] = stretch(clip(song));
  if (player.ended || player.currentTime >= end - 0.1 || player.currentTime < begin) player.currentTime = begin;
  player.play().catch(() => {});  // the "error" event tells of a file that cannot be played
}

function answer(place) {
  const seconds = Math.round((performance.now() - shownAt) / 100) / 10;
  if (place !== null) state.answers.push({trial: trials[state.next].trial, answer: place, seconds});
  state.next += 1;
  keep();
  show();
}

players.forEach((player, song) => {
  player.addEventListener("play", () => draw(song));
  player.addEventListener("pause", () => draw(song));
  player.addEventListener("timeupdate", () => {
    if (state === null || state.next >= trials.length) return;
    const [begin, end] = stretch(clip(song)), stop = Math.min(end, player.duration || Infinity);
    bars[song].value = Number.isFinite(stop) ? Math.max(0, Math.min(1, (player.currentTime - begin) / (stop - begin))) : 0;
    if (player.currentTime >= end) player.pause();
  });
  player.addEventListener("error", () => {
    if (!player.hasAttribute("src") || state === null || state.next >= trials.length) return;
    broken[song] = true;
    say(`Song ${LETTERS[song]} cannot be played here.`);
    at("skip").hidden = false;
  });
  buttons[song].addEventListener("click", () => play(song));
});

at("start-form").addEventListener("submit", event => {
  event.preventDefault();
  const listener = at("listener").value.trim();
  if (!listener) return;
  state = {listener, next: 0, answers: []};
  keep();
  show();
});

at("answer-form").addEventListener("submit", event => {
  event.preventDefault();
  const missing = LETTERS.filter((_, song) => !heard[song] || broken[song]);
  const chosen = choices.findIndex(choice => choice.checked);
  if (missing.length) say(`Listen to ${missing.join(" and ")} first.`);
  else if (chosen < 0) say("Choose the song that does not belong.");
  else answer(chosen);
});

at("skip").addEventListener("click", () => answer(null));

at("download").addEventListener("click", () => {
  const {listener, answers} = state;
  const text = JSON.stringify({test, listener, answers}, null, 1);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], {type: "application/json"}));
  link.download = `answers-${listener.replace(/[^\p{L}\p{N}]+/gu, "-")}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
});

at("anew").addEventListener("click", () => {
  if (!confirm("The answers so far go from this browser. Have you saved them?")) return;
  try {
    localStorage.removeItem(STORED);
  } catch {}
  state = null;
  at("listener").value = "";
  show();
});

document.addEventListener("keydown", event => {
  if (at("trial").hidden || event.ctrlKey || event.metaKey || event.altKey) return;
  const song = ["1", "2", "3"].indexOf(event.key), choice = ["a", "b", "c"].indexOf(event.key.toLowerCase());
  if (song >= 0) play(song);
  else if (choice >= 0) {
    choices[choice].checked = true;
    choices[choice].focus();
  } else if (event.key === "Enter" && !(event.target instanceof HTMLButtonElement)) at("answer-form").requestSubmit();
  else return;
  event.preventDefault();
});

if (state) keep();
show();
