"""Makes playlists, a map and a table of a finished run; places new songs in it.

Examples:
  python -m experiments.organize --run=runs/... --audio_dir=new/
  python -m experiments.organize --run=runs/... --like=song.mp3 --songs=30
  python -m experiments.organize --run=runs/... --from=a.mp3 --to=b.mp3

All lies in <run>/playlists, or where --out says. A playlist that somebody has
edited since it was written stays as it is, unless --force is given.
"""

import os
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
from absl import flags

from experiments.cli.console import console, print_line
from experiments.cli.cores import count_usable_cores
from experiments.cli.program import run
from experiments.cli.progress import show_progress
from experiments.study.copies import name_copies, nominate
from experiments.study.kept_names import keep_names
from experiments.study.lists import Choice, Limits, list_alike, list_by_words, list_clusters, list_path
from experiments.study.moved import follow
from experiments.study.new_stores import find_stores
from experiments.study.plan import read_plan
from experiments.study.run_store import holds_tracks
from experiments.study.song_blocks import read_song_block
from experiments.study.song_files import write_songs
from experiments.study.songs import Songs, read_songs
from experiments.study.tag_files import WAYS, tag_files, undo_files
from experiments.study.trusted_paths import check_run, check_store
from musiclust.errors import InputError
from musiclust.files import remove_temporary
from musiclust.listening.content import find_copies
from musiclust.listening.playlists import FORMATS, file_names, fits_m3u8, write_playlists
from musiclust.metrics.duplicates import join_groups
from musiclust.report.listening_test import write_listening_test
from musiclust.types import Block

_RUN = flags.DEFINE_string("run", None, "Folder of the finished run, under runs/.")
_AUDIO_DIR = flags.DEFINE_multi_string(
    "audio_dir", None, "Folder of new songs, which are heard and placed in the run's clusters; several."
)
_STORE = flags.DEFINE_string(
    "store",
    None,
    "Folder in which the run's store is now, if it is no longer where it was; songs are asked for in words there.",
)
_OUT = flags.DEFINE_string("out", None, "Folder to write; by default playlists/ in the run.")
_LIKE = flags.DEFINE_multi_string(
    "like",
    None,
    "Song, by file, track_id or title, that others shall be like; several. Or words, as 'calm piano', where the run's "
    "store was preprocessed with --embedding.",
)
_EMBEDDING = flags.DEFINE_string(
    "embedding", "", "CLAP model, as clap:<folder>, that hears new songs and reads words; by default the store's own."
)
_WORDS_WEIGHT = flags.DEFINE_float(
    "words_weight",
    0,
    "Weight of the words in what --like calls alike, 0 to 1: at 0 it goes by the latent space alone, at 1 by what is "
    "sung alone.",
    0,
    1,
)
_FROM = flags.DEFINE_string("from", None, "Song, by file, track_id or title, at which a path begins.")
_TO = flags.DEFINE_string("to", None, "Song at which the path ends.")
_SONGS = flags.DEFINE_integer("songs", 0, "Most songs of a playlist; 0 for all, 30 where --like or --from is given.", 0)
_MINUTES = flags.DEFINE_float("minutes", 0, "Most minutes of a playlist; 0 for no limit.", 0)
_PER_ARTIST = flags.DEFINE_integer("per_artist", 0, "Most songs of one artist in a playlist; 0 for no limit.", 0)
_PER_ALBUM = flags.DEFINE_integer("per_album", 0, "Most songs of one album in a playlist; 0 for no limit.", 0)
_APART = flags.DEFINE_integer("apart", 3, "Other songs between two of one artist, where there are enough.", 0)
_PATH = flags.DEFINE_multi_string("path", None, "Pattern, as '*/Live/*', of files that may be taken; several.")
_CLASS = flags.DEFINE_multi_string("class", None, "Class, as tracks.csv has it, of songs that may be taken; several.")
_SECONDS = flags.DEFINE_string("seconds", None, "Shortest and longest song that may be taken, in seconds, as 90-600.")
_FORMAT = flags.DEFINE_list("format", ["m3u8"], "Formats of the playlists: m3u8, xspf.")
_MUSIC_DIR = flags.DEFINE_string(
    "music_dir", None, "Folder in which the run's music is now, if it is no longer where it was."
)
_TRUST_PATHS = flags.DEFINE_bool(
    "trust_paths", False, "Takes songs of a run that lie outside of the folder of its music, as somebody else's may."
)
_BASE_PATH = flags.DEFINE_string(
    "base_path", None, "Folder of the music where the player is, in place of relative paths."
)
_LISTENING_TEST = flags.DEFINE_integer(
    "listening_test", 0, "Trials of a listening test, which of three songs does not belong; 0 for no test.", 0
)
_PREVIEWS = flags.DEFINE_bool(
    "previews", False, "Put 15 s of each song into map.html in place of links, so that it can be sent to somebody."
)
_TAGS = flags.DEFINE_enum(
    "tags",
    None,
    WAYS,
    "What becomes of the grouping tags of mp3 and FLAC files, by default nothing. propose lists in tags.csv what they "
    "would be by the names of clusters; write writes them, with a list that undoes them; undo does only that.",
)
_FORCE = flags.DEFINE_bool("force", False, "Write over playlists that somebody has edited, and over another test.")
_CACHE_DIR = flags.DEFINE_string(
    "cache_dir", None, "Folder used in place of the user's cache folder (XDG_CACHE_HOME, ~/.cache)."
)
FLAG_GROUPS = {
    "Input": ("run", "audio_dir", "store", "music_dir", "trust_paths", "embedding"),
    "Playlists": ("like", "words_weight", "from", "to", "songs", "minutes", "per_artist", "per_album", "apart"),
    "Which songs": ("path", "class", "seconds"),
    "Listening test": ("listening_test",),
    "Tags": ("tags",),
    "Files": ("out", "format", "base_path", "previews", "force", "cache_dir"),
}

_TEST = "listening_test"  # the folder of the test in that of the playlists
_MOST_PREVIEWS = 3000  # 100 kB each
_FINGERPRINTS = "fingerprints.npz"  # in the folder that is written


def main(argv: list[str]) -> int:
    if not _RUN.value:
        raise InputError("name the run to organize: --run=runs/...")
    _check_flags()
    run_dir = Path(_RUN.value).expanduser()
    out = Path(_OUT.value or run_dir / "playlists").expanduser()
    for folder in (out, out / _TEST):
        remove_temporary(folder)
    if _TAGS.value == "undo":
        undo_files(out)
        return 0
    songs, root = _find_music(run_dir, out, read_songs(run_dir))
    songs, copy_of = _with_new_songs(run_dir, songs)
    there = np.array([song.path.is_file() for song in songs.song])
    if not there.any():
        raise InputError(f"none of the {len(there)} files of the run is there: name their folder by --music_dir")
    wanted = there & _wanted(songs)
    if not wanted.any():
        raise InputError(f"none of the {there.sum()} songs is left by --path, --class and --seconds: give wider ones")
    likes = _LIKE.value or []
    for name in filter(None, (_FROM.value, _TO.value, *(likes if len(likes) > 1 else ()))):
        songs.find(name)  # what is mistyped is told before anything is heard
    choice = Choice(wanted, _find_recordings(out, songs, there, copy_of))
    asked = bool(_LIKE.value or _FROM.value)
    copies = name_copies(songs, choice.copy_of)
    if not asked:
        songs = keep_names(out, songs)
    lists = _make_lists(run_dir, songs, choice)
    if not any(lists.values()):
        raise InputError("no song is left by these limits: give more --songs or --minutes")
    _write_playlists(out, songs, lists, root, keep_others=asked)
    if not asked:
        previews = _make_previews(songs) if _PREVIEWS.value else None
        with show_progress() as report:
            write_songs(out, songs, copies, previews, report)
    if _LISTENING_TEST.value:
        _write_test(out, songs)
    if _TAGS.value:
        tag_files(out, songs, choice.allowed, write=_TAGS.value == "write")
    if count := sum(name != "" for name in copies):
        told = f"{count} of {len(copies)} songs are copies of others, by their bytes or sound, and are listed once"
        print_line(told if asked else f"{told}: see copy_of in {out / 'songs.csv'}")
    if absent := int((~there).sum()):
        print_line(f"{absent} of {len(there)} songs have no file here and are in no playlist")
    print_line(f"written: {out if asked else out / 'map.html'}")
    return 0


def _check_flags() -> None:
    """Raises InputError where flags do not go together, before anything is heard."""
    if not _FORMAT.value or not set(_FORMAT.value) <= set(FORMATS):
        raise InputError(f"--format={','.join(_FORMAT.value)}: choose from {', '.join(FORMATS)}")
    if _LIKE.value and (_FROM.value or _TO.value):
        raise InputError("--like and --from ... --to are two playlists: give one of them")
    if _WORDS_WEIGHT.value and not _LIKE.value:
        raise InputError(f"--words_weight={_WORDS_WEIGHT.value:g} is for songs like a song: give --like=...")
    if bool(_FROM.value) != bool(_TO.value):
        raise InputError("a path needs both ends: --from=... --to=...")
    if _TAGS.value and (_LIKE.value or _FROM.value):
        raise InputError(f"--tags={_TAGS.value} goes by clusters: leave out --like, --from and --to")
    for folder in _AUDIO_DIR.value or ():
        if not Path(folder).expanduser().is_dir():
            raise InputError(f"--audio_dir={folder}: there is no such folder")


def _find_music(run_dir: Path, out: Path, songs: Songs) -> tuple[Songs, Path]:
    """The songs with their files where these are now, and the folder that all of them lie in."""
    folders = [str(song.path.parent) for song in songs.song if song.path != Path()]
    if not folders:
        raise InputError("the songs of this run have no files (it was made from a table of features)")
    if not _TRUST_PATHS.value:
        check_run(run_dir, songs.path.tolist(), read_plan(run_dir).music, music_dir=_MUSIC_DIR.value)
    root = now = Path(os.path.commonpath(folders))
    if _MUSIC_DIR.value:
        now = Path(_MUSIC_DIR.value).expanduser().absolute()
        if not now.is_dir():
            raise InputError(f"--music_dir={_MUSIC_DIR.value}: there is no such folder")
    return follow(out, songs, root, now), now


def _with_new_songs(run_dir: Path, songs: Songs) -> tuple[Songs, np.ndarray]:
    """The run's songs, and all that were placed among them by this command or one before; and the `find_copies` of
    them."""
    folders = [Path(folder).expanduser() for folder in _AUDIO_DIR.value or ()]
    if not _TRUST_PATHS.value:
        for root in find_stores(run_dir):
            check_store(root)
    if not folders and not find_stores(run_dir):
        return songs, find_copies([song.path for song in songs.song])
    from experiments.study.jax_setup import set_up_jax
    from experiments.study.new_songs import add_new_songs, hear_folder, restore

    set_up_jax(_CACHE_DIR.value)
    trained = restore(run_dir, _STORE.value)
    for folder in folders:
        hear_folder(trained, folder, embedding=_EMBEDDING.value, cache_dir=_CACHE_DIR.value)
    added = add_new_songs(trained, songs)
    told = f"{added.songs.later.sum()} new songs, of which {added.refused} fit no cluster"
    print_line(f"{told}; {added.copies} more are in the collection already" if added.copies else told)
    return added.songs, added.copy_of


def _find_recordings(out: Path, songs: Songs, there: np.ndarray, copy_of: np.ndarray) -> np.ndarray:
    """(N,) int: for each song the row of the first that is the same file, has the same bytes, or is the same recording
    in another encoding."""
    from musiclust.preprocess.audio.fingerprint import SECONDS, find_same_recordings

    with show_progress() as report:
        nominated = nominate(songs, there, copy_of, shortest=SECONDS, report=report)
        found = find_same_recordings(
            songs.path.tolist(),
            songs.seconds,
            nominated.pairs,
            keys=nominated.keys,
            kept=out / _FINGERPRINTS,
            workers=count_usable_cores(),
            report=report,
        )
    if found.unheard:
        first = next(iter(found.unheard.values()))
        print_line(f"{len(found.unheard)} songs could not be compared by their sound, the first is {first}")
    return join_groups(copy_of, found.same)


def _wanted(songs: Songs) -> np.ndarray:
    """(N,) bool: which songs --path, --class and --seconds leave."""
    wanted = np.ones(len(songs.song), bool)
    if _PATH.value:
        wanted &= [any(fnmatch(str(song.path), pattern) for pattern in _PATH.value) for song in songs.song]
    if _CLASS.value:
        if unknown := set(_CLASS.value) - set(songs.classes.tolist()):
            there = ", ".join(sorted(set(songs.classes.tolist()) - {""})) or "none"
            raise InputError(f"--class={sorted(unknown)[0]}: the run has {there}")
        wanted &= np.isin(songs.classes, _CLASS.value)
    if _SECONDS.value:
        shortest, dash, longest = _SECONDS.value.partition("-")
        try:
            low, high = float(shortest), float(longest)
        except ValueError:
            low, high = 1.0, 0.0
        if not dash or not low <= high:
            raise InputError(f"--seconds={_SECONDS.value}: write the shortest and the longest, as 90-600")
        wanted &= (songs.seconds >= low) & (songs.seconds <= high)
    return wanted


def _make_lists(run_dir: Path, songs: Songs, choice: Choice) -> dict[str, list[int]]:
    limits = Limits(_SONGS.value, _MINUTES.value, _PER_ARTIST.value, _PER_ALBUM.value, _APART.value)
    if _LIKE.value:
        if len(_LIKE.value) == 1 and not songs.has(_LIKE.value[0]):
            if _WORDS_WEIGHT.value:
                raise InputError(f"the run has no song {_LIKE.value[0]!r}, and --words_weight is for songs like a song")
            return list_by_words(songs, choice, limits, _LIKE.value[0], _rank_by_words(run_dir, songs, _LIKE.value[0]))
        words = _read_words(run_dir, songs) if _WORDS_WEIGHT.value else None
        return list_alike(songs, choice, limits, _LIKE.value, words, _WORDS_WEIGHT.value)
    if _FROM.value and _TO.value:
        return list_path(songs, choice, limits, _FROM.value, _TO.value)
    with show_progress() as report:
        return list_clusters(songs, choice, limits, report)


def _read_words(run_dir: Path, songs: Songs) -> Block:
    """What is sung in the songs, as vectors.

    Raises:
      InputError: if the run's store does not know.
    """
    refused = f"--words_weight={_WORDS_WEIGHT.value:g} cannot be, since the run's store"
    return _read_block(run_dir, songs, "lyrics", refused, lacks="has no words (preprocess songs with words)")


def _rank_by_words(run_dir: Path, songs: Songs, words: str) -> np.ndarray:
    """Rows of the songs that CLAP has heard, those first that fit the words best.

    Raises:
      InputError: if the run's store has no CLAP block, or another model made it.
    """
    from musiclust.preprocess.audio.ask_words import rank_by_words

    refused = (
        f"the run has no song {words!r} (give its file, its track_id or its title), and it cannot be asked for in "
        "words, since its store"
    )
    lacks = "has no block of CLAP (preprocess with --embedding)"
    heard = _read_block(run_dir, songs, "clap", refused, lacks=lacks)
    return rank_by_words(heard, words, embedding=_EMBEDDING.value, tell=print_line)


def _read_block(run_dir: Path, songs: Songs, name: str, refused: str, *, lacks: str) -> Block:
    """What the run's store holds of the songs under that name.

    Raises:
      InputError: "<refused> <why>", if it is not where it should be, or has no such block, which `lacks` says.
    """
    home = Path(_STORE.value).expanduser() if _STORE.value else read_plan(run_dir).store
    block = read_song_block(run_dir, songs, home, name)
    if block is None:
        why = lacks if holds_tracks(home) else f"is not at {home} (give --store=<where it is now>)"
        raise InputError(f"{refused} {why}")
    return block


def _write_playlists(out: Path, songs: Songs, lists: dict[str, list[int]], root: Path, *, keep_others: bool) -> None:
    base = (root, _BASE_PATH.value) if _BASE_PATH.value else None
    unfit = _find_unfit(out, songs, lists, base) if "m3u8" in _FORMAT.value else set()
    files = {
        f"{stem}.{kind}": FORMATS[kind](
            name,
            [songs.song[row] for row in lists[name] if kind != "m3u8" or row not in unfit],
            folder=out,
            base=base,
        )
        for name, stem in zip(lists, file_names(list(lists)), strict=True)
        for kind in _FORMAT.value
    }
    left = write_playlists(out, files, force=_FORCE.value, keep_others=keep_others)
    for name, rows in lists.items():
        console.print(f"{len(rows):>5}  {name}", markup=False, highlight=False)
    for name in left:
        print_line(f"{out / name} was edited and stays as it is: --force writes over it")


def _find_unfit(out: Path, songs: Songs, lists: dict[str, list[int]], base: tuple[Path, str] | None) -> set[int]:
    """Rows of the songs that are in lists and that no .m3u8 can name; how many there are is told."""
    rows = sorted({row for of_list in lists.values() for row in of_list})
    unfit = [row for row in rows if not fits_m3u8(songs.song[row], folder=out, base=base)]
    if unfit:
        print_line(
            f"{len(unfit)} songs are left out of the lists: no .m3u8 can hold a line break in a name "
            f"({songs.song[unfit[0]].path.name!r}); rename them, or give --format=xspf"
        )
    return set(unfit)


def _make_previews(songs: Songs) -> list[bytes]:
    if len(songs.song) > _MOST_PREVIEWS:
        raise InputError(
            f"--previews of {len(songs.song):,} songs would make a page that no browser opens: it is for at most "
            f"{_MOST_PREVIEWS:,}, so leave it out"
        )
    from musiclust.preprocess.audio.previews import make_previews

    with show_progress() as report:
        return make_previews(songs.path.tolist(), workers=count_usable_cores(), report=report)


def _write_test(out: Path, songs: Songs) -> None:
    page = write_listening_test(
        out / _TEST,
        path=songs.path,
        clusters=np.where(songs.later, -1, songs.clusters),
        track_id=songs.track_id,
        seconds=songs.seconds,
        names=songs.names,
        group=songs.group,
        trials=_LISTENING_TEST.value,
        force=_FORCE.value,
    )
    print_line(f"listening test: {page}")


if __name__ == "__main__":
    run(main, groups=FLAG_GROUPS)
