"""Names of clusters in the files of the songs, as their grouping tag: proposed, written if asked, and undone.

A tag that somebody else has written stays, and the name comes after it: "Summer 2019 / piano, solo". Only a name that
was written here before, as the backup list tells, gives way to the new one.

A file is never changed in place. What it is to become is written beside it and checked: its tag reads as wanted, and
all sound is there, byte for byte. Then a line is added to the backup list, and on the disk, before the new file takes
the name of the old one. So whenever a program is killed, each file is whole, old or new, and each new one can be
undone.

A line of the backup list is JSON:

path        the file
mtime_ns    when it was last modified before, in nanoseconds since 1970; undoing gives that back too
before      SHA-256 of the file before
after       SHA-256 of the file after
grouping    the text of the tag that was written
others      what of it was there without the name
edits       [place, bytes before, bytes after] of each change, in bytes of the file before, and base64: all that differs
"""

import base64
import errno
import hashlib
import json
import os
import secrets
import shutil
import stat
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import IO, BinaryIO, NamedTuple

from musiclust.errors import InputError
from musiclust.files import atomic, read_bytes
from musiclust.listening.grouping_tag import BETWEEN, Edit, UnwritableError, find_grouping
from musiclust.listening.playlists import one_line
from musiclust.records import Record, parse_record

Report = Callable[[str, int, int], None]

_READ = 2**20  # bytes at a time
_MOST = 2**32  # bytes of the backup list
_TEMPORARY = ".musiclust-tag-"
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


class Change(NamedTuple):
    """What the grouping tag of a file is, and what it would become.

    path: of the file. now: the text of its tag, "" where it has none. wanted: the text that it would have. others: what
    of `now` is not a name that was written here before. refused: why the file is not written, "" where it can be.
    """

    path: Path
    now: str
    wanted: str
    others: str
    refused: str

    @property
    def due(self) -> bool:
        """Whether there is anything to write."""
        return not self.refused and self.now != self.wanted


class Outcome(NamedTuple):
    """done: the files that were changed. left: those that were left as they are, and why."""

    done: list[Path]
    left: list[tuple[Path, str]]


class _Line(NamedTuple):
    """A line of the backup list, as the module's docstring says."""

    path: str
    mtime_ns: int
    before: str
    after: str
    grouping: str
    others: str
    edits: list[Edit]


class _LineRecord(Record, frozen=True):
    """The same as JSON."""

    path: str
    mtime_ns: int
    before: str
    after: str
    grouping: str
    others: str
    edits: list[tuple[int, str, str]]


def _no_report(stage: str, done: int, total: int) -> None:
    pass


def propose(
    paths: Sequence[Path], names: Sequence[str], *, backup: Path | None = None, report: Report = _no_report
) -> list[Change]:
    """Returns for each file what its grouping tag is and what it would become; changes nothing.

    Args:
      names: for each file the name of its cluster; line breaks and control characters in it become spaces.
      backup: the backup list of `write_tags`, by which names that it wrote before are known.
      report: is called with (stage, done, total) as work goes on.

    Raises:
      InputError: if the backup list is damaged.
    """
    own: dict[str, dict[str, str]] = defaultdict(dict)
    for line in _read_list(backup) if backup else ():
        own[line.path][line.grouping] = line.others
    changes = []
    for path, name in zip(paths, names, strict=True):
        try:
            now = _read_grouping(path)
        except (UnwritableError, OSError) as error:
            changes.append(Change(path, "", "", "", _tell(error)))
        else:
            others = own[str(path.resolve())].get(now, now)
            changes.append(Change(path, now, _add_name(others, name), others, ""))
        report("reading tags", len(changes), len(paths))
    return changes


def write_tags(changes: Sequence[Change], backup: Path, *, report: Report = _no_report) -> Outcome:
    """Writes the changes that are due, one file after the other, and how to undo them.

    A file keeps its permissions, and its time of modification is new, so that programs that copy a collection see it.
    One that cannot be written, or whose tag has changed since, is left as it is.

    Args:
      changes: as `propose` makes them.
      backup: the backup list; lines are added to one that is there.
      report: is called with (stage, done, total) before each file. If it raises, what is done stays done.

    Raises:
      InputError: if the backup list cannot be written: without it no file is.
      OSError: if the disk is full.
    """
    due = [change for change in changes if change.due]
    outcome = Outcome([], [])
    if not due:
        return outcome
    _remove_leftovers(change.path.resolve() for change in due)
    with _open_list(backup) as lines:
        for number, change in enumerate(due):
            report("writing tags", number, len(due))
            try:
                _write(change, lines)
                outcome.done.append(change.path)
            except (UnwritableError, OSError) as error:
                outcome.left.append((change.path, _tell(error)))
    report("writing tags", len(due), len(due))
    return outcome


def undo_tags(backup: Path, *, report: Report = _no_report) -> Outcome:
    """Gives files that `write_tags` has changed the bytes that they had, and the time of their modification.

    A file that was changed since is left as it is, and its lines stay in the backup list. Without such files the list
    is removed.

    Raises:
      InputError: if there is no backup list, or it is damaged.
      OSError: if the disk is full.
    """
    if not backup.exists():
        raise InputError(f"there is no {backup}: no tags were written that could be undone")
    by_path: dict[str, list[_Line]] = defaultdict(list)
    for line in _read_list(backup):
        by_path[line.path].append(line)
    _remove_leftovers(map(Path, by_path))
    outcome, kept = Outcome([], []), []
    for number, (name, lines) in enumerate(by_path.items()):
        report("undoing tags", number, len(by_path))
        path = Path(name)
        try:
            if _restore(path, lines):
                outcome.done.append(path)
        except (UnwritableError, OSError) as error:
            outcome.left.append((path, _tell(error)))
            kept += lines
    if kept:
        with atomic(backup, "wb") as file:
            file.writelines(map(_format_line, kept))
    else:
        backup.unlink()
    report("undoing tags", len(by_path), len(by_path))
    return outcome


def _add_name(others: str, name: str) -> str:
    name = one_line(name).encode("utf-8", "replace").decode()  # half a surrogate pair is in no encoding
    if not others or not name:
        return others or name
    return others if name in others.split(BETWEEN) else f"{others}{BETWEEN}{name}"


def _read_grouping(path: Path) -> str:
    _check_writable(path)
    with open(path, "rb") as file:
        return find_grouping(file).text


def _check_writable(path: Path) -> None:
    status = path.stat()
    if not path.is_file():
        raise UnwritableError("not a file")
    if not status.st_mode & 0o222 or not os.access(path, os.W_OK):
        raise UnwritableError("read-only")
    if status.st_nlink > 1:
        raise UnwritableError("a hard link: the same file has another name too")


def _write(change: Change, lines: IO[bytes]) -> None:
    path = change.path.resolve()
    _check_writable(path)
    with open(path, "rb") as file:
        grouping = find_grouping(file)
        mtime_ns = os.fstat(file.fileno()).st_mtime_ns
    if grouping.text != change.now:
        raise UnwritableError("its tag was changed since it was read")
    edits = grouping.set_text(change.wanted)

    def note(before: str, after: str, temporary: Path) -> None:
        with open(path, "rb") as old, open(temporary, "rb") as new:
            written = find_grouping(new)
            if written.text != change.wanted or not _are_alike(old, grouping.sound, new, written.sound):
                raise UnwritableError("its new tag does not read as it was written")
        line = _Line(str(path), mtime_ns, before, after, change.wanted, change.others, edits)
        _append(lines, _format_line(line))

    _rewrite(path, edits, note, mtime_ns=time.time_ns())


def _restore(path: Path, lines: Sequence[_Line]) -> bool:
    """Undoes the lines of a file, the last first; False where it has its bytes of before already."""
    changed = False
    if not stat.S_ISREG(path.stat().st_mode):
        raise UnwritableError("not a file")
    for line in reversed(lines):
        digest = _digest(path)
        if digest == line.after:
            _check_writable(path)

            def check(before: str, after: str, temporary: Path, line: _Line = line) -> None:
                if (before, after) != (line.after, line.before):
                    raise UnwritableError("the backup list does not give its bytes of before")
                _check_sound(path, temporary)

            _rewrite(path, _invert(line.edits), check, mtime_ns=line.mtime_ns)
            changed = True
        elif digest != line.before:  # else it was never replaced, or is undone already
            raise UnwritableError("it was changed since its tag was written")
    return changed


def _check_sound(path: Path, temporary: Path) -> None:
    """Raises UnwritableError unless both are songs of one sound: whatever a backup list says, it changes tags alone."""
    with open(path, "rb") as old, open(temporary, "rb") as new:
        if not _are_alike(old, find_grouping(old).sound, new, find_grouping(new).sound):
            raise UnwritableError("the backup list would change more than its tag")


def _rewrite(path: Path, edits: Sequence[Edit], agree: Callable[[str, str, Path], None], *, mtime_ns: int) -> None:
    """Replaces a file by itself with the edits made.

    Args:
      agree: is called with the digests of the file before and after and the path of the new one, before it takes the
        name of the old one. It raises to keep the old one.
      mtime_ns: the time of modification of the new one.
    """
    temporary = path.with_name(f"{_TEMPORARY}{secrets.token_hex(8)}.tmp")
    try:
        with open(path, "rb") as source, open(temporary, "xb") as target:
            status = os.fstat(source.fileno())
            before, after = _splice(source, target, edits)
            target.flush()
            os.fsync(target.fileno())
        if _digest(temporary) != after:
            raise UnwritableError("the disk does not give back what was written")
        made = temporary.stat()
        if (made.st_uid, made.st_gid) != (status.st_uid, status.st_gid):
            os.chown(temporary, status.st_uid, status.st_gid)
        shutil.copystat(path, temporary)
        os.utime(temporary, ns=(status.st_atime_ns, mtime_ns))
        agree(before, after, temporary)
        now = path.stat()
        if (now.st_ino, now.st_size, now.st_mtime_ns) != (status.st_ino, status.st_size, status.st_mtime_ns):
            raise UnwritableError("it was changed while its tag was written")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _splice(source: BinaryIO, target: BinaryIO, edits: Sequence[Edit]) -> tuple[str, str]:
    """Copies with the edits made, and returns the SHA-256 of what was read and of what was written."""
    read, written = hashlib.sha256(), hashlib.sha256()

    def copy(size: int | None) -> None:
        while size is None or size > 0:
            part = source.read(_READ if size is None else min(size, _READ))
            if not part:
                return
            read.update(part)
            written.update(part)
            target.write(part)
            size = None if size is None else size - len(part)

    for edit in edits:
        copy(edit.place - source.tell())
        there = source.read(len(edit.before))
        if there != edit.before:
            raise UnwritableError("it was changed while its tag was written")
        read.update(there)
        written.update(edit.after)
        target.write(edit.after)
    copy(None)
    return read.hexdigest(), written.hexdigest()


def _invert(edits: Iterable[Edit]) -> list[Edit]:
    """The edits that lead back."""
    inverse, shift = [], 0
    for edit in edits:
        inverse.append(Edit(edit.place + shift, edit.after, edit.before))
        shift += len(edit.after) - len(edit.before)
    return inverse


def _are_alike(one: BinaryIO, begin: int, other: BinaryIO, other_begin: int) -> bool:
    """Whether two files have the same bytes from these places on."""
    one.seek(begin)
    other.seek(other_begin)
    while part := one.read(_READ):
        if other.read(len(part)) != part:
            return False
    return not other.read(1)


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _tell(error: UnwritableError | OSError) -> str:
    """Why one file is left. A full disk concerns all, so it is raised again."""
    if isinstance(error, OSError):
        if error.errno in _DISK_FULL:
            raise error
        return "there is no such file" if error.errno == errno.ENOENT else (error.strerror or str(error)).lower()
    return str(error)


def _remove_leftovers(paths: Iterable[Path]) -> None:
    """Removes what a program that was killed has left beside these files."""
    for folder in {path.parent for path in paths}:
        for leftover in folder.glob(f"{_TEMPORARY}*.tmp") if folder.is_dir() else ():
            leftover.unlink(missing_ok=True)


def _open_list(backup: Path) -> IO[bytes]:
    """Opens the list for more lines, without half a line at its end: the file of such a line was not replaced."""
    try:
        backup.parent.mkdir(parents=True, exist_ok=True)
        if backup.is_symlink():  # what it leads to would be cut and written into
            raise OSError(errno.ELOOP, "it is a link")
        if backup.exists():
            os.truncate(backup, read_bytes(backup, most=_MOST).rfind(b"\n") + 1)
        return open(backup, "ab", buffering=0)
    except InputError as error:
        raise _cannot_write(str(backup), OSError(errno.EINVAL, str(error).removeprefix(f"{backup} "))) from error
    except OSError as error:
        raise _cannot_write(str(backup), error) from error


def _append(lines: IO[bytes], line: bytes) -> None:
    try:
        if lines.write(line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(lines.fileno())
    except OSError as error:
        raise _cannot_write(lines.name, error) from error


def _cannot_write(backup: str, error: OSError) -> InputError:
    why = (error.strerror or str(error)).lower()
    return InputError(f"{backup} cannot be written ({why}), and without it no tag is: make room, or change the folder")


def _format_line(line: _Line) -> bytes:
    edits = [[place, *(base64.b64encode(one).decode() for one in both)] for place, *both in line.edits]
    # In ASCII, so that names that are no UTF-8 come back as they are.
    return (json.dumps(line._asdict() | {"edits": edits}, ensure_ascii=True) + "\n").encode()


def _read_list(backup: Path) -> list[_Line]:
    if not backup.exists():
        return []
    remedy = "put its copy back; without it, tags that were written stay"
    try:
        content = read_bytes(backup, most=_MOST)
        lines = content[: content.rfind(b"\n") + 1].splitlines()  # half a line at the end has no file that was replaced
        return [_parse_line(line) for line in lines]
    except InputError as error:
        raise InputError(f"{error}: {remedy}") from error
    except ValueError as error:
        raise InputError(f"{backup} {error}: {remedy}") from error


def _parse_line(content: bytes) -> _Line:
    """Raises ValueError: "<fault>"."""
    found = parse_record(content, _LineRecord, lenient=True)
    if "\0" in found.path:
        raise ValueError("is damaged (it names a file that no file can be)")
    try:
        edits = [
            Edit(place, base64.b64decode(before, validate=True), base64.b64decode(after, validate=True))
            for place, before, after in found.edits
        ]
    except ValueError as error:
        raise ValueError(f"is damaged ({error})") from error
    return _Line(found.path, found.mtime_ns, found.before, found.after, found.grouping, found.others, edits)
