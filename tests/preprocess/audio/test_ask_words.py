"""ask_words: a tiny random CLAP reads words, against transformers called directly."""

import json

import numpy as np
import pytest
from test_clap import save_model

from musiclust.errors import InputError
from musiclust.preprocess.audio import clap
from musiclust.preprocess.audio.ask_words import rank_by_words
from musiclust.types import Block

pytest.importorskip("transformers")

WORDS = ("calm", "piano", "loud", "drums")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    root = save_model(tmp_path_factory.mktemp("clap") / "reads")
    vocabulary = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3} | {word: 4 + i for i, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>").save_pretrained(root)
    return root


def read_by_hand(folder, text):
    import torch
    from transformers import ClapModel

    ids = torch.tensor([[4 + WORDS.index(word) for word in text.split()]])
    with torch.inference_mode():
        found = ClapModel.from_pretrained(folder).eval().get_text_features(ids, torch.ones_like(ids))
    row = getattr(found, "pooler_output", found)[0].numpy()
    return row / np.linalg.norm(row)


def test_songs_are_ranked_by_how_well_they_fit(folder):
    model = clap.find_model(f"clap:{folder}")
    assert model is not None
    texts = ["calm piano", "loud drums", "piano"]
    rows = np.stack([read_by_hand(folder, text) for text in texts])
    np.testing.assert_allclose(clap.embed_words(model, texts), rows, atol=1e-6)  # padded ones as if alone
    rng = np.random.default_rng(0)
    heard = np.concatenate([3 * rows, rng.normal(size=(5, rows.shape[1]))]).astype(np.float32)
    block = Block(
        "clap", np.array([f"t{i}" for i in range(8)]), heard, np.arange(8) != 5, clap.specify(model, 1)["clap"]
    )
    order = rank_by_words(block, "loud drums", embedding=f"clap:{folder}")
    assert sorted(order) == [0, 1, 2, 3, 4, 6, 7]  # what was not heard is not there
    assert order[0] == 1
    unit = heard / np.linalg.norm(heard, axis=1, keepdims=True)
    assert (np.diff((unit @ rows[1])[order]) <= 1e-6).all()


def test_another_model_and_one_that_cannot_read_are_named(folder, tmp_path):
    model = clap.find_model(f"clap:{folder}")
    assert model is not None
    spec = clap.specify(model, 1)["clap"]
    block = Block("clap", np.array(["t"]), np.ones((1, 24), np.float32), np.ones(1, bool), spec)
    other = save_model(tmp_path / "deaf", seed=1)
    with pytest.raises(InputError, match="is not the CLAP model that heard the songs, reads"):
        rank_by_words(block, "piano", embedding=f"clap:{other}")
    found = clap.find_model(f"clap:{other}")
    assert found is not None
    (other / "tokenizer.json").write_text(json.dumps({}))
    with pytest.raises(InputError, match="has no tokenizer that can be read"):
        clap.embed_words(found, ["piano"])
