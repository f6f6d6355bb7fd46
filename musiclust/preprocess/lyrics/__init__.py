"""Words of songs: found where they are written down, or heard by Whisper; judged; embedded as a block."""
