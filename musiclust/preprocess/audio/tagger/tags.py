"""The tags that the two networks were trained on, in the order of their outputs.

Sources: Law, West, Mandel, Bay and Downie, Evaluation of algorithms using games: the case of music tagging (ISMIR
2009), MagnaTagATune; Bertin-Mahieux, Ellis, Whitman and Lamere, The Million Song Dataset (ISMIR 2011), with the tags of
Last.fm. Spelling and order are those of musicnn 0.1.0.
"""

TAGS: dict[str, tuple[str, ...]] = {
    "msd": (
        *("rock", "pop", "alternative", "indie", "electronic", "female vocalists", "dance", "00s", "alternative rock"),
        *("jazz", "beautiful", "metal", "chillout", "male vocalists", "classic rock", "soul", "indie rock", "Mellow"),
        *("electronica", "80s", "folk", "90s", "chill", "instrumental", "punk", "oldies", "blues", "hard rock"),
        *("ambient", "acoustic", "experimental", "female vocalist", "guitar", "Hip-Hop", "70s", "party", "country"),
        *("easy listening", "sexy", "catchy", "funk", "electro", "heavy metal", "Progressive rock", "60s", "rnb"),
        *("indie pop", "sad", "House", "happy"),
    ),
    "mtt": (
        *("guitar", "classical", "slow", "techno", "strings", "drums", "electronic", "rock", "fast", "piano"),
        *("ambient", "beat", "violin", "vocal", "synth", "female", "indian", "opera", "male", "singing", "vocals"),
        *("no vocals", "harpsichord", "loud", "quiet", "flute", "woman", "male vocal", "no vocal", "pop", "soft"),
        *("sitar", "solo", "man", "classic", "choir", "voice", "new age", "dance", "male voice", "female vocal"),
        *("beats", "harp", "cello", "no voice", "weird", "country", "metal", "female voice", "choral"),
    ),
}


def name_columns() -> tuple[str, ...]:
    """Returns the names of the 100 columns of the block `tags`, the network before the tag.

    Example:
      >>> name_columns()[0], name_columns()[50]
      ('msd:rock', 'mtt:guitar')
    """
    return tuple(f"{network}:{tag}" for network, tags in TAGS.items() for tag in tags)
