"""The second report: GTZAN, by M. R. Khan."""

from experiments.published.rows import ModelRow, Report, Row, ScoreTable, six

GTZAN = Report(
    title="Unsupervised music clustering with VAEs and multimodal fusion (GTZAN, Khan)",
    corpus="gtzan",
    tracks=1000,
    models=(
        ModelRow("MLP-VAE (audio)", "gtzan_mlp", "easy", {"latent": "16", "epochs": "50", "batch": "64"}),
        ModelRow(
            "MLP-VAE (audio + lyrics)", "gtzan_mlp_text", "medium", {"latent": "32", "epochs": "80", "batch": "64"}
        ),
        ModelRow("Conv-VAE (mel spectrogram)", "gtzan_conv", "medium", {"latent": "32", "epochs": "80", "batch": "32"}),
        ModelRow("CVAE (fusion)", "gtzan_cvae", "hard", {"latent": "64", "epochs": "100", "batch": "32"}),
    ),
    losses={},
    sizes={},
    scores=(
        ScoreTable(
            "Table 2, easy: MFCC",
            "easy",
            (
                Row(
                    "Raw MFCC + KMeans",
                    "gtzan_mlp",
                    "features",
                    printed=six("0.12", "145.0", "2.31", "0.08", "0.10", "0.21"),
                ),
                Row(
                    "MLP-VAE (audio) + KMeans",
                    "gtzan_mlp",
                    printed=six("0.24", "310.4", "1.71", "0.19", "0.23", "0.34"),
                ),
                Row("PCA + KMeans", "gtzan_mlp", "pca"),
                Row("Autoencoder + KMeans", "gtzan_mlp", "autoencoder"),
            ),
        ),
        ScoreTable(
            "Table 2, medium: mel spectrograms, and words",
            "medium",
            (
                Row(
                    "Raw MelSpec + KMeans",
                    "gtzan_conv",
                    "features",
                    printed=six("0.10", "120.7", "2.55", "0.05", "0.09", "0.18"),
                ),
                Row("Conv-VAE + KMeans", "gtzan_conv", printed=six("0.20", "265.2", "1.95", "0.15", "0.19", "0.30")),
                Row("MLP-VAE (audio + lyrics) + KMeans", "gtzan_mlp_text", note="no figures in print"),
                Row("Words alone", "gtzan_text_only"),
            ),
        ),
        ScoreTable(
            "Table 2, hard: fusion",
            "hard",
            (
                Row(
                    "CVAE (fusion) + GMM",
                    "gtzan_cvae",
                    clusterer="gmm",
                    printed=six("0.22", "290.0", "1.83", "0.17", "0.22", "0.33"),
                ),
                Row("CVAE (fusion) + KMeans", "gtzan_cvae"),
                Row("Features + GMM", "gtzan_cvae", "features", "gmm"),
                Row("Autoencoder + GMM", "gtzan_cvae", "autoencoder", "gmm"),
            ),
        ),
        ScoreTable(
            "Beyond the report: all columns of a table of features",
            "easy",
            (
                Row("VAE with the neighbour term + KMeans", "table_neighbours"),
                Row("VAE + KMeans", "table_vae"),
                Row("Autoencoder + KMeans", "table_vae", "autoencoder"),
                Row("PCA + KMeans", "table_vae", "pca"),
                Row("Columns themselves + KMeans", "table_vae", "features"),
            ),
        ),
    ),
    fusions={},
    lyrics={},
    best={},
)
