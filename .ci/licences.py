"""Prints the name, version and licence of every package that is installed here, as its metadata tell."""

from importlib.metadata import Distribution, distributions

_LONGEST = 60  # characters; some packages put the whole text of the licence there


def find_licence(package: Distribution) -> str:
    """The licence of a package: its SPDX expression, else the field of before, else its classifiers."""
    about = package.metadata
    told = about.get("License-Expression") or (about.get("License") or "").strip().partition("\n")[0]
    classifiers = [one.rpartition(" :: ")[2] for one in about.get_all("Classifier") or () if one.startswith("License")]
    return (told or ", ".join(classifiers) or "not told")[:_LONGEST]


def main() -> None:
    rows = {(one.metadata["Name"] or "?", one.version or "?", find_licence(one)) for one in distributions()}
    for name, version, licence in sorted(rows, key=lambda row: row[0].lower()):
        print(f"{name:32} {version:16} {licence}")


if __name__ == "__main__":
    main()
