"""Every file that one stage writes and another reads; dvc.yaml lists the same files (a test compares the two)."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class CategoryPaths:
    """The files of one category. As text, it is the name of the category: `str(paths)` is DATASET/CATEGORY."""

    dataset: str
    category: str
    root: Path = Path()
    """The folder that holds data/, models/ and reports/: the repository's, or another for work beside its pipeline."""

    def __str__(self) -> str:
        return f"{self.dataset}/{self.category}"

    @property
    def source(self) -> Path:
        """JSON: fingerprint of what the source of the data holds (`stages.download.watch`)."""
        return self._data / "source.json"

    @property
    def images(self) -> Path:
        """Folder: the raw photographs and masks, byte for byte as published. Manifest paths are relative to it."""
        return self._data / "images"

    @property
    def manifest(self) -> Path:
        """manifest.parquet: one row per image (`diffusionad.data.manifest`)."""
        return self._data / "manifest.parquet"

    @property
    def summary(self) -> Path:
        """JSON: counts by split, label and defect; images left out; licence."""
        return self._report / "data.json"

    @property
    def validation(self) -> Path:
        """JSON: every expectation of the data contract and its verdict."""
        return self._report / "validation.json"

    @property
    def validation_page(self) -> Path:
        """HTML: `validation` as a page for people; needs no network."""
        return self._report / "validation.html"

    @property
    def foreground(self) -> Path:
        """Folder: one PNG (0 or 255, native size) per normal image, at the image's relative path with suffix .png."""
        return self._data / "foreground"

    @property
    def foreground_sheet(self) -> Path:
        """PNG: outlines of the foreground over photographs."""
        return self._report / "foreground.png"

    @property
    def foreground_summary(self) -> Path:
        """JSON: the method of the foreground and why it was chosen, the masks' areas, and warnings."""
        return self._report / "foreground.json"

    @property
    def foreground_validation(self) -> Path:
        """JSON: every expectation of the foreground contract and its verdict."""
        return self._report / "foreground-validation.json"

    @property
    def foreground_page(self) -> Path:
        """HTML: `foreground_validation` as a page for people; needs no network."""
        return self._report / "foreground.html"

    @property
    def synthetic(self) -> Path:
        """Folder: the fixed synthetic sets, one `.npz` file each (`stages.synthesize`)."""
        return self._data / "synthetic"

    @property
    def previews(self) -> Path:
        """PNG: synthetic anomalies as the trainer draws them."""
        return self._report / "synthetic.png"

    @property
    def model(self) -> Path:
        """Folder: model.safetensors and model.json, all that `Detector.load` needs."""
        return Path(self.root, "models", self.dataset, self.category)

    @property
    def history(self) -> Path:
        """history.jsonl: one line per validation, written during training."""
        return self._report / "history.jsonl"

    @property
    def training_curves(self) -> Path:
        """CSV: the history for `dvc plots`."""
        return self._report / "training.csv"

    @property
    def metrics(self) -> Path:
        """metrics.json: flat figures with intervals and counts."""
        return self._report / "metrics.json"

    @property
    def figures(self) -> Path:
        """figures.json: the few figures that a person compares, rounded; the metric that DVC shows."""
        return self._report / "figures.json"

    @property
    def scores(self) -> Path:
        """scores.parquet: one row per test image, with its score and verdict."""
        return self._report / "scores.parquet"

    @property
    def maps(self) -> Path:
        """Folder: anomaly maps of the test images as float16 logits."""
        return self._data / "maps"

    @property
    def roc(self) -> Path:
        """CSV: the ROC curve of test images; `roc`, `pr` and `pro` have no rows where they cannot be computed."""
        return self._report / "roc.csv"

    @property
    def pr(self) -> Path:
        """CSV: precision over recall on test images."""
        return self._report / "pr.csv"

    @property
    def pro(self) -> Path:
        """CSV: per-region overlap over the false positive rate of pixels."""
        return self._report / "pro.csv"

    @property
    def histogram(self) -> Path:
        """CSV: test images by score and label."""
        return self._report / "histogram.csv"

    @property
    def pictures(self) -> Path:
        """Folder: PNGs of best, worst and borderline test images."""
        return self._report / "pictures"

    @property
    def page(self) -> Path:
        """HTML: the review of the test images as a page for people; needs no server."""
        return self._report / "index.html"

    @property
    def report(self) -> Path:
        """Folder: pictures and scripts of `page`."""
        return self._report / "report"

    @property
    def benchmark(self) -> Path:
        """JSON: the cost of each mode that does not depend on the machine."""
        return self._report / "benchmark.json"

    @property
    def latency(self) -> Path:
        """JSON: measured times. Not a DVC output: they depend on the machine and the day, not on the commit."""
        return self._report / "latency.json"

    @property
    def latency_table(self) -> Path:
        """CSV: `latency` for `dvc plots`; not a DVC output."""
        return self._report / "latency.csv"

    @property
    def latency_figure(self) -> Path:
        """PNG: `latency` as a bar chart; not a DVC output."""
        return self._report / "latency.png"

    @property
    def claims(self) -> Path:
        """JSON: the figures of docs/performance.md, measured on this machine; not a DVC output."""
        return self._report / "claims.json"

    @property
    def exports(self) -> Path:
        """Folder: the model for other runtimes; not a DVC output: `diffusionad export` makes it where it is to run."""
        return Path("exports", self.dataset, self.category)

    @property
    def _data(self) -> Path:
        return Path(self.root, "data", self.dataset, self.category)

    @property
    def _report(self) -> Path:
        return Path(self.root, "reports", self.dataset, self.category)
