import torch

from diffusionad.networks.feature_segmenter import FeatureSegmenter, FeatureSegmenterConfig


def segmenter():
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return FeatureSegmenter(FeatureSegmenterConfig(widths=(4, 4, 8, 8)))


def pictures(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def test_logits_have_the_size_of_the_image_also_where_levels_do_not_divide_it():
    logits = segmenter()(pictures(2, 3, 34, 50), pictures(2, 3, 34, 50, seed=1))

    assert logits.shape == (2, 1, 34, 50)


def test_only_the_decoder_learns():
    net, reconstruction = segmenter(), pictures(2, 3, 32, 32, seed=1).requires_grad_()
    before = {name: value.clone() for name, value in net.encoder.state_dict().items()}

    net.train()(pictures(2, 3, 32, 32), reconstruction).sum().backward()

    assert reconstruction.grad is None
    assert {name.split(".")[0] for name, p in net.named_parameters() if p.grad is not None} == {
        "norms",
        "decoder",
        "last",
    }
    assert all(torch.equal(value, before[name]) for name, value in net.encoder.state_dict().items())


def test_each_image_is_segmented_for_itself():
    net = segmenter().eval()
    image, reconstruction = pictures(3, 3, 32, 32), pictures(3, 3, 32, 32, seed=1)

    with torch.inference_mode():
        together, alone = net(image, reconstruction), net(image[1:2], reconstruction[1:2])

    torch.testing.assert_close(together[1:2], alone, rtol=1e-4, atol=1e-5)


def test_which_way_image_and_reconstruction_differ_matters():
    net = segmenter().eval()
    image, reconstruction = pictures(1, 3, 32, 32), pictures(1, 3, 32, 32, seed=1)

    with torch.inference_mode():
        assert not torch.allclose(net(image, reconstruction), net(reconstruction, image))
