"""Makes golden.npz: what the package musicnn 0.1.0 itself says of the clips of golden_clips.py.

It runs in an environment of its own, with Python 3.11, tensorflow-cpu 2.15.1, librosa 0.10.2 and numpy below 2, and
with the unpacked wheel on the path:

    pip download --no-deps musicnn==0.1.0 && unzip -q musicnn-0.1.0-py3-none-any.whl -d package
    PYTHONPATH=package python tests/preprocess/audio/tagger/make_golden.py

Kept are, of each network and clip: the tags of both patches of 187 frames, and of the first patch the maximum and mean
pools and the penultimate activations. (Of later patches the package repeats the first one's penultimate activations.)
"""

import wave
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from golden_clips import SAMPLE_RATE, make_clips


def main() -> None:
    from musicnn.extractor import extractor

    found = {}
    with TemporaryDirectory() as folder:
        for name, samples in make_clips().items():
            path = Path(folder) / f"{name}.wav"
            with wave.open(str(path), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(SAMPLE_RATE)
                file.writeframes(samples.astype("<i2").tobytes())
            for network in ("MSD", "MTT"):
                tags, _, features = extractor(str(path), model=f"{network}_musicnn", extract_features=True)
                found[f"{network.lower()}_{name}_tags"] = np.asarray(tags, np.float32)
                for key in ("mean_pool", "max_pool", "penultimate"):
                    found[f"{network.lower()}_{name}_{key}"] = np.asarray(features[key], np.float32)[0]
    np.savez_compressed(Path(__file__).parent / "golden.npz", allow_pickle=False, **found)


if __name__ == "__main__":
    main()
