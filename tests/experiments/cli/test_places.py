"""places: the cache and the demo's store."""

from experiments.cli import places


def test_the_cache_honours_the_flag_then_xdg_then_home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert places.cache_root() == tmp_path / "xdg" / "musiclust"
    assert places.cache_root(tmp_path / "flag") == tmp_path / "flag" / "musiclust"
    assert places.default_store() == tmp_path / "xdg" / "musiclust" / "stores" / "demo"
    assert places.default_store(seed=3).name == "demo-3"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # to be ignored, says the specification
    assert places.cache_root() == tmp_path / ".cache" / "musiclust"
