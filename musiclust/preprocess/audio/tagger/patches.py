"""A song -> the patches that the tagger hears: windows of 3 s from all through it, as mel power.

Conventions: sound is mono at 16 kHz; mel power is librosa's (n_fft 512, hop 256, 96 bands up to 8 kHz), rounded to
float16 as the networks' own tool does. A window is 187 frames, 2.992 s from the first to the last and the hop after it.
"""

import numpy as np

from musiclust.preprocess.audio.windows import decode_windows

SAMPLE_RATE = 16_000  # Hz
N_FFT = 512
HOP_LENGTH = 256
FRAMES = 187
BANDS = 96
WINDOW_SECONDS = FRAMES * HOP_LENGTH / SAMPLE_RATE  # 2.992

_SAMPLES = (FRAMES - 1) * HOP_LENGTH + N_FFT  # those of a window: half an n_fft on each side of the outer frames


def cut_patches(path: str, duration: float, windows: int) -> np.ndarray:
    """Decodes the windows of a song and analyses them.

    A song shorter than a window is repeated until it fills one.

    Args:
      path, duration: see `windows.decode_windows`.
      windows: how many are spread over the song; 0 for all of it.

    Returns:
      (windows, 187, 96) float16 mel power.

    Raises:
      InputError: as `windows.decode_windows`.
    """
    short = duration < WINDOW_SECONDS
    before = 0.0 if short else N_FFT / 2 / SAMPLE_RATE
    pieces = decode_windows(
        path, duration, sample_rate=SAMPLE_RATE, seconds=WINDOW_SECONDS, count=windows, before=before
    )
    return np.stack([_analyse(np.resize(piece, _SAMPLES) if short else piece) for piece in pieces])


def _analyse(samples: np.ndarray) -> np.ndarray:
    """Returns the mel power of one window, (187, 96) float16; what it lacks at its end is silence."""
    from librosa.feature import melspectrogram

    whole = np.pad(samples, (0, _SAMPLES - len(samples)))
    mel = melspectrogram(y=whole, sr=SAMPLE_RATE, n_fft=N_FFT, hop_length=HOP_LENGTH, n_mels=BANDS, center=False)
    return np.minimum(mel.T, np.finfo(np.float16).max).astype(np.float16)
