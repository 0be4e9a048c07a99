import io
import stat
import tarfile
import zipfile

import pytest

from stages.download.unpack import unpack

BOUNDS = {"max_bytes": 1 << 20, "max_files": 50}
FILES = {"a/b.txt": b"one", "Ünï.txt": b"two" * 9000}


def write_zip(path, files=FILES):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return path


def write_tar(path, members=(), files=FILES):
    mode = {"gz": "w:gz", "xz": "w:xz", "z2": "w:bz2", "ar": "w"}[path.name[-2:]]
    with tarfile.open(path, mode) as packed:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
        for member in members:
            packed.addfile(member)
    return path


def link(name, target, kind=tarfile.SYMTYPE):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def content(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.gz", "x.tar.xz", "x.tar.bz2", "no_ending_xz"])
def test_an_archive_is_unpacked_whatever_its_kind(tmp_path, name):
    archive = (write_zip if name == "x.zip" else write_tar)(tmp_path / name)

    unpack(archive, tmp_path / "out", **BOUNDS)

    assert content(tmp_path / "out") == FILES


def test_what_macs_add_is_passed_over(tmp_path):
    unpack(write_zip(tmp_path / "x.zip", {"a": b"1", "__MACOSX/._a": b"2", "d/._b": b"3"}), tmp_path / "out", **BOUNDS)

    assert content(tmp_path / "out") == {"a": b"1"}


def test_folders_that_powershell_packs_are_folders(tmp_path):
    files = {"nut\\": b"", "nut\\train\\": b"", "nut\\train\\a.png": b"1", "nut\\__MACOSX\\._b": b"2"}

    unpack(write_zip(tmp_path / "x.zip", files), tmp_path / "out", **BOUNDS)

    assert content(tmp_path / "out") == {"nut/train/a.png": b"1"}


@pytest.mark.parametrize("name", ["..\\x.png", "\\x.png", "C:\\x.png", "a\\..\\..\\x.png"])
def test_a_path_with_backslashes_that_leads_out_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="leads out of the folder"):
        unpack(write_zip(tmp_path / "x.zip", {name: b"1"}), tmp_path / "out", **BOUNDS)


def test_a_link_inside_becomes_what_it_points_to(tmp_path):
    archive = write_tar(tmp_path / "x.tar", [link("a/c.txt", "b.txt"), link("d.txt", "a/b.txt", tarfile.LNKTYPE)])

    unpack(archive, tmp_path / "out", **BOUNDS)

    assert content(tmp_path / "out") == FILES | {"a/c.txt": b"one", "d.txt": b"one"}
    assert not any(path.is_symlink() for path in (tmp_path / "out").rglob("*"))


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/x", "..\\x", "C:/x"])
@pytest.mark.parametrize("write", [write_zip, write_tar])
def test_a_path_that_leads_out_is_refused(tmp_path, write, name):
    archive = write(tmp_path / ("x.zip" if write is write_zip else "x.tar"), files={name: b"evil"})

    with pytest.raises(ValueError, match="leads out of the folder it is unpacked to; refused"):
        unpack(archive, tmp_path / "deep/out", **BOUNDS)

    assert {p.name for p in tmp_path.iterdir()} <= {archive.name, "deep"}


@pytest.mark.parametrize("target", ["/etc/passwd", "../../secret"])
@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_a_link_out_is_refused(tmp_path, target, kind):
    archive = write_tar(tmp_path / "x.tar", [link("a/l", target, kind)])

    with pytest.raises(ValueError, match="a/l is a link out of the archive; refused"):
        unpack(archive, tmp_path / "out", **BOUNDS)


def test_a_link_in_a_zip_is_refused(tmp_path):
    member = zipfile.ZipInfo("l")
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as packed:
        packed.writestr(member, "/etc/passwd")

    with pytest.raises(ValueError, match="l is a link; refused"):
        unpack(tmp_path / "x.zip", tmp_path / "out", **BOUNDS)


def test_a_device_is_refused(tmp_path):
    member = tarfile.TarInfo("null")
    member.type = tarfile.CHRTYPE

    with pytest.raises(ValueError, match="null is neither a file nor a folder; refused"):
        unpack(write_tar(tmp_path / "x.tar", [member]), tmp_path / "out", **BOUNDS)


@pytest.mark.parametrize("write", [write_zip, write_tar])
def test_a_bomb_is_stopped_at_the_bound(tmp_path, write):
    archive = write(tmp_path / ("x.zip" if write is write_zip else "x.tar.xz"), files={"zero": bytes(3 << 20)})

    with pytest.raises(ValueError, match=r"grows beyond 1 MiB at zero; raise download.fetch.max_unpacked_mib"):
        unpack(archive, tmp_path / "out", **BOUNDS)

    assert (tmp_path / "out/zero").stat().st_size <= 1 << 20


def test_a_file_that_just_fits_is_unpacked(tmp_path):
    unpack(write_zip(tmp_path / "x.zip", {"a": bytes(1 << 20)}), tmp_path / "out", **BOUNDS)

    assert (tmp_path / "out/a").stat().st_size == 1 << 20


def test_too_many_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"more than 50 files; raise download.fetch.max_files"):
        unpack(write_zip(tmp_path / "x.zip", {str(i): b"" for i in range(51)}), tmp_path / "out", **BOUNDS)


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.gz", "x.tar.xz"])
@pytest.mark.parametrize("kept", [0.3, 0.7])
def test_a_cut_off_archive_is_refused(tmp_path, name, kept):
    noise = {"noise": bytes(hash((i, 7)) & 255 for i in range(50_000))}
    archive = (write_zip if name == "x.zip" else write_tar)(tmp_path / name, files=noise)
    data = archive.read_bytes()
    archive.write_bytes(data[: int(len(data) * kept)])

    with pytest.raises(ValueError, match=r"damaged or cut off|not an archive, or cut off"):
        unpack(archive, tmp_path / "out", **BOUNDS)


def test_a_flipped_bit_is_found(tmp_path):
    archive = write_zip(tmp_path / "x.zip", {"noise": bytes(hash((i, 7)) & 255 for i in range(5000))})
    data = bytearray(archive.read_bytes())
    data[2000] ^= 4
    archive.write_bytes(data)

    with pytest.raises(ValueError, match="damaged or cut off"):
        unpack(archive, tmp_path / "out", **BOUNDS)


def test_a_locked_archive_is_refused(tmp_path):
    archive = write_zip(tmp_path / "x.zip", {"a": b"1"})
    data = bytearray(archive.read_bytes())
    for header in (data.find(b"PK\x03\x04") + 6, data.find(b"PK\x01\x02") + 8):
        data[header] |= 1
    archive.write_bytes(data)

    with pytest.raises(ValueError, match="a is locked by a password; unpack it by hand"):
        unpack(archive, tmp_path / "out", **BOUNDS)


def test_a_page_instead_of_an_archive_is_refused(tmp_path):
    (tmp_path / "x.zip").write_text("<html>please sign in</html>")

    with pytest.raises(ValueError, match=r"x.zip: not an archive, or cut off; expected one of \.zip"):
        unpack(tmp_path / "x.zip", tmp_path / "out", **BOUNDS)


def test_two_names_of_one_file_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"a\\b\.png and a/b\.png are one file here"):
        unpack(write_zip(tmp_path / "x.zip", {"a\\b.png": b"1", "a/b.png": b"2"}), tmp_path / "out", **BOUNDS)


@pytest.mark.parametrize("files", [{"a": b"1", "a/b": b"2"}, {"a/b": b"2", "a": b"1"}, {".": b"1"}])
def test_a_file_that_is_a_folder_too_is_refused(tmp_path, files):
    with pytest.raises(ValueError, match="refused"):
        unpack(write_zip(tmp_path / "x.zip", files), tmp_path / "out", **BOUNDS)
