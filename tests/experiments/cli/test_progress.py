"""progress: what is printed where there is no terminal."""

from experiments.cli import progress


def test_progress_without_a_terminal_is_a_few_plain_lines(capsys):
    with progress.show_progress() as report:
        for done in range(1001):
            report("features [x]", done, 1000)
        report("nothing", 0, 0)
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["features [x]: 0 of 1000, 0 s", "features [x]: 1000 of 1000, 0 s", "nothing: 0 of 0, 0 s"]


def test_slow_progress_has_a_line_a_quarter(capsys, monkeypatch):
    clock = iter(range(1000))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with progress.show_progress() as report:
        for done in range(9):
            report("features", done, 8)
    lines = [line.split(",")[0] for line in capsys.readouterr().out.splitlines()]
    assert lines == [f"features: {done} of 8" for done in (0, 2, 4, 6, 8)]
