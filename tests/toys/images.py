"""Training images in memory, for the phases of detectors that learn from a fixed set."""

import torch

from diffusionad.base import Anomalous


class ToyImages:
    """Normal images (N, 3, H, W); an anomaly is a bright square on one of them."""

    def __init__(self, images, batch=4):
        self.count, self._images, self._batch = len(images), images, batch

    def normal(self):
        return iter(torch.split(self._images, self._batch))

    def anomalous(self, count):
        source = torch.arange(count) % self.count
        images, mask = self._images[source].clone(), torch.zeros(count, 1, *self._images.shape[2:])
        for place in range(count):
            top, left = (5 * place) % (images.shape[2] - 16), (3 * place) % (images.shape[3] - 16)
            images[place, :, top : top + 16, left : left + 16] = 1.0
            mask[place, :, top : top + 16, left : left + 16] = 1.0
        for part in torch.split(torch.arange(count), self._batch):
            yield Anomalous(images[part], mask[part], source[part])
