"""Plain implementations of the same work, against which the claims of docs/performance.md are measured."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import Tensor

from diffusionad.detector import Detector
from diffusionad.detectors.diffusionad.guidance import one_step, reconstruct
from diffusionad.detectors.diffusionad.model import DiffusionAD
from diffusionad.diffusion.process import predict_x_0, q_sample
from diffusionad.evaluation.tally import sweep_tally, tally
from diffusionad.metrics.pro import pro
from diffusionad.metrics.sweep import auroc, average_precision, f1
from diffusionad.networks.layout import lay_out

THRESHOLDS = 200
FPR_LIMIT = 0.3

Arrays = NDArray[np.float32]
Marks = NDArray[np.bool_]


def two_passes(model: DiffusionAD, images: Tensor, noise: Tensor) -> Callable[[], Tensor]:
    """Return a call of the authors' formulation: one pass per noise level, eqs. (7) and (8); NCHW, fp32, no autograd.

    Args:
        model: A model in evaluation mode.
        images: Images in [0, 1], shape (B, 3, H, W).
        noise: Standard normal noise for t_s and t_b, shape (2, B, 3, H, W).

    Returns:
        Function that returns anomaly maps in [0, 1], shape (B, 1, H, W).
    """
    guidance, schedule = model.config.guidance, model.schedule
    t_s, t_b = (torch.full((len(images),), t) for t in (guidance.t_s, guidance.t_b))

    @torch.inference_mode()
    def call() -> Tensor:
        x_0 = model.to_range(images)
        x_t_s, x_t_b = q_sample(schedule, x_0, t_s, noise[0]), q_sample(schedule, x_0, t_b, noise[1])
        epsilon_hat_s, epsilon_hat_b = model.denoise(x_t_s, t_s), model.denoise(x_t_b, t_b)
        x_0_hat_b = predict_x_0(schedule, x_t_b, t_b, epsilon_hat_b).clamp(-1, 1)
        n_t_s = q_sample(schedule, x_0_hat_b, t_s, epsilon_hat_s)
        deviation = (1 - schedule.alpha_bar(t_s, like=x_0)).sqrt()
        guided = epsilon_hat_s - deviation * guidance.scale * (n_t_s - x_t_s)
        x_0_hat = predict_x_0(schedule, x_t_s, t_s, guided).clamp(-1, 1)
        return torch.sigmoid(model.segment(x_0, x_0_hat))

    return call


def plain(model: DiffusionAD, images: Tensor, noise: Tensor) -> Callable[[], Tensor]:
    """Return a call of the model in torch with nothing done for speed: fp32, NCHW, no autograd.

    Arguments and result are those of `two_passes`.
    """

    @torch.inference_mode()
    def call() -> Tensor:
        x_0 = model.to_range(images)
        return torch.sigmoid(model.segment(x_0, guided(model, x_0, noise[0], noise[1])))

    return call


def rebuild(detector: Detector) -> DiffusionAD:
    """Build the model of a detector again, in NCHW and evaluation mode.

    Raises:
        ValueError: If the detector is of another kind.
    """
    model = detector.config.build()
    if not isinstance(model, DiffusionAD):
        raise ValueError(  # noqa: TRY004  # a user can cause this
            "the claims are about DiffusionAD; train one, or take `CLAIMS=metrics,memory`"
        )
    model.load_state_dict(detector.weights)
    return model.eval()


def guided(model: DiffusionAD, x_0: Tensor, epsilon_s: Tensor, epsilon_b: Tensor) -> Tensor:
    """Reconstruct with norm guidance as in training, nothing computed in advance; tensors of shape (B, C, H, W)."""
    guidance = model.config.guidance
    t_s, t_b = (torch.full((len(x_0),), t) for t in (guidance.t_s, guidance.t_b))
    return reconstruct(
        *(model.denoise, model.schedule, guidance.scale, x_0, t_s, t_b, epsilon_s, epsilon_b, guidance.local)
    ).x_0_hat


def reconstruction(detector: Detector, mode: str) -> Callable[[], Tensor]:
    """Return a call that reconstructs one image, (1, 3, H, W), in torch with channels last, without segmentation."""
    x_0 = torch.rand(1, 3, *detector.config.image_size, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(x_0.shape, generator=torch.Generator().manual_seed(1))
    model = rebuild(detector)
    lay_out(model, x_0.device)
    return reconstructing(model, x_0, noise, mode)


def reconstructing(model: DiffusionAD, x_0: Tensor, noise: Tensor, mode: str) -> Callable[[], Tensor]:
    """Return a call that reconstructs x_0, (B, C, H, W), in the present layout of the model, without segmentation.

    Every noise is `noise`, in the shape of x_0.
    """
    t_s = torch.full((len(x_0),), model.config.guidance.t_s)

    @torch.inference_mode()
    def call() -> Tensor:
        if mode == "norm_guided":
            return guided(model, x_0, noise, noise)
        if mode == "one_step":
            return one_step(model.denoise, model.schedule, x_0, t_s, noise).clamp(-1, 1)
        return model.walk(x_0, _Same(noise), mode)

    return call


class _Same:
    """One noise for every key."""

    def __init__(self, noise: Tensor) -> None:
        self._noise = noise

    def __call__(self, key: int) -> Tensor:  # noqa: ARG002  # one noise for all keys
        return self._noise

    def generators(self, key: int) -> list[torch.Generator]:  # noqa: ARG002
        return [torch.Generator() for _ in self._noise]


def random_maps(count: int, side: int, seed: int) -> tuple[Arrays, Marks]:
    """Draw maps of noise, with brighter discs in every other one, and masks of the discs: (count, side, side) each."""
    rng = np.random.default_rng(seed)
    maps = rng.standard_normal((count, side, side), np.float32)
    masks = np.zeros(maps.shape, np.bool_)
    rows, columns = np.ogrid[:side, :side]
    for image in range(0, count, 2):
        for _ in range(3):
            top, left = rng.integers(0, side, 2)
            radius = rng.integers(3, side // 8)
            masks[image] |= (rows - top) ** 2 + (columns - left) ** 2 < radius**2
    maps += 1.5 * masks
    return maps, masks


def slow_metrics(maps: Arrays, masks: Marks) -> tuple[float, float, float]:
    """Compute AUROC and AP with scikit-learn, and PRO up to a rate of 0.3 in a loop over thresholds and regions.

    Args:
        maps: Anomaly maps, shape (N, H, W).
        masks: Masks, shape (N, H, W).
    """
    truth, scores = masks.ravel(), maps.ravel()
    regions = [
        (image, labels == number)
        for image, mask in enumerate(masks)
        for labels, count in [ndimage.label(mask, np.ones((3, 3)))]
        for number in range(1, count + 1)
    ]
    rates, overlaps = [], []
    for threshold in np.linspace(scores.max(), scores.min(), THRESHOLDS):
        flagged = maps >= threshold
        rates.append((flagged & ~masks).sum() / (~masks).sum())
        overlaps.append(np.mean([flagged[image][region].mean() for image, region in regions]))
    kept = np.asarray(rates) <= FPR_LIMIT
    area = np.trapezoid(np.asarray(overlaps)[kept], np.asarray(rates)[kept]) / FPR_LIMIT
    return float(roc_auc_score(truth, scores)), float(average_precision_score(truth, scores)), float(area)


def tallied_metrics(maps: Arrays, masks: Marks) -> tuple[float, float, float, float]:
    """Compute AUROC, AP, PRO up to a rate of 0.3 and the best F1 of maps and masks (N, H, W), in bounded memory."""
    steps = sweep_tally(tally(maps, masks))
    figures = auroc(steps), average_precision(steps), pro(steps, FPR_LIMIT), f1(steps).max()
    return tuple(map(float, figures))  # type: ignore[return-value]  # four of them
