"""The first report: FMA, by S. I. Ratul, January 2026."""

from experiments.published.rows import LATENTS, ModelRow, Report, Row, ScoreTable, six, three

# Printed in several tables. Of the Conv-VAE with k-means the shape alone: its ARI is another in each task.
_BETA_VAE = Row("Beta-VAE", "fma_beta", printed=six("0.5264", "12,275.12", "0.5314", "-0.0003", "0.0032", "0.1477"))
_CONV_VAE = three("0.1031", "374.91", "1.8782")

FMA = Report(
    title="Updated report with experimental results (FMA, Ratul 2026)",
    corpus="fma",
    tracks=3081,
    models=(
        ModelRow("Standard VAE", "fma_vae", "easy", {"parameters": "759,508", "seconds": "46.33", "epochs": "100"}),
        ModelRow("Conv-VAE", "fma_conv", "medium", {"parameters": "534,849"}),
        ModelRow(
            "Beta-VAE",
            "fma_beta",
            "hard",
            {
                "parameters": "365,908",
                "seconds": "35.08",
                "epochs": "100",
                "loss": "17.9625",
                "reconstruction": "15.7037",
                "kl": "0.5647",
                "reduction": "42.64",
            },
        ),
        ModelRow(
            "CVAE",
            "fma_cvae",
            "hard",
            {
                "parameters": "312,660",
                "seconds": "38.08",
                "epochs": "100",
                "loss": "12.9078",
                "reconstruction": "9.3730",
                "kl": "3.5348",
                "reduction": "40.20",
            },
        ),
    ),
    losses={
        "fma_vae": {
            10: "32.8423",
            20: "20.3699",
            30: "17.7039",
            50: "16.4313",
            70: "16.2909",
            90: "15.7844",
            100: "16.1627",
        }
    },
    sizes={"fma_vae": (146, 127, 78, 57, 34, 23, 22, 6)},
    scores=(
        ScoreTable(
            "Task 1: VAE on hybrid features",
            "easy",
            (
                Row("VAE + K-Means", "fma_vae", printed={"silhouette": "0.0717", "calinski_harabasz": "39.80"}),
                Row("PCA + K-Means", "fma_vae", "pca", printed={"silhouette": "0.0707", "calinski_harabasz": "46.51"}),
                Row("Direct K-Means", "fma_vae", "features"),
                Row("Autoencoder + K-Means", "fma_vae", "autoencoder"),
            ),
            {
                ("PCA + K-Means", "silhouette"): "+1.52",
                ("PCA + K-Means", "calinski_harabasz"): "-14.42",
            },
        ),
        ScoreTable(
            "Task 2: one Conv-VAE, several algorithms",
            "medium",
            (
                Row("K-Means", "fma_conv", printed=_CONV_VAE | {"ari": "0.0000"}),
                Row(
                    "Agglomerative",
                    "fma_conv",
                    clusterer="agglomerative",
                    printed=three("0.0408", "295.07", "2.3264") | {"ari": "0.0000"},
                ),
                Row(
                    "DBSCAN",
                    "fma_conv",
                    clusterer="dbscan",
                    printed=three("0.4862", "30.74", "0.5893") | {"ari": "0.0000"},
                    note="in print: 2 clusters, 210 of 3,081 tracks left out as noise",
                ),
                Row("Gaussian mixture", "fma_conv", clusterer="gmm"),
            ),
        ),
        ScoreTable(
            "Task 2: baselines",
            "medium",
            (
                Row("Conv-VAE + K-Means", "fma_conv", printed=_CONV_VAE | {"ari": "0.0000"}),
                Row("PCA + K-Means", "fma_conv", "pca", printed=three("0.0534", "288.07", "2.4417")),
                Row("Autoencoder + K-Means", "fma_conv", "autoencoder", printed=three("0.0296", "168.61", "2.6522")),
                Row("Direct K-Means", "fma_conv", "features", printed=three("0.0490", "281.21", "2.4904")),
            ),
            {
                ("PCA + K-Means", "silhouette"): "+93.1",
                ("PCA + K-Means", "calinski_harabasz"): "+30.1",
                ("Autoencoder + K-Means", "silhouette"): "+248.3",
                ("Autoencoder + K-Means", "calinski_harabasz"): "+122.4",
                ("Direct K-Means", "silhouette"): "+110.4",
                ("Direct K-Means", "calinski_harabasz"): "+33.3",
            },
        ),
        ScoreTable(
            "Task 3: the models one by one",
            "hard",
            (
                _BETA_VAE,
                Row("CVAE", "fma_cvae", printed=six("0.1122", "325.73", "1.7007", "-0.0002", "0.0036", "0.1457")),
                Row(
                    "Conv-VAE", "fma_conv", printed=_CONV_VAE | {"ari": "-0.0002", "nmi": "0.0035", "purity": "0.1470"}
                ),
                Row("the same network at beta 1", "beta_1"),
                Row("MFCC means themselves", "fma_beta", "features"),
            ),
        ),
        ScoreTable(
            "Task 3: fusion of latents",
            "hard",
            (
                _BETA_VAE,
                Row(
                    "Weighted Avg",
                    LATENTS,
                    "weighted",
                    printed=six("0.1186", "466.16", "1.6994", "-0.0004", "0.0034", "0.1506"),
                ),
                Row(
                    "Concat (H+B+C)",
                    LATENTS,
                    "concat",
                    printed=six("0.0954", "273.21", "1.8452", "0.0005", "0.0045", "0.1496"),
                ),
                Row(
                    "PCA Reduced",
                    LATENTS,
                    "pca",
                    printed=six("0.0954", "273.24", "1.8450", "0.0005", "0.0045", "0.1506"),
                ),
                Row(
                    "With Genre Info",
                    LATENTS,
                    "with classes",
                    printed=six("0.0954", "273.24", "1.8450", "0.0005", "0.0045", "0.1506"),
                ),
            ),
        ),
        ScoreTable(
            "Sound and words: fusion of features",
            "hard",
            (
                Row("Concatenation, text as it is", "fma_vae"),
                Row("Concatenation, modalities balanced", "hybrid_balanced"),
                Row("Weighted (0.6 sound, 0.4 words)", "hybrid_weighted"),
                Row("PCA of the concatenation", "hybrid_pca"),
                Row("CVAE told which modalities are there", "cvae_modality"),
                Row("Product of experts (not in the report)", "poe_vae"),
                Row("Attention (not in the report)", "attention_vae"),
                Row("Sound alone", "audio_only"),
                Row("Words alone", "text_only"),
            ),
        ),
    ),
    fusions={"fma_vae": "404", "hybrid_weighted": "64", "hybrid_pca": "64"},
    lyrics={
        "vocal": "9 (1.8 %)",
        "instrumental": "484 (98.2 %)",
        "mean": "-0.0001",
        "standard deviation": "0.0510",
        "min": "-0.2029",
        "max": "0.4062",
    },
    best={
        "silhouette": ("Beta-VAE", "0.5264"),
        "calinski_harabasz": ("Beta-VAE", "12,275.12"),
        "davies_bouldin": ("Beta-VAE", "0.5314"),
        "ari": ("MM-Concat", "0.0005"),
        "nmi": ("MM-Concat", "0.0045"),
        "purity": ("MM-Weighted Avg", "0.1506"),
    },
)
