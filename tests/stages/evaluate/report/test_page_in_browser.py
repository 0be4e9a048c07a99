"""The page in a real Chromium, at the width of a desk and of a hand."""

import os
import shutil

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

WIDTHS = (1440, 390)
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PATIENCE_MS = 240_000
"""On a machine that is busy; nothing waits longer than it must."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH; infra/chromium.sh installs Debian's, as root"),
]

# Every second image anomalous; the scores rise with some disorder, so that there are misses and false alarms.
LABELS = np.arange(60) % 2
SCORES = np.round(np.random.default_rng(0).normal(0.42 + 0.16 * LABELS, 0.12).clip(0.01, 0.99), 4)


@pytest.fixture(scope="module")
def browser():
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        # Chromium's sandbox refuses to work for root.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments, timeout=PATIENCE_MS)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser):
    """Opens a page; at the end, nothing may stand on its console and nothing may have been asked for elsewhere."""
    visits = []

    def visit(file, width=1440, scheme="light", *, missing=False):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        said, asked = [], []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(file.as_uri())
        visits.append((file, context, said, asked, missing))
        return page

    yield visit
    for file, context, said, asked, missing in visits:
        context.close()
        assert [url for url in asked if not url.startswith(file.parent.as_uri())] == []
        # A browser tells of each file that is not there.
        assert [text for text in said if not (missing and "ERR_FILE_NOT_FOUND" in text)] == []


@pytest.fixture(scope="module")
def toys(tmp_path_factory, write_review):
    toys = write_review(tmp_path_factory.mktemp("toys"), LABELS, SCORES)
    shutil.copy(toys.folder / "source-0.png", toys.folder / "synthetic.png")
    return toys


@pytest.fixture(scope="module")
def versions(tmp_path_factory, write_review):
    """The second model is wrong where the first was right, and the other way round, on some images."""
    before = np.roll(SCORES, 2)
    versions = write_review(tmp_path_factory.mktemp("versions"), LABELS, SCORES, before=before)
    shutil.copy(versions.folder / "source-0.png", versions.folder / "synthetic.png")
    return versions


def counted(page, model=0):
    return {
        kind: int(page.locator(f"#counts-{model} [data-count={kind}]").inner_text())
        for kind in ("found", "missed", "alarm", "passed")
    }


def truth(threshold, scores=SCORES):
    flagged = scores >= threshold
    return {
        "found": int((flagged & (LABELS == 1)).sum()),
        "missed": int((~flagged & (LABELS == 1)).sum()),
        "alarm": int((flagged & (LABELS == 0)).sum()),
        "passed": int((~flagged & (LABELS == 0)).sum()),
    }


def threshold_of(page, model=0):
    return float(page.locator(f"#slider-{model}").input_value())


def names(page):
    return page.locator("#grid .name").all_inner_texts()


def scores(page):
    return [float(text) for text in page.locator("#grid .row span:last-child").all_inner_texts()]


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_draws_all_its_charts_and_fits_the_screen(visit, toys, width):
    page = visit(toys.file, width)

    for chart in ("histogram-0", "roc", "pr", "pro", "losses", "validation"):
        page.wait_for_selector(f"#{chart} .main-svg")
    expect(page.locator("#grid .card")).to_have_count(48)
    assert page.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize("width", WIDTHS)
def test_dragging_the_threshold_recounts_misses_and_false_alarms(visit, toys, width):
    page = visit(toys.file, width)
    chart = page.locator("#histogram-0")
    page.wait_for_selector("#histogram-0 .main-svg")
    assert counted(page) == truth(0.5)
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()

    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.5 * box["height"], steps=3)
    while_dragging = counted(page)
    page.mouse.up()

    threshold = threshold_of(page)
    assert threshold < 0.45
    assert while_dragging == counted(page) == truth(threshold) != truth(0.5)
    line = page.evaluate("document.getElementById('histogram-0').layout.shapes[0].x0")
    assert line == pytest.approx(threshold)
    page.locator("#reset-0").click()
    assert counted(page) == truth(0.5)


def test_the_slider_does_the_same_for_the_keyboard_and_the_gallery_follows(visit, toys):
    page = visit(toys.file)

    page.locator("#slider-0").focus()
    page.keyboard.press("Home")

    assert counted(page) == {"found": 30, "missed": 0, "alarm": 30, "passed": 0}
    expect(page.locator("#grid .tag").first).to_have_text("false alarm")
    assert page.locator("[data-defect='0-0']").inner_text() == "30"


def test_sorting_by_score_and_by_error(visit, toys):
    page = visit(toys.file)
    error = np.where(LABELS == 1, 0.5 - SCORES, SCORES - 0.5)
    assert names(page) == [toys.names[i] for i in np.argsort(-error, kind="stable")[:48]]

    page.locator("[name=sort]").select_option("falling")
    falling = scores(page)
    page.locator("[name=sort]").select_option("rising")
    rising = scores(page)

    assert falling == sorted(falling, reverse=True)
    assert falling[0] == round(SCORES.max(), 3)
    assert rising == sorted(rising)


@pytest.mark.parametrize(
    ("filters", "keep"),
    [
        ({"outcome": "missed"}, (LABELS == 1) & (SCORES < 0.5)),
        ({"outcome": "alarm"}, (LABELS == 0) & (SCORES >= 0.5)),
        ({"outcome": "wrong"}, (LABELS == 1) != (SCORES >= 0.5)),
        ({"verdict": "flagged", "outcome": "right"}, (LABELS == 1) & (SCORES >= 0.5)),
        ({"defect": "1", "verdict": "unflagged"}, (LABELS == 0) & (SCORES < 0.5)),
    ],
)
def test_filters_keep_what_they_say(visit, toys, filters, keep):
    page = visit(toys.file)

    for name, value in filters.items():
        page.locator(f"[name={name}]").select_option(value)

    assert set(names(page)) == {toys.names[i] for i in np.flatnonzero(keep)}
    assert page.locator("#shown").inner_text() == f"{keep.sum()} of 60 images."


def test_a_keyboard_walks_the_gallery_and_the_viewer(visit, toys):
    page = visit(toys.file)
    order = names(page)
    focused = "document.activeElement.querySelector('.name')?.textContent"
    page.locator("#grid .card").first.focus()

    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    assert page.evaluate(focused) == order[1]
    page.keyboard.press("Enter")
    expect(page.locator("#viewer-title")).to_have_text(order[1])
    page.keyboard.press("ArrowRight")
    expect(page.locator("#viewer-title")).to_have_text(order[2])
    page.keyboard.press("Escape")

    expect(page.locator("#viewer")).to_be_hidden()
    expect(page.locator("#grid .card:focus .name")).to_have_text(order[2])  # the event "close" follows the closing
    page.keyboard.press("End")
    expect(page.locator("#grid .card")).to_have_count(60)


def test_all_pictures_of_an_image_zoom_and_move_as_one(visit, toys):
    page = visit(toys.file)
    page.locator("#grid .card").first.click()
    shift = "[...document.querySelectorAll('.panel .stack')].map((stack) => getComputedStyle(stack).transform)"
    assert page.evaluate(shift) == ["matrix(1, 0, 0, 1, 0, 0)"] * 4

    page.keyboard.press("+")
    page.keyboard.press("+")
    page.keyboard.press("Shift+ArrowLeft")

    moved = page.evaluate(shift)
    assert len(set(moved)) == 1
    assert moved[0].startswith("matrix(2.25, 0, 0, 2.25, -")
    page.keyboard.press("0")
    assert page.evaluate(shift) == ["matrix(1, 0, 0, 1, 0, 0)"] * 4


def test_mask_outlines_are_drawn_on_anomalous_images_and_can_be_put_out(visit, toys):
    page = visit(toys.file)
    page.locator("[name=outcome]").select_option("missed")
    outline = page.locator("#grid .outline").first
    expect(outline).to_be_visible()
    outline.scroll_into_view_if_needed()

    page.locator("[name=outlines]").uncheck()

    expect(page.locator("#grid .outline").first).to_be_hidden()


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (390, "light"), (1440, "dark")])
@pytest.mark.parametrize("which", ["toys", "versions"])
def test_axe_finds_no_serious_barrier(visit, request, which, width, scheme):
    page = visit(request.getfixturevalue(which).file, width, scheme)
    page.wait_for_selector("#validation .main-svg")
    found = Axe().run(page).response["violations"]
    page.locator("#grid .card").first.click()
    found += Axe().run(page, context="#viewer").response["violations"]

    serious = {one["id"]: one["nodes"][0]["html"] for one in found if one["impact"] in ("serious", "critical")}

    assert serious == {}


def test_a_comparison_shows_what_changed_image_by_image(visit, versions):
    page = visit(versions.file)
    before, after = (np.roll(SCORES, 2) >= 0.5) != LABELS, (SCORES >= 0.5) != LABELS
    expected = {"better": before & ~after, "worse": ~before & after, "bad": before & after, "good": ~before & ~after}

    told = dict(zip(expected, page.locator("#changes .number").all_inner_texts(), strict=True))
    page.locator("[name=change]").select_option("worse")

    assert told == {name: str(which.sum()) for name, which in expected.items()}
    assert set(names(page)) == {versions.names[i] for i in np.flatnonzero(expected["worse"])}
    assert page.locator("#grid li").first.locator(".stack").count() == 2
    assert "better" in page.locator("#changes table").inner_text()


@pytest.mark.parametrize("label", [0, 1])
def test_one_image_without_masks_makes_a_page_that_says_what_is_missing(visit, write_review, tmp_path, label):
    one = write_review(tmp_path, [label], [0.7], masks=False)

    page = visit(one.file, missing=True)

    page.wait_for_selector("#histogram-0 .main-svg")
    expect(page.locator("#grid .card")).to_have_count(1)
    text = page.locator("main").inner_text()
    assert "No test image has a mask" in text
    assert "No curve: there is no anomalous image." in text
    page.locator("#training-data").scroll_into_view_if_needed()
    expect(page.get_by_text("picture missing: synthetic.png")).to_be_visible()
    assert ("There is no anomalous test image" in text) == (label == 0)


def test_names_are_text_whatever_they_hold(visit, write_review, tmp_path):
    evil = [
        "</script><script>window.hit = 1</script>.png",
        '"><img src=x onerror="window.hit = 1">.png',
        "'; window.hit = 1; '.png",
        "{{ 7 * 7 }} Größe 裂纹 \u202e.png",
    ]
    page = visit(write_review(tmp_path, [0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4], names=evil).file, missing=True)

    page.locator("[name=sort]").select_option("name")
    page.locator("#grid .card").first.click()

    assert page.locator("#grid .name").evaluate_all("all => all.map((one) => one.textContent)") == evil
    assert page.locator("#viewer-title").text_content() == evil[0]
    assert page.evaluate("window.hit") is None


def test_missing_pictures_and_a_missing_library_are_said_in_their_place(visit, write_review, tmp_path):
    page_files = write_review(tmp_path, [0, 1], [0.1, 0.9])
    (tmp_path / "report" / "00001-0-heat.webp").unlink()
    (tmp_path / "report" / "plotly.min.js").unlink()

    page = visit(page_files.file, missing=True)

    expect(page.get_by_text("picture missing: report/00001-0-heat.webp")).to_be_visible()
    expect(page.get_by_text("report/plotly.min.js is missing: no chart.").first).to_be_visible()
    expect(page.locator("#grid .card")).to_have_count(2)


def test_two_thousand_images_open_with_the_pictures_of_one_screen(visit, write_review, tmp_path):
    rng = np.random.default_rng(0)
    many = write_review(tmp_path, np.arange(2000) % 2, rng.random(2000), pictures=1)

    page = visit(many.file, missing=True)

    expect(page.locator("#shown")).to_have_text("2000 of 2000 images.")
    expect(page.locator("#grid .card")).to_have_count(48)
    page.locator("#more").click()
    expect(page.locator("#grid .card")).to_have_count(96)


def test_a_page_alone_tells_that_its_folder_is_missing_and_keeps_its_figures(visit, toys, tmp_path):
    """As MLflow shows it."""
    alone = shutil.copy(toys.file, tmp_path / "index.html")

    page = visit(alone, missing=True)

    expect(page.locator("#unstarted")).to_be_visible()
    assert "0.900" in page.locator("#figures").inner_text()
