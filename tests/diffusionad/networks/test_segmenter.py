import torch

from diffusionad.networks.segmenter import Segmenter, SegmenterConfig

SMALL = SegmenterConfig(base_channels=4, channel_multipliers=(1, 2, 2), stem=1)


def test_the_papers_net_has_the_authors_number_of_weights():
    with torch.device("meta"):
        segmenter = Segmenter(SegmenterConfig(base_channels=64, channel_multipliers=(1, 2, 4, 8, 8, 8), stem=1), 6)

    assert sum(parameter.numel() for parameter in segmenter.parameters()) == 28_373_569


def test_there_is_one_logit_for_each_pixel():
    assert Segmenter(SMALL, 6).eval()(torch.rand(2, 6, 16, 24)).shape == (2, 1, 16, 24)


def test_in_evaluation_an_image_is_marked_for_itself_alone():
    segmenter = Segmenter(SMALL, 6).eval()
    images = torch.rand(3, 6, 16, 16, generator=torch.Generator().manual_seed(0))

    with torch.no_grad():
        together, alone = segmenter(images), segmenter(images[1:2])

    torch.testing.assert_close(together[1:2], alone, atol=1e-5, rtol=0)


def test_the_image_reaches_the_logits_past_the_bottleneck():
    """Skip connections: a mask as sharp as the image, not as the deepest map."""
    segmenter = Segmenter(SMALL, 6).eval()
    segmenter.encoder[-1].register_forward_hook(lambda _module, _inputs, features: torch.zeros_like(features))
    images = torch.rand(2, 6, 16, 16, generator=torch.Generator().manual_seed(0))

    with torch.no_grad():
        logits = segmenter(images)

    assert float((logits[0] - logits[1]).abs().max()) > 1e-4
