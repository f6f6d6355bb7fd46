"""Tables on disk -> columns: CSV (plain or .gz, csv_reader.py), Parquet, NPY. Conventions: as in columns.py."""

from pathlib import Path

import numpy as np

from musiclust.errors import InputError
from musiclust.files import check_regular
from musiclust.preprocess.corpora.columns import Choose, Columns, parse_text
from musiclust.preprocess.corpora.csv_reader import read_csv
from musiclust.preprocess.corpora.expansion import most_unpacked, refuse_unpacked


def read_columns(path: Path, choose: Choose, *, header_rows: int = 1) -> Columns:
    """Reads a table.

    Args:
      path: .parquet, .pq, .npy, or else CSV, by its name. An array (N, D) has the columns 1 ... D, zero-padded.
      choose: (names, first row) -> (columns to keep as text, columns to read as numbers).
      header_rows: how many rows at the top of a CSV name its columns.

    Raises:
      InputError: if the file is missing, empty, damaged, not such a table, unpacks to more than any, or names a column
        twice.
    """
    if path.is_dir():
        raise InputError(f"{path}: is a folder, name the file in it")
    if not path.exists():
        raise InputError(f"{path}: no such file")
    try:
        check_regular(path)
    except InputError as error:
        raise InputError(f"{error}: write it to one") from error
    if not path.stat().st_size:
        raise InputError(f"{path}: empty file, 0 bytes")
    if path.suffix.lower() == ".npy":
        return _read_npy(path, choose)
    if path.suffix.lower() in (".parquet", ".pq"):
        return _read_parquet(path, choose)
    return read_csv(path, choose, header_rows)


def _read_npy(path: Path, choose: Choose) -> Columns:
    """Reads an array (N, D) of numbers.

    It is mapped before it is read, so that a header that tells of more than the file has costs no memory.
    """
    with open(path, "rb") as file:
        begins = file.read(len(np.lib.format.MAGIC_PREFIX))
    try:
        if begins != np.lib.format.MAGIC_PREFIX:
            raise ValueError
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, TypeError, OverflowError, EOFError, OSError) as error:  # of headers that make no sense
        raise InputError(
            f"{path}: not an array that can be read: damaged, cut short, or of Python objects, which are never read; "
            "save numbers by numpy.save"
        ) from error
    if values.ndim != 2 or values.dtype.kind not in "fiub" or not values.size:
        raise InputError(f"{path}: array of {values.dtype} {values.shape}, expected numbers of shape (N, D)")
    names = tuple(f"{i:0{len(str(values.shape[1]))}}" for i in range(1, values.shape[1] + 1))
    choose(names, values[0].astype(str).tolist())
    try:
        with np.errstate(over="ignore"):
            return Columns(names, {}, names, np.array(values, np.float32), ())
    except MemoryError as error:
        raise InputError(f"{path}: {values.shape[0]:,} x {values.shape[1]:,} numbers do not fit the memory") from error


def _read_parquet(path: Path, choose: Choose) -> Columns:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise InputError(f"{path}: Parquet needs pyarrow: pip install 'musiclust[parquet]'") from error
    try:
        file = parquet.ParquetFile(path)
        names = tuple(file.schema_arrow.names)
        if not file.metadata.num_rows:
            raise InputError(f"{path}: no rows")
        if 4 * file.metadata.num_rows * len(names) > most_unpacked(path):  # a column of one value takes a few bytes
            raise refuse_unpacked(path)
        first = next(file.iter_batches(batch_size=1)).to_pylist()[0]
        wanted_text, wanted_numbers = choose(names, ["" if value is None else str(value) for value in first.values()])
        frame = file.read(columns=[*wanted_text, *wanted_numbers])
    except ArrowException as error:
        raise InputError(f"{path}: not a Parquet file that can be read ({str(error).splitlines()[0]})") from error
    text = {
        name: [parse_text("" if value is None else str(value)) for value in frame[name].to_pylist()]
        for name in wanted_text
    }
    arrays = {name: np.asarray(frame[name].to_numpy()) for name in wanted_numbers}
    numeric = tuple(name for name, values in arrays.items() if values.dtype.kind in "fiub")
    known = set(numeric)
    other = tuple(name for name in arrays if name not in known)
    with np.errstate(over="ignore"):
        columns = [arrays[name].astype(np.float32) for name in numeric]
    return Columns(names, text, numeric, np.column_stack(columns) if numeric else np.zeros((len(frame), 0)), other)
