"""Restores a run from its checkpoint and prints the same table again.

Examples:
  python -m experiments.evaluate --run=runs/...   # compares with metrics.json
  python -m experiments.evaluate --run=runs/... --store=stores/new   # new songs
  python -m experiments.evaluate --run=runs/... --listening=answers-Ada.json

With --listening it restores nothing: it says how often listeners found the odd
song of three, in the listening test that experiments.organize can write.
"""

from pathlib import Path

from absl import flags

from experiments.cli.console import console, print_line
from experiments.cli.program import run
from experiments.cli.progress import show_progress
from experiments.study import inputs
from experiments.study.jax_setup import set_up_jax
from experiments.study.job import judge_trained, populations, restore_finished
from experiments.study.plan import read_plan
from experiments.study.results import assemble_results, print_results
from experiments.study.run_files import compare_with_written
from experiments.study.run_store import find_store, is_own_store
from musiclust.errors import InputError
from musiclust.listening.odd_one_out import read_answers, read_key, score_answers
from musiclust.report import listening_test

_STORE = flags.DEFINE_string(
    "store",
    None,
    "Folder of other tracks to evaluate on, or the run's own store where that was moved; by default the run's own.",
)
_CACHE_DIR = flags.DEFINE_string(
    "cache_dir", None, "Folder used in place of the user's cache folder (XDG_CACHE_HOME, ~/.cache)."
)
_RUN = flags.DEFINE_string("run", None, "Folder of the run to restore, under runs/.")
_LISTENING = flags.DEFINE_list("listening", [], "Files of answers to the listening test, one for each listener.")
_LISTENING_KEY = flags.DEFINE_string(
    "listening_key", None, "Solutions of the test; by default playlists/listening_test/key.json in the run."
)
FLAG_GROUPS = {
    "Input": ("run", "store"),
    "Listening test": ("listening", "listening_key"),
    "Files": ("cache_dir",),
}


def main(argv: list[str]) -> int:
    if _LISTENING.value:
        return _score_listeners()
    if _LISTENING_KEY.value:
        raise InputError("--listening_key is the key of a listening test: give the answers too, --listening=...")
    if not _RUN.value:
        raise InputError("name the run to evaluate: --run=runs/...")
    set_up_jax(_CACHE_DIR.value)
    plan = read_plan(Path(_RUN.value).expanduser())
    store = find_store(plan, _STORE.value)
    own = is_own_store(plan, store)
    if own and store != plan.store:
        print_line(f"{store} is the store of the run, moved from {plan.store}")
    restored = restore_finished(plan, populations(plan.config))
    model = restored["model"]
    config = plan.config if own else inputs.for_other_store(plan.config, store)
    data = inputs.load(config, store, model.fusion)
    if data.data.cond.shape[1] != model.conditions:
        raise InputError(
            f"the model was told {model.conditions} numbers of each track by --condition={config.condition}, {store} "
            f"gives {data.data.cond.shape[1]}: its classes are others, or unknown for some tracks only here or there"
        )
    with show_progress() as report:
        scored = judge_trained(plan._replace(config=config), data, restored, report, resume=True, own=own)
    seconds = {"compile": 0.0, "training": 0.0}
    outcome = assemble_results(config, data, model, scored, command=plan.command, seconds=seconds)
    print_results(outcome)
    if own:
        figures = compare_with_written(plan.run_dir, outcome["rows"])
        if figures is None:
            print_line(f"{plan.run_dir / 'metrics.json'} is not there to compare with")
        else:
            console.print(f"all {figures} figures equal those of metrics.json to the last digit")
    return 0


def _score_listeners() -> int:
    """Prints what the answers to the listening test of the run say."""
    if _LISTENING_KEY.value:
        place = Path(_LISTENING_KEY.value)
    elif _RUN.value:
        place = Path(_RUN.value) / "playlists" / "listening_test" / listening_test.KEY
    else:
        raise InputError("name the run that the listening test is of, --run=runs/..., or its key, --listening_key=...")
    key = read_key(place.expanduser())
    answers = [read_answers(Path(name).expanduser(), key) for name in _LISTENING.value]
    scores = score_answers(key.trials, answers)
    console.print(listening_test.listeners_table(scores))
    console.print(listening_test.heard_clusters_table(scores, key.names))
    for sentence in listening_test.read_scores(scores):
        console.print(sentence)
    return 0


if __name__ == "__main__":
    run(main, groups=FLAG_GROUPS)
