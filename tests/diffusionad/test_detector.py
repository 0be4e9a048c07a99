import json
import pickle
from types import MappingProxyType

import numpy as np
import pytest
import torch
from PIL import Image

import diffusionad
from diffusionad.base import Mode, Model, Output, image_score
from diffusionad.data.images import read_image
from diffusionad.detector import Detector
from toys.detectors import build_detector, describe_detector, read_config

SIZE = (16, 24)


def build(section, threshold=0.5, seed=0):
    """A detector whose weights are all random and whose scores differ."""
    return build_detector(SIZE, section, spread=5.0, threshold=threshold, seed=seed)


@pytest.fixture
def detector(tiny_model):
    return build(tiny_model)


@pytest.fixture
def images():
    return torch.rand(5, 3, *SIZE, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def files(tmp_path):
    """Three photographs of another size than the model's."""
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (20, 30, 3), np.uint8)).save(path)
    return paths


@pytest.fixture
def folder(detector, tmp_path):
    """A saved detector."""
    folder = tmp_path / "model"
    folder.mkdir()
    detector.save(folder)
    return folder


def assert_equal(first, second, atol=0.0):
    for one, other in zip(first, second, strict=True):
        torch.testing.assert_close(one, other, atol=atol, rtol=0)


def refusal(call):
    """The one line that a call is refused with."""
    with pytest.raises(ValueError, match=r"\A[^\n]+\Z") as caught:
        call()
    return str(caught.value)


def test_the_package_hands_out_the_detector():
    # By name: pytest may import a module twice, once for its doctests, and then there are two classes of that name.
    handed_out = diffusionad.Detector

    assert (handed_out.__module__, handed_out.__qualname__) == (Detector.__module__, Detector.__qualname__)
    with pytest.raises(AttributeError, match="module 'diffusionad' has no attribute 'Detektor'"):
        _ = diffusionad.Detektor


def test_a_prediction_has_the_shapes_and_ranges_it_promises(detector, images):
    prediction = detector.predict(images)

    assert prediction.image_score.shape == prediction.is_anomalous.shape == (5,)
    assert prediction.anomaly_map.shape == prediction.mask_logits.shape == (5, *SIZE)
    assert prediction.reconstruction.shape == (5, 3, *SIZE)
    for part in (prediction.image_score, prediction.anomaly_map, prediction.reconstruction):
        assert 0 <= float(part.min()) <= float(part.max()) <= 1
    assert torch.equal(prediction.anomaly_map, torch.sigmoid(prediction.mask_logits))


def test_images_are_told_apart(detector, images):
    assert len(set(detector.predict(images).image_score.tolist())) == 5


def test_what_was_saved_predicts_the_same(detector, folder, images):
    loaded = Detector.load(folder)

    assert loaded.config == detector.config
    assert_equal(loaded.predict(images), detector.predict(images))


def test_a_model_is_two_files_and_the_same_bytes_each_time(detector, folder, tmp_path):
    again = tmp_path / "again"
    again.mkdir()

    Detector.load(folder).save(again)

    assert sorted(file.name for file in folder.iterdir()) == ["model.json", "model.safetensors"]
    assert all((again / file.name).read_bytes() == file.read_bytes() for file in folder.iterdir())


def test_nothing_in_a_model_is_executed(folder, tmp_path):
    class Attack:
        def __reduce__(self):
            return open, (str(tmp_path / "owned"), "w")

    (folder / "model.safetensors").write_bytes(pickle.dumps(Attack()))

    assert "not a whole safetensors file" in refusal(lambda: Detector.load(folder))
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("batch_size", [1, 2, 16])
def test_a_score_does_not_depend_on_the_batch(detector, images, batch_size):
    assert_equal(detector.predict(images, batch_size=batch_size), detector.predict(images, batch_size=5), atol=1e-5)


def test_a_score_does_not_depend_on_the_order(detector, images):
    order = torch.tensor([3, 0, 4, 1, 2])

    shuffled, straight = detector.predict(images[order]), detector.predict(images)

    assert_equal(shuffled, [None if part is None else part[order] for part in straight], atol=1e-5)


def test_a_score_does_not_depend_on_the_run(detector, images):
    first = detector.predict(images)
    torch.rand(3)

    assert_equal(detector.predict(images), first)


def by_image(tiny_model):
    """Settings with which each image gets its own t_s."""
    return tiny_model | {"guidance": tiny_model["guidance"] | {"t_s_range": [5, 35]}}


@pytest.mark.parametrize("batch_size", [1, 2, 16])
def test_the_errors_of_normal_images_are_those_of_the_whole_set(tiny_model, images, batch_size):
    one, other = build(tiny_model), build(by_image(tiny_model))

    one.calibrate(images, batch_size=batch_size)
    other.calibrate(images, batch_size=5)

    low, high = one.weights["normal_error_range"].tolist()
    assert 0 < low < high < 1
    torch.testing.assert_close(
        one.weights["normal_error_range"], other.weights["normal_error_range"], atol=1e-6, rtol=0
    )


def test_of_known_normal_images_the_best_and_the_worst_get_the_bounds_of_t_s(tiny_model, images):
    """Each as if that bound were the step of all."""
    detector = build(by_image(tiny_model))
    detector.calibrate(images)
    guidance = tiny_model["guidance"]
    bounds = [build(tiny_model | {"guidance": guidance | {"t_s_range": [t, t]}}) for t in (5, 35)]

    answers = detector.predict(images).reconstruction
    at_bounds = [one.predict(images).reconstruction for one in bounds]

    for expected in at_bounds:
        same = [torch.allclose(a, b, atol=1e-6) for a, b in zip(answers, expected, strict=True)]
        assert sum(same) == 1


def test_a_score_with_steps_by_image_depends_neither_on_batch_nor_on_order(tiny_model, images):
    detector = build(by_image(tiny_model))
    detector.calibrate(images)
    order = torch.tensor([3, 0, 4, 1, 2])

    straight = detector.predict(images)

    assert_equal(detector.predict(images, batch_size=2), straight, atol=1e-5)
    assert_equal(
        detector.predict(images[order]), [None if part is None else part[order] for part in straight], atol=1e-5
    )


def test_what_was_measured_is_saved_with_the_weights(tiny_model, images, tmp_path):
    detector = build(by_image(tiny_model))
    detector.calibrate(images)
    detector.save(tmp_path)

    loaded = Detector.load(tmp_path)

    assert torch.equal(loaded.weights["normal_error_range"], detector.weights["normal_error_range"])
    assert_equal(loaded.predict(images), detector.predict(images))


def test_the_noise_depends_on_the_seed(tiny_model, images):
    scores = [build(tiny_model, seed=seed).predict(images).image_score for seed in (0, 1)]

    assert not torch.equal(*scores)


def test_the_noise_depends_on_the_image(detector):
    """A difference that nobody sees draws other noise, and so another reconstruction."""
    grey = torch.full((2, 3, *SIZE), 0.5)
    grey[1, 0, 0, 0] += 1e-6

    first, second = detector.predict(grey).reconstruction

    assert float((first - second).abs().mean()) > 0.05


def test_a_prediction_leaves_the_global_generator_as_it_was(detector, images):
    before = torch.get_rng_state()

    detector.predict(images)

    assert torch.equal(torch.get_rng_state(), before)


def test_paths_strings_pil_images_and_tensors_agree(detector, files):
    tensor = torch.from_numpy(np.stack([read_image(file, None) for file in files])).permute(0, 3, 1, 2)
    expected = detector.predict(files)

    assert_equal(detector.predict([str(file) for file in files]), expected)
    assert_equal(detector.predict([Image.open(file) for file in files]), expected)
    assert_equal(detector.predict(tensor), expected)
    assert_equal(detector.predict(detector.read(files)), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_floating_type_is_taken(detector, images, dtype):
    coarse = images.to(torch.bfloat16).to(torch.float16)

    assert_equal(detector.predict(coarse.to(dtype)), detector.predict(coarse.float()))


def test_a_photograph_taken_sideways_is_turned_upright_either_way(detector, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    file = tmp_path / "sideways.png"
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    Image.fromarray(pixels).save(file, exif=exif)

    with Image.open(file) as opened:
        assert_equal(detector.predict([opened]), detector.predict([file]))


def test_the_threshold_decides(tiny_model, images):
    scores = build(tiny_model).predict(images).image_score
    middle = float(scores.sort().values[2])

    prediction = build(tiny_model, threshold=middle).predict(images)

    assert torch.equal(prediction.is_anomalous, scores >= middle)
    assert int(prediction.is_anomalous.sum()) == 3


def test_the_normal_scores_behind_the_threshold_are_kept_and_a_version_without_them_still_loads(
    detector, images, tmp_path
):
    detector.calibrated(0.25, [0.2, 0.1, 0.3]).save(tmp_path)
    kept = Detector.load(tmp_path)
    assert (kept.config.threshold, kept.config.scale.normal_scores) == (0.25, (0.1, 0.2, 0.3))

    file = tmp_path / "model.json"
    old = {name: value for name, value in json.loads(file.read_text()).items() if name != "scale"}
    file.write_text(json.dumps(old))

    raw = Detector.load(tmp_path)
    assert (raw.config.scale, raw.threshold, raw.predict(images).normals_above) == (None, 0.25, None)
    assert torch.equal(raw.predict(images).is_anomalous, kept.predict(images).is_anomalous)


def test_scores_are_reported_on_a_scale_whose_threshold_is_one_half(detector, images):
    raw = detector.predict(images).image_score
    lowest, highest = float(raw.min()), float(raw.max())

    kept = detector.calibrated(highest, [lowest, lowest, highest])
    prediction = kept.predict(images, batch_size=2)

    assert kept.threshold == 0.5
    assert torch.equal(prediction.image_score.argsort(), raw.argsort())
    assert prediction.image_score[raw.argmax()] == 0.5
    assert prediction.image_score[raw.argmin()] == pytest.approx(0.25)
    assert torch.equal(prediction.is_anomalous, prediction.image_score >= 0.5)
    assert prediction.normals_above[raw.argmin()] == pytest.approx(1 / 3)
    assert prediction.normals_above[raw.argmax()] == 0


def test_another_mode_may_be_asked_for(detector, images):
    guided, one_step = detector.predict(images), detector.predict(images, mode="one_step")

    assert not torch.equal(guided.reconstruction, one_step.reconstruction)


def test_weights_are_counted_by_network(detector):
    parameters = detector.parameters

    assert list(parameters) == ["reconstructor", "segmenter"]
    # (3 * 2) channels of 3 x 3 weights at two widths, with biases and normalisation, then one output.
    assert parameters["segmenter"] == sum(
        9 * before * after + 3 * after for before, after in ((6, 4), (4, 4), (4, 8), (8, 8), (8, 4), (8, 4), (4, 4))
    ) + (9 * 4 + 1)


@pytest.mark.parametrize(("fraction", "expected"), [(1e-9, 0.9), (0.5, 0.8), (1.0, 0.55)])
def test_an_image_score_is_the_mean_of_the_highest_pixels(fraction, expected):
    logits = torch.logit(torch.tensor([[[0.9, 0.1], [0.5, 0.7]]], dtype=torch.float64))

    assert float(image_score(Output(logits), fraction)) == pytest.approx(expected)


def test_a_model_may_score_an_image_otherwise_than_by_its_highest_pixels():
    output = Output(torch.full((2, 4, 4), 3.0), image_logit=torch.tensor([0.0, -1.0]))

    assert image_score(output, 1.0).tolist() == pytest.approx([0.5, 1 / (1 + np.e)])


def test_a_mode_that_the_model_does_not_have_is_refused(detector, images):
    text = refusal(lambda: detector.predict(images, mode="patchcore"))

    assert text == "this model infers as norm_guided, one_step, ddim, iterative; it cannot infer as patchcore"


def test_maps_of_another_shape_than_the_images_are_refused_with_the_kind(tiny_model, images):
    config = describe_detector(read_config(tiny_model), SIZE)
    network = config.build()
    network.form = lambda _mode: None
    network.infer = lambda images, _noise, _mode: Output(images[:, 0, ::2])

    text = refusal(lambda: Detector(network, config).predict(images))

    assert text == "detector `diffusionad`: its mask_logits are of shape (5, 8, 24), expected (5, 16, 24)"


class Steepest(Model):
    """A model that looks at the gradient of its images, as guidance by a classifier does."""

    needs_gradient = True
    phases = ()
    modes = MappingProxyType({"steepest": Mode(1, ())})

    def infer(self, images, noise, mode):
        asked = images.clone().requires_grad_()
        asked.pow(3).sum().backward()
        return Output(asked.grad.mean(dim=1))


def test_a_model_may_compute_gradients_when_it_infers(images, tiny_model):
    config = describe_detector(read_config(tiny_model), SIZE)

    prediction = Detector(Steepest(config.model, SIZE), config).predict(images)

    torch.testing.assert_close(prediction.mask_logits, 3 * images.square().mean(dim=1))
    assert not prediction.mask_logits.requires_grad


def test_very_sure_images_are_told_apart():
    logits = torch.stack([torch.full((2, 2), 20.0), torch.full((2, 2), 21.0)])

    first, second = image_score(Output(logits), 1.0).tolist()

    assert first < second < 1


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()

    assert refusal(lambda: Detector.load(folder)) == f"{folder}: no model here ({name} is missing); train one first"


def test_a_missing_folder_is_named(tmp_path):
    assert "nowhere: no model here" in refusal(lambda: Detector.load(tmp_path / "nowhere"))


def test_weights_that_are_cut_off_are_refused(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])

    assert "model.safetensors: not a whole safetensors file" in refusal(lambda: Detector.load(folder))


def test_weights_of_another_model_are_refused(folder):
    file = folder / "model.json"
    file.write_text(file.read_text().replace('"stem": 2', '"stem": 1'))

    assert "model.safetensors: not the weights of" in refusal(lambda: Detector.load(folder))


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ('"seed"', '"sead"', "`sead`: Extra inputs are not permitted"),
        ('"threshold": 0.5', '"threshold": "high"', "`threshold`: Input should be a valid number"),
        ('"t_b": 40', '"t_b": 20', "t_s < t_b"),
        ("\n    16,", "\n    18,", "`unet` halves an image down to 1/4"),
        ("{", "", "Invalid JSON"),
    ],
)
def test_a_config_of_another_version_is_refused(folder, old, new, text):
    file = folder / "model.json"
    file.write_text(file.read_text().replace(old, new, 1))

    line = refusal(lambda: Detector.load(folder))

    assert line.startswith(f"{file}: not a config of this version: ")
    assert text in line


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (torch.zeros(3, 16, 24), "expected a float tensor (B, 3, H, W), got torch.float32 of shape (3, 16, 24)"),
        (torch.zeros(1, 1, 16, 24), "expected a float tensor (B, 3, H, W), got torch.float32 of shape (1, 1, 16, 24)"),
        (torch.zeros(1, 3, 16, 24, dtype=torch.uint8), "expected a float tensor (B, 3, H, W), got torch.uint8"),
        (torch.full((1, 3, 16, 24), 255.0), "expected values in [0, 1], got 255 to 255; divide by 255?"),
        (torch.full((1, 3, 16, 24), -0.5), "expected values in [0, 1], got -0.5 to -0.5"),
        (torch.full((1, 3, 16, 24), torch.nan), "expected values in [0, 1], got nan to nan"),
        (torch.zeros(0, 3, 16, 24), "no images to predict"),
        ([], "no images to predict"),
        ("photo.png", "expected a list of images, got one str; put it into a list"),
        (Image.new("RGB", (24, 16)), "expected a list of images, got one Image; put it into a list"),
        (np.zeros((1, 16, 24, 3)), "expected paths or PIL images, got a ndarray; arrays go in as one tensor"),
        (["nowhere.png"], "nowhere.png: no such file"),
    ],
)
def test_what_is_no_batch_of_images_is_refused(detector, wrong, text):
    assert text in refusal(lambda: detector.predict(wrong))


def test_a_large_image_is_scored_tile_by_tile(detector, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "large.png")

    large = detector.predict_large(tmp_path / "large.png", overlap=4, batch_size=2)

    corner = detector.predict([Image.fromarray(pixels[: SIZE[0], : SIZE[1]])])
    assert large.anomaly_map.shape == (40, 50)
    torch.testing.assert_close(large.anomaly_map[:8, :8], corner.anomaly_map[0, :8, :8], atol=1e-5, rtol=0)
    assert float(large.tile_scores[0, 0]) == pytest.approx(float(corner.image_score), abs=1e-6)
    assert large.image_score == float(large.tile_scores.max())
    assert large.is_anomalous == (large.image_score >= detector.threshold)


def test_an_image_of_one_tile_is_predicted_as_it_is(detector):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8))

    large, whole = detector.predict_large(image, overlap=2), detector.predict([image])

    torch.testing.assert_close(large.anomaly_map, whole.anomaly_map[0], atol=1e-6, rtol=0)
    assert large.image_score == float(whole.image_score)
