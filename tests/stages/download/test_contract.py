import pandas as pd
import pytest

from stages.contracts.rules import MAX_ROWS
from stages.download.contract import check_contract, rules
from stages.download.evidence import collect
from stages.download.facts import ImageFacts, MaskFacts
from stages.download.layouts.listing import Item


def images(count=12):
    items = [Item(f"n{i}.png", "train", 0, "good", None, f"n{i}") for i in range(count)]
    items += [Item("v.png", "val", 0, "good", None, "v"), Item("t.png", "test", 0, "good", None, "t")]
    return [*items, Item("b.png", "test", 1, "crack", "b_mask.png", "b")]


@pytest.fixture
def evidence():
    return described(images())


def described(items):
    facts = {item.path: ImageFacts(f"{i:064d}", 40, 48, "L", 0.5, "0" * 64) for i, item in enumerate(items)}
    masks = {"b_mask.png": MaskFacts("m", 40, 48, 0.1)}
    return collect("mine/nut", items, facts, masks, {}, (), {}, None)


def violated(findings):
    return {f.title: f.rows for f in findings if f.violated}


def test_good_data_keep_every_rule(contract_config, evidence):
    findings = check_contract(contract_config, evidence)

    assert violated(findings) == {}
    assert [f.title for f in findings] == [rule.title for rule in rules(contract_config)]


# Column, value, title; the fault stands in the row of its number.
FAULTS = [
    ("fault", "damaged", "an image that can be read to its end"),
    ("width", 15, "a width of at least 16 px"),
    ("height", 15, "a height of at least 16 px"),
    ("megapixels", 1.1, "at most 1 megapixels"),
    ("mode", "CMYK", "a pixel format among L, RGB"),
    ("namesake", "n0.jpg", "a name that differs in more than its ending"),
    ("split", "fit", "a split"),
    ("mask_trouble", "marks nothing", "a mask of the image's size for each anomalous image, and none for a normal one"),
    ("mask_soft", 0.5, "a mask of which at most 20% is neither marked nor free; is it a photograph?"),
    ("stated_size", "states 9 x 9 px", "the size that the data set states"),
    ("scaled", "scaled", "a photograph of the size that its annotation states; its mask was scaled alike"),
    ("twin", "t.png in test", "no image in two splits"),
    ("object_elsewhere", "t.png in test", "the normal images of one object in one split"),
    ("copy", "n1.png", "no image twice in a split"),
    ("lookalike", "t.png in test", "no near-duplicate in another split"),
]


def test_each_broken_row_is_named_with_its_value_and_by_its_own_rule_alone(contract_config):
    evidence = described(images(len(FAULTS)))
    for row, (column, value, _) in enumerate(FAULTS):
        evidence.images.loc[row, column] = value

    found = violated(check_contract(contract_config, evidence))

    assert found == {title: ((f"n{row}.png", value),) for row, (_, value, title) in enumerate(FAULTS)}


def test_checksums_labels_objects_and_masks_are_held_against_each_other(contract_config, evidence):
    images = evidence.images
    images.loc[0, "stated_sha256"] = "f" * 64
    images.loc[[1, 2], "path"] = "same.png"
    images.loc[3, ["defect", "label"]] = ["crack", 1]
    images.loc[12, ["defect", "label"]] = ["crack", 1]
    images.loc[13, "defect"] = "crack"
    images.loc[14, ["defect", "object_in_training"]] = ["good", "n1.png in train"]
    orphans = pd.DataFrame({"path": ["gt/x.png"], "image": [None]}, dtype=object)

    found = violated(check_contract(contract_config, evidence._replace(masks=orphans)))

    assert found == {
        "the SHA-256 that the data set states": (("n0.png", f"{0:064d} and {'f' * 64}"),),
        "a path of its own": (("same.png", "same.png"), ("same.png", "same.png")),
        "normal images only to train and validate on": (("n3.png", 1), ("v.png", 1)),
        "label 1 for any other defect": (("t.png", 0),),
        "label 0 for defect `good`": (("b.png", 1),),
        "no anomalous image of an object that is trained on": (("b.png", "n1.png in train"),),
        "an image for each mask": (("gt/x.png", None),),
    }


def test_figures_out_of_bounds_are_named(contract_config, evidence):
    wrong = {
        "train_normal": (7, "at least 8 normal images to train on"),
        "val_normal": (0, "at least 1 normal images to validate on"),
        "test_normal": (0, "a normal test image"),
        "test_anomalous": (0, "an anomalous test image"),
        "anomalous_share": (0.99, "5% to 95% of the test images anomalous"),
        "brightness_drift": (0.11, "a mean brightness within 0.1 of the data accepted last"),
        "size_drift": (0.51, "a median side within 50% of the data accepted last"),
    }
    for column, (value, _) in wrong.items():
        evidence.figures.loc[0, column] = value

    found = violated(check_contract(contract_config, evidence))

    assert found == {title: (("mine/nut", value),) for value, title in wrong.values()}


def test_leaks_are_errors_and_likenesses_warnings(contract_config, evidence):
    severity = {finding.title: finding.severity for finding in check_contract(contract_config, evidence)}

    assert severity["no image in two splits"] == "critical"
    assert severity["no near-duplicate in another split"] == "warning"


def test_rows_are_bounded_and_their_count_is_not(contract_config, evidence):
    many = pd.concat([evidence.images] * 20, ignore_index=True)
    many["path"] = [f"{i}.png" for i in range(len(many))]
    many["fault"] = "damaged"

    finding = next(f for f in check_contract(contract_config, evidence._replace(images=many)) if f.violated)

    assert (len(finding.rows), finding.violated) == (MAX_ROWS, len(many))
