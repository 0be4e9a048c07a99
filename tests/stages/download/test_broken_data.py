"""Ways to break a data set: what the user sees, that nothing is half written, and that the exit status is not zero."""

import errno
import io
import json
import os
import re
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from stages.download import stage as download
from stages.download import survey, unpack
from toys.pictures import paint

GOOD = "nut/train/good/00.png"
CRACK = "nut/test/crack/00.png"
MASK = "nut/ground_truth/crack/00_mask.png"


class Workshop:
    """A repository with good data in place, their source to break, and the settings."""

    def __init__(self, settings, root, source, web, monkeypatch):
        self.root, self.source, self.web, self.monkeypatch = root, source, web, monkeypatch
        self.sources, self.category, self.key, self.sha256 = [str(source)], "nut", "nut", None
        self.dataset, self.download = json.loads(json.dumps(settings))

    def save(self):
        self.dataset["sources"] = [{"url": url, "sha256": self.sha256} for url in self.sources]
        params = {
            "categories": {"nut": {"dataset": "mine", "category": self.category}},
            "datasets": {"mine": self.dataset},
            "download": self.download,
        }
        (self.root / "params.yaml").write_text(json.dumps(params))  # JSON is YAML

    def run(self):
        self.save()
        self.monkeypatch.setattr(sys, "argv", ["stages.download", self.key])
        download.main()

    def paint(self, name, mode="L", size=(40, 48)):
        paint(self.source / name, seed=77, size=size, mode=mode)

    def cut(self, name):
        data = (self.source / name).read_bytes()
        (self.source / name).write_bytes(data[: len(data) // 2])

    def pack(self, kind="zip", name="mine"):
        archive = Path(shutil.make_archive(self.root.parent / name, kind, self.source))
        self.sources = [str(archive)]
        return archive

    def serve(self, data=b"", status=None, break_after=None):
        self.sources = [f"{self.web.url}/mine.zip"]
        self.web.files["mine.zip"] = data
        if status:
            self.web.statuses["mine.zip"] = status
        if break_after:
            self.web.break_after["mine.zip"] = break_after

    def store(self, status=None, break_after=None):
        for name, value in {
            "AWS_ENDPOINT_URL": self.web.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            self.monkeypatch.setenv(name, value)
        self.serve(bytes(100_000), status, break_after)
        self.web.files["factory/mine.zip"] = self.web.files.pop("mine.zip")
        self.web.statuses = {f"factory/{k}": v for k, v in self.web.statuses.items()}
        self.web.break_after = {f"factory/{k}": v for k, v in self.web.break_after.items()}
        self.sources = ["s3://factory/mine.zip"]

    def table(self, text):
        self.dataset["layout"] = "csv"
        (self.source / "nut.csv").write_text(text)

    def refuse(self, owner, name, number):
        """Let a call into the operating system fail, as root or a roomy disk would not."""

        def fail(*args, **options):
            raise OSError(number, "as the test wants it", "the/file")

        self.monkeypatch.setattr(owner, name, fail)

    def refuse_reading(self):
        """Let the photographs that are offered be no more readable than another user's are."""
        read = Path.read_bytes

        def fail(path):
            if path.is_relative_to(self.source):
                raise PermissionError(errno.EACCES, "as the test wants it", str(path))
            return read(path)

        self.monkeypatch.setattr(Path, "read_bytes", fail)


def zip_slip(w):
    with zipfile.ZipFile(w.pack(), "a") as packed:
        packed.writestr("../../evil.txt", "evil")


def zip_link(w):
    member = zipfile.ZipInfo("nut/link")
    member.external_attr = 0o120777 << 16
    with zipfile.ZipFile(w.pack(), "a") as packed:
        packed.writestr(member, "/etc/passwd")


def tar_with(w, **fields):
    member = tarfile.TarInfo("nut/link")
    for name, value in fields.items():
        setattr(member, name, value)
    with tarfile.open(w.pack("tar"), "a") as packed:
        packed.addfile(member, io.BytesIO())


def halve(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def full_disk_while_unpacking(w):
    """Only what is unpacked meets the full disk."""
    w.pack()
    open_it = unpack.Path.open

    def fail(path, mode="r", *args, **options):
        if mode == "wb" and ".local" in path.parts:
            raise OSError(errno.ENOSPC, "No space left on device", "the/file")
        return open_it(path, mode, *args, **options)

    w.monkeypatch.setattr(unpack.Path, "open", fail)


def bomb(w):
    w.download["fetch"]["max_unpacked_mib"] = 1
    (w.source / "nut/zeros").write_bytes(bytes(2 << 20))
    w.pack()


def crowd(w):
    w.download["fetch"]["max_files"] = 3
    w.pack()


def animate(w):
    frames = [Image.new("L", (48, 40), grey) for grey in (10, 200)]
    frames[0].save(w.source / "nut/train/good/99.gif", save_all=True, append_images=frames[1:])


def pages(w):
    frames = [Image.new("L", (48, 40), grey) for grey in (10, 200)]
    frames[0].save(w.source / "nut/train/good/99.tiff", save_all=True, append_images=frames[1:])


def huge(w):
    Image.new("1", (10_000, 10_000)).save(w.source / "nut/train/good/99.png")


def stated(w):
    (w.source / "MANIFEST.sha256").write_text(f"{'0' * 64}  {GOOD}\n")


def copy_to(name):
    return lambda w: shutil.copy(w.source / GOOD, w.source / name)


def write(name, content):
    return lambda w: (w.source / name).write_bytes(content)


def mask_of(fill, size=(48, 40)):
    return lambda w: Image.new("L", size, fill).save(w.source / MASK)


def remove(name):
    return lambda w: (w.source / name).unlink()


def setting(part, name, value):
    return lambda w: getattr(w, part).__setitem__(name, value)


CASES = {
    # Archives.
    "truncated zip": (lambda w: halve(w.pack()), r"mine.zip: not an archive, or cut off"),
    "truncated tar.xz": (lambda w: halve(w.pack("xztar")), r"mine.tar.xz: damaged or cut off"),
    "truncated tar.gz": (lambda w: halve(w.pack("gztar")), r"mine.tar.gz: damaged or cut off"),
    "zip slip": (zip_slip, r"mine.zip: ../../evil.txt leads out of the folder it is unpacked to; refused"),
    "zip with a link": (zip_link, r"mine.zip: nut/link is a link; refused"),
    "tar with a link out": (
        lambda w: tar_with(w, type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        r"mine.tar: nut/link is a link out of the archive; refused",
    ),
    "tar with a device": (lambda w: tar_with(w, type=tarfile.CHRTYPE), r"nut/link is neither a file nor a folder"),
    "wrong checksum of a file": (
        lambda w: (w.pack(), setattr(w, "sha256", "0" * 64)),
        rf"mine.zip: expected SHA-256 {'0' * 64}, got [0-9a-f]{{64}}",
    ),
    "zip bomb": (bomb, r"mine.zip: grows beyond 1 MiB at nut/zeros; raise download.fetch.max_unpacked_mib"),
    "too many files": (crowd, r"mine.zip: more than 3 files; raise download.fetch.max_files"),
    "a page named zip": (lambda w: w.serve(b"<html>sign in</html>"), r"mine.zip: not an archive, or cut off"),
    "disk full while unpacking": (full_disk_while_unpacking, r"the disk is full \(the/file\); free some space"),
    # Servers.
    "server down": (lambda w: setattr(w, "sources", ["http://127.0.0.1:9/mine.zip"]), r"mine.zip: no answer .*refused"),
    "web 404": (lambda w: w.serve(status=404), r"mine.zip: the server answered 404 Not Found"),
    "web 403": (lambda w: w.serve(status=403), r"mine.zip: the server answered 403 Forbidden"),
    "web 500": (lambda w: w.serve(status=500), r"the server answered 500 Internal Server Error, 2 times; run again"),
    "mirror down midway": (
        lambda w: w.serve(bytes(90_000), break_after=40_000),
        r"mine.zip: the connection broke after 40000 of 90000 bytes, 2 times; run again to resume",
    ),
    "slow web": (lambda w: w.serve(status="silent"), r"mine.zip: no answer \(timed out\), 2 times"),
    "wrong checksum from the web": (
        lambda w: (w.serve(b"something else"), setattr(w, "sha256", "0" * 64)),
        r"mine.zip: expected SHA-256 0{64}, got .*; what came was deleted",
    ),
    "S3 403": (lambda w: w.store(403), r"s3://factory/mine.zip: access denied; check AWS_ACCESS_KEY_ID"),
    "S3 404": (lambda w: w.store(404), r"s3://factory/mine.zip: no such object"),
    "S3 503": (lambda w: w.store(503), r"s3://factory/mine.zip: the store answered 503, 2 times"),
    "slow S3": (lambda w: w.store("silent"), r"s3://factory/mine.zip: no answer \(ReadTimeoutError\), 2 times"),
    "S3 broken midway": (lambda w: w.store(break_after=5000), r"s3://factory/mine.zip: the connection broke after \d+"),
    # Settings.
    "no source": (lambda w: w.sources.clear(), r"no source and no mirror is named for this data set"),
    "no such folder": (lambda w: setattr(w, "sources", ["/nowhere"]), r"/nowhere: no such folder or archive"),
    "no such package": (lambda w: setattr(w, "sources", ["package:nothing"]), r"package:nothing: not installed; run"),
    "no such category": (
        setting("__dict__", "category", "nuts"),
        r"no category `nuts` \(expected nuts/train\); it holds nut",
    ),
    "no such key": (setting("__dict__", "key", "bolt"), r"params.yaml: no `bolt` in `categories`; it holds nut"),
    "misspelt setting": (setting("dataset", "licenze", "x"), r"params.yaml: unknown key `datasets.mine.licenze`"),
    "unknown layout": (setting("dataset", "layout", "mvtek"), r"`datasets.mine.layout`: .*got 'mvtek'"),
    # Folders.
    "empty train/good": (
        lambda w: shutil.rmtree(w.source / "nut/train/good"),
        r"at least 8 normal images to train on; got 0",
    ),
    "empty category": (
        lambda w: (shutil.rmtree(w.source / "nut"), (w.source / "nut/train").mkdir(parents=True)),
        r"nut: no image of category `nut`",
    ),
    "defect to train on": (
        lambda w: w.paint("nut/train/crack/0.png"),
        r"train/crack/0.png: expected normal images only",
    ),
    "image beside the folders": (
        lambda w: w.paint("nut/train/0.png"),
        r"train/0.png: expected it in a folder named good",
    ),
    "nothing to validate on": (
        setting("download", "val_fraction", 0.0),
        r"at least 1 normal images to validate on; got 0",
    ),
    "disk full while copying": (
        lambda w: w.refuse(survey.Path, "write_bytes", errno.ENOSPC),
        r"the disk is full \(the/file\)",
    ),
    "permission denied": (
        lambda w: w.refuse_reading(),
        r"train/good/00.png: expected an image .*; got may not be read; give yourself the permission",
    ),
    # Images.
    "zero-byte file": (write(GOOD, b""), r"train/good/00.png: expected an image .*; got the file is empty \(0 bytes\)"),
    "text named .png": (write(GOOD, b"hello"), r"train/good/00.png: expected an image .*; got not an image"),
    "stray text": (
        write("nut/train/good/notes.txt", b"hello"),
        r"train/good/notes.txt: expected an image .*; got not an image",
    ),
    "truncated png": (lambda w: w.cut(GOOD), r"train/good/00.png: expected an image .*; got damaged or cut off"),
    "truncated jpg": (
        lambda w: (w.paint("nut/test/good/9.jpg", size=(200, 200)), w.cut("nut/test/good/9.jpg")),
        r"test/good/9.jpg: expected an image .*; got damaged or cut off",
    ),
    "animation": (animate, r"99.gif: expected an image .*; got animated or of many pages \(2 frames\)"),
    "many pages": (pages, r"99.tiff: expected an image .*; got animated or of many pages \(2 frames\)"),
    "decompression bomb": (huge, r"99.png: expected an image .*; got more than 89478485 pixels"),
    "too large": (
        lambda w: w.paint("nut/test/good/9.png", size=(1100, 1000)),
        r"9.png: expected at most 1 megapixels; got 1.1",
    ),
    "too small": (
        lambda w: w.paint("nut/test/good/9.png", size=(8, 40)),
        r"9.png: expected a height of at least 16 px; got 8",
    ),
    "unwanted pixel format": (
        lambda w: w.paint("nut/test/good/9.tif", mode="CMYK"),
        r"9.tif: expected a pixel format among L, RGB; got CMYK",
    ),
    "another checksum than stated": (
        stated,
        r"train/good/00.png: expected the SHA-256 that the data set states; got .* and 0{64}",
    ),
    "duplicate across splits": (
        copy_to("nut/test/good/9.png"),
        r"test/good/9.png: expected no image in two splits; got train/good/00.png",
    ),
    "one name, two endings": (
        lambda w: w.paint("nut/train/good/00.jpg"),
        r"00.png: expected a name that differs in more than its ending; got .*00.jpg",
    ),
    # Masks.
    "mask for a normal image": (
        lambda w: (
            (w.source / "nut/ground_truth/good").mkdir()
            or Image.new("L", (48, 40), 9).save(w.source / "nut/ground_truth/good/00_mask.png")
        ),
        r"test/good/00.png: expected a mask .*; got ground_truth/good/00_mask.png, a mask for a normal image",
    ),
    "missing mask": (
        remove(MASK),
        r"test/crack/00.png: expected a mask .*; got no mask, though other anomalous images have one",
    ),
    "mask of another size": (
        mask_of(255, (20, 40)),
        r"crack/00.png: expected a mask .*; got .*: 20 x 40 px for an image of 48 x 40 px",
    ),
    "empty mask": (
        mask_of(0),
        r"test/crack/00.png: expected a mask .*; got ground_truth/crack/00_mask.png: marks nothing",
    ),
    "full mask": (mask_of(255), r"test/crack/00.png: expected a mask .*: marks everything"),
    "mask that is text": (write(MASK, b"hello"), r"test/crack/00.png: expected a mask .*00_mask.png: not an image"),
    "mask without an image": (remove(CRACK), r"ground_truth/crack/00_mask.png: expected an image for each mask"),
    # Tables.
    "table without a column": (lambda w: w.table("file,label\n"), r"nut.csv: expected the columns path, label"),
    "label out of range": (
        lambda w: w.table("path,label\na.png,2\n"),
        r"nut.csv, line 2: expected label 0 \(normal\) or 1",
    ),
    "path out of the folder": (
        lambda w: w.table("path,label\n../a.png,0\n"),
        r"nut.csv, line 2: expected a path below",
    ),
    "row without a file": (
        lambda w: w.table("path,label\ngone.png,0\n"),
        r"gone.png: expected an image .*no such file",
    ),
    "one file twice": (lambda w: w.table(f"path,label\n{GOOD},0\n{GOOD},0\n"), r"00.png: expected a path of its own"),
}


TEMPORARY = {"server down", "web 500", "mirror down midway", "slow web", "S3 503", "slow S3", "S3 broken midway"}
"""Cases that another attempt may mend: the stage leaves with a status of its own."""


def state(root):
    """Return what later stages and DVC see, byte by byte."""
    kept = [p for p in root.rglob("*") if p.is_file() and not {".local", "refused"} & set(p.parts)]
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in kept if p.name != "params.yaml"}


@pytest.fixture(scope="module")
def accepted(tmp_path_factory, nut, settings):
    """A repository in which good data were accepted."""
    root = tmp_path_factory.mktemp("accepted")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(root)
        Workshop(settings, root, nut, None, monkeypatch).run()
    return root


@pytest.fixture
def workshop(tmp_path, accepted, nut, settings, web, monkeypatch):
    root = Path(shutil.copytree(accepted, tmp_path / "repository"))
    source = Path(shutil.copytree(nut, tmp_path / "source"))
    monkeypatch.chdir(root)
    monkeypatch.delenv("DATA_MIRROR", raising=False)
    return Workshop(settings, root, source, web, monkeypatch)


@pytest.mark.parametrize("case", CASES)
def test_broken_data_are_refused_in_a_line_and_the_good_ones_stay(workshop, case, capsys):
    break_it, line = CASES[case]
    before = state(workshop.root)
    break_it(workshop)

    with pytest.raises(SystemExit) as refusal:
        workshop.run()

    if case in TEMPORARY:
        assert refusal.value.code == os.EX_TEMPFAIL
        message = "error: " + capsys.readouterr().err.partition("error: ")[2]
    else:
        message = str(refusal.value.code)
        assert message.startswith("error: ")
    assert any(re.search(line, told) for told in message.splitlines()), message
    assert state(workshop.root) == before


def test_all_faults_of_a_data_set_are_told_at_once(workshop):
    for break_it, _ in (CASES[name] for name in ("zero-byte file", "empty mask", "too small")):
        break_it(workshop)

    with pytest.raises(SystemExit) as refusal:
        workshop.run()

    lines = str(refusal.value.code).splitlines()
    assert len(lines) == 4
    assert lines[-1] == "the data of mine/nut break their contract; see reports/mine/nut/refused/validation.html"


def test_the_refused_verdict_is_written_beside_the_accepted_one(workshop):
    CASES["empty mask"][0](workshop)

    with pytest.raises(SystemExit):
        workshop.run()

    refused = json.loads((workshop.root / "reports/mine/nut/refused/validation.json").read_text())
    assert refused["accepted"] is False
    assert json.loads((workshop.root / "reports/mine/nut/validation.json").read_text())["accepted"] is True


def test_good_data_after_refused_ones_are_accepted(workshop):
    before = state(workshop.root)
    CASES["zero-byte file"][0](workshop)
    with pytest.raises(SystemExit):
        workshop.run()
    shutil.copy(workshop.root / "data/mine/nut/images/train/good/00.png", workshop.source / GOOD)

    workshop.run()

    assert state(workshop.root) == before
    assert not (workshop.root / "reports/mine/nut/refused").exists()
