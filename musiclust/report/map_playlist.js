// Songs as a playlist, byte for byte as musiclust/listening/playlists.py writes it: extended M3U in UTF-8, paths from the
// page's folder, letter for letter as they are on disk. Nothing that a song is called can add a line.

function oneLine(text) {
  return text.replace(/[\p{Cc}\p{Zl}\p{Zp}]/gu, " ").split(/\s+/u).filter(word => word).join(" ");
}

// "a/b.c.wav" -> "b.c"
function stemOf(file) {
  return file.replace(/^.*\//s, "").replace(/(.)\.[^.]*$/s, "$1");
}

// Returns {bytes, written, left}: the file, how many songs it has, and how many have no file or one whose name has a
// line break, which no playlist can hold. Songs that are stretches of one file stand for it once.
function makePlaylist(name, rows, songs) {
  const parts = [...new TextEncoder().encode(`#EXTM3U\n#PLAYLIST:${oneLine(name)}\n`)], seen = new Set();
  let left = 0;
  for (const song of rows) {
    const file = songs.hasFile(song) ? songs.file(song) : "";
    if (!file || /[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]/.test(file)) left++;
    else if (!seen.has(file)) {
      seen.add(file);
      const seconds = songs.seconds(song), lasts = seconds > 0 && Number.isFinite(seconds);
      const artist = oneLine(songs.artist(song));
      const told = (artist ? `${artist} - ` : "") + (oneLine(songs.title(song)) || oneLine(stemOf(file)));
      const line = `#EXTINF:${lasts ? Math.max(1, Math.round(seconds)) : -1},${told}\n`;
      // A line that begins with # is a comment to a player.
      for (const text of [line, file.startsWith("#") ? "./" : "", file, "\n"]) for (const byte of bytesOf(text)) parts.push(byte);
    }
  }
  return {bytes: Uint8Array.from(parts), written: seen.size, left};
}

function saveFile(name, bytes) {
  const plain = oneLine(name).replace(/[<>:"\/\\|?*]/g, "-").replace(/^[. ]+/, "").slice(0, 80).replace(/[. ]+$/, "");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([bytes], {type: "audio/x-mpegurl"}));
  link.download = `${plain || "playlist"}.m3u8`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}
