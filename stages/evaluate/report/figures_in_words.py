"""Figures and what they mean, in words for people who do not know them by name."""

from collections.abc import Mapping
from typing import NamedTuple

from stages.common.schemas import PART_FIGURES, Metrics

SYNTHETIC = "synthetic_"
"""Prefix of figures on synthetic defects (`stages.evaluate`)."""

TITLES = {
    "image_auroc": "Image AUROC",
    "image_ap": "Image average precision",
    "image_f1": "Best image F1",
    "pixel_auroc": "Pixel AUROC",
    "pixel_ap": "Pixel average precision",
    "pixel_pro": "Pixel PRO",
}
MEANINGS = {
    "image_auroc": "Of one anomalous and one normal image, the anomalous one scores higher in {share} of pairs.",
    "image_ap": "How clean the list of flagged images is, averaged from the strictest threshold to one that misses "
    "nothing. Scoring at random gives {chance}.",
    "image_f1": "The best balance of misses and false alarms at any threshold. It is picked on these very images, so "
    "it flatters.",
    "pixel_auroc": "Of one anomalous and one normal pixel, the anomalous one is the brighter in the map in {share} of "
    "pairs.",
    "pixel_ap": "How clean the marked area is, averaged from the strictest threshold to one that misses no pixel.",
    "pixel_pro": "How much of each anomalous region is marked, small regions counting as much as large ones, averaged "
    "up to {limit} of normal pixels being marked too.",
}

RECONSTRUCTIONS = {
    "psnr_normal": (
        "Normal pixels",
        "{value:.1f} dB",
        "How exactly normal pixels come back; 20 dB is an error of a tenth of the range, 40 dB of a hundredth.",
    ),
    "psnr_anomalous": (
        "Repaired pixels",
        "{value:.1f} dB",
        "The same where an anomaly was drawn, against the image as it was before.",
    ),
    "kept_anomaly": (
        "Anomaly kept",
        "{percent:.0f} %",
        "How much of the contrast of a drawn anomaly is still there. 0 % is gone, 100 % is a copy.",
    ),
    "feature_distance": (
        "Unlike the original",
        "{percent:.0f} %",
        "The same to a network that knows photographs. 0 % is the original, 100 % as far off as the anomaly.",
    ),
}
"""Figures of reconstructions: title, how the value is written, and what it means."""


class SpokenReconstruction(NamedTuple):
    """One figure of reconstructions in words."""

    title: str
    value: str
    """With its unit; empty where it cannot be computed."""
    meaning: str
    """What the value means, or why there is none."""


class Spoken(NamedTuple):
    """One figure in words."""

    name: str
    title: str
    value: float | None
    low: float | None
    high: float | None
    meaning: str
    """What the value means, or why there is none."""
    synthetic: bool


def speak(figures: Mapping[str, float | int | str | None], fpr_limit: float) -> list[Spoken]:
    """Put the figures of metrics.json into words.

    A pixel figure that real defects do not give is left out where synthetic ones give it.

    Args:
        figures: Content of metrics.json.
        fpr_limit: Largest false positive rate of the PRO curve, in (0, 1].
    """
    spoken = []
    for name, title in TITLES.items():
        synthetic = figures.get(name) is None and _number(figures, SYNTHETIC + name) is not None
        key = SYNTHETIC + name if synthetic else name
        value = _number(figures, key)
        reason = str(figures.get(f"{name.split('_')[0]}_reason") or "it was not computed")
        meaning = f"Cannot be computed: {reason}." if value is None else _mean(name, value, figures, fpr_limit)
        low, high = _number(figures, f"{key}_low"), _number(figures, f"{key}_high")
        spoken.append(Spoken(key, title, value, low, high, meaning, synthetic))
    return spoken


class Worth(NamedTuple):
    """One line of the table of what members are worth."""

    title: str
    weight: float | None
    """None for anything but a single member."""
    values: tuple[float | None, ...]
    """`PART_FIGURES`, each in [0, 1]; None where it cannot be computed."""


def worth_of_members(figures: Mapping[str, float | int | str | None]) -> list[Worth]:
    """Tabulate what the members of an ensemble are worth: the whole, each member alone, the whole without each.

    Pixel figures are those on synthetic defects where `speak` takes these.

    Args:
        figures: Content of metrics.json.

    Returns:
        One line per row of the table; [] for a detector without members.
    """
    metrics = Metrics(figures)
    if not metrics.parts:
        return []
    return [
        Worth("the whole", None, _shown(metrics.numbers)),
        *(Worth(part.title, part.weight, _shown(part.figures)) for part in metrics.parts),
    ]


def _shown(figures: Mapping[str, float | None]) -> tuple[float | None, ...]:
    found = [figures.get(name) for name in PART_FIGURES]
    return tuple(
        figures.get(SYNTHETIC + name) if value is None else value
        for name, value in zip(PART_FIGURES, found, strict=True)
    )


def speak_of_reconstructions(figures: Mapping[str, float | int | str | None]) -> list[SpokenReconstruction]:
    """Put the figures of reconstructions into words; [] where the detector makes none.

    Args:
        figures: Content of metrics.json.
    """
    spoken = []
    for name, (title, written, meaning) in RECONSTRUCTIONS.items():
        key = f"reconstruction_{name}"
        value = _number(figures, key)
        if value is not None:
            spoken.append(SpokenReconstruction(title, written.format(value=value, percent=100 * value), meaning))
        elif key in figures:
            reason = figures.get("reconstruction_reason") or "it was not computed"
            spoken.append(SpokenReconstruction(title, "", f"Cannot be computed: {reason}."))
    return spoken


def promise_in_words(figures: Mapping[str, float | int | str | None]) -> str | None:
    """Hold the false alarms that the threshold promised against those that happened; None if nothing is known of it.

    Args:
        figures: Content of metrics.json.
    """
    promised, happened = (
        _number(figures, name) for name in ("promised_false_alarm_rate", "at_threshold_false_alarm_rate")
    )
    if promised is None:
        reason = figures.get("promised_reason")
        return None if reason is None else f"no rate of false alarms is promised: {reason}"
    said = f"{_percent(promised)} % promised from {_behind(figures)}"
    low, high = (_number(figures, f"promised_false_alarm_rate_{end}") for end in ("low", "high"))
    if low is None or high is None or happened is None:
        return f"{said}; there is no normal test image to check it on"
    verdict = (
        ", fewer than chance explains" if happened < low else ", more than chance explains" if happened > high else ""
    )
    tested = f"on {figures['test_normal']} test images {_percent(low)} to {_percent(high)} % would be no surprise"
    return f"{said}; {tested}; {_percent(happened)} % happened{verdict}"


def is_short(figures: Mapping[str, float | int | str | None]) -> bool:
    """Whether there are too few normal images to promise the rate of false alarms that was asked for."""
    needed, images = _number(figures, "calibration_images_needed"), _number(figures, "calibration_images")
    return needed is not None and images is not None and images < needed


def _behind(figures: Mapping[str, float | int | str | None]) -> str:
    """Say which images are behind a promise, what so many can promise, and how many what was asked for would need."""
    said = f"{figures['calibration_images']} normal images"
    if by_copies := _number(figures, "calibration_images_by_copies"):
        said += f", {by_copies:.0f} of them judged by copies of the model that did not learn from them"
    asked, least = _number(figures, "asked_false_alarm_rate"), _number(figures, "promisable_false_alarm_rate")
    if asked is None or least is None:
        return said
    needed = f"{figures['calibration_images_needed']} (about {figures['photographs_needed']} good photographs)"
    verdict = "TOO FEW for" if is_short(figures) else "enough for"
    return (
        f"{said}, which can promise {_percent(least)} % at best: "
        f"{verdict} the {_percent(asked)} % asked, which need {needed}"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _mean(name: str, value: float, figures: Mapping[str, float | int | str | None], fpr_limit: float) -> str:
    normal, anomalous = _number(figures, "test_normal") or 0, _number(figures, "test_anomalous") or 0
    chance = anomalous / max(normal + anomalous, 1)
    return MEANINGS[name].format(share=f"{100 * value:.1f} %", chance=f"{chance:.2f}", limit=f"{100 * fpr_limit:.0f} %")


def _number(figures: Mapping[str, float | int | str | None], name: str) -> float | None:
    value = figures.get(name)
    return float(value) if isinstance(value, int | float) else None
