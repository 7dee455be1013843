"""Archives that mean harm are refused in one line, and nothing appears outside of the folder."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from downloading.archive_builder import KINDS, build, compressed, entry, files, tar

from depthdata.downloading.archives import Limits, extract
from depthdata.downloading.members import parts_of
from depthdata.errors import DownloadError

TARS = ("tar", "tar.gz", "tar.bz2", "tar.xz")
GOOD = ("good.txt", b"good")

NAMES = {
    "../outside.txt": "has '..' in it",
    "a/../../outside.txt": "has '..' in it",
    "a/b/../c.txt": "has '..' in it",
    "/tmp/outside.txt": "is absolute",
    "//server/share": "is absolute",
    "C:/outside.txt": "drive letter",
    "C:outside.txt": "drive letter",
    "..\\outside.txt": "backslash",
    "a\\b.txt": "backslash",
    "a\nb.txt": "control characters",
    "a\x1b[2Jb.txt": "control characters",
    ".depthdata/a.members": "kept for the state",
    "a/.DepthData/x.json": "kept for the state",
    "CON": "device on Windows",
    "a/aux.txt": "device on Windows",
    "d/" * 65 + "deep.txt": "66 folders deep",
    "n" * 256: "longer than 255 bytes",
    "ü" * 128: "longer than 255 bytes",
    "/".join(["n" * 100] * 25): "longer than 2048 bytes",
}
PAIRS = {
    "twice": ("a.txt", "a.txt", "another member has this name"),
    "twice by a dot": ("a.txt", "./a.txt", "another member has this name"),
    "case": ("a/b.txt", "A/B.TXT", "another member has this name"),
    "sharp s": ("strasse.txt", "straße.txt", "another member has this name"),
    "composed": ("\u00e9.txt", "e\u0301.txt", "another member has this name"),
    "dot at the end": ("a.txt", "a.txt.", "another member has this name"),
    "file then folder": ("a", "a/b.txt", "a file has the name of one of its folders"),
    "folder then file": ("a/b.txt", "A", "a folder has the same name"),
}


def pack(path: Path, *members: tuple[str, bytes]) -> Path:
    """Write an archive by the name's kind; the packers let every name through."""
    kind = path.name.partition(".")[2]
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in members:
                info = zipfile.ZipInfo("x")
                info.filename = name  # the constructor would clean it
                archive.writestr(info, data)
    elif kind == "7z":
        # py7zr refuses to write such names: names of as many letters are exchanged afterwards
        seven(path, *members)
    else:
        path.write_bytes(compressed(tar(*((entry(name), data) for name, data in members)), kind))
    return path


def seven(path: Path, *members: tuple[str, bytes]) -> None:
    """Write a 7z archive whose index is not packed, with other names than the packer allows."""
    import zlib

    import py7zr

    stand_in = [f"{number:0>{len(name)}}" for number, (name, _) in enumerate(members)]
    with py7zr.SevenZipFile(path, "w") as archive:
        archive.set_encoded_header_mode(False)
        for name, (_, data) in zip(stand_in, members, strict=True):
            archive.writestr(data, name)
    found = bytearray(path.read_bytes())
    offset, length = struct.unpack_from("<QQ", found, 12)
    index = bytes(found[32 + offset : 32 + offset + length])
    for name, (wanted, _) in zip(stand_in, members, strict=True):
        old, new = (f"{text}\0".encode("utf-16-le") for text in (name, wanted))
        assert index.count(old) == 1
        index = index.replace(old, new)
    found[32 + offset :] = index
    struct.pack_into("<L", found, 28, zlib.crc32(index))
    struct.pack_into("<L", found, 8, zlib.crc32(bytes(found[12:32])))
    path.write_bytes(found)


@pytest.fixture
def refused(tmp_path: Path) -> Callable[..., None]:
    """Check that an archive is refused, and what that leaves behind."""

    def check(archive: Path, line: str, **options: object) -> None:
        into = tmp_path / "in" / "side"
        before = everything(tmp_path)
        with pytest.raises(DownloadError, match=line) as caught:
            extract(archive, into, **options)  # type: ignore[arg-type]
        assert "\n" not in str(caught.value)
        assert str(archive) in str(caught.value)
        left = everything(tmp_path) - before
        inside = {name for name in left if name.startswith("in/side/") and ".depthdata" not in name}
        indexed = archive.name.endswith((".zip", ".7z", ".tar"))
        assert not indexed or not inside
        assert all(name.startswith("in") for name in left)

    return check


def everything(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


@pytest.mark.parametrize(
    ("kind", "name"),
    # a backslash separates folders in 7z, and is read as that
    [
        (kind, name)
        for kind in ("zip", "tar", "tar.gz", "7z")
        for name in NAMES
        if kind != "7z" or "\\" not in name
    ],
)
def test_names_that_lead_elsewhere(
    tmp_path: Path, kind: str, name: str, refused: Callable[..., None]
) -> None:
    refused(pack(tmp_path / f"a.{kind}", GOOD, (name, b"bad")), NAMES[name])
    assert not Path("/tmp/outside.txt").exists()


@pytest.mark.filterwarnings("ignore:Duplicate name")  # zipfile says so, and writes it
@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
@pytest.mark.parametrize("pair", PAIRS)
def test_names_that_are_one(
    tmp_path: Path, kind: str, pair: str, refused: Callable[..., None]
) -> None:
    first, second, line = PAIRS[pair]
    archive = pack(tmp_path / f"a.{kind}", GOOD, (second, b"bad"), (first, b"bad"))
    if kind == "tar.gz":  # what came before the second is there
        with pytest.raises(DownloadError):
            extract(archive, tmp_path / "out")
    else:
        refused(archive, "is refused: ")
    archive = pack(tmp_path / f"b.{kind}", (first, b"bad"), (second, b"bad"))
    with pytest.raises(DownloadError, match=line):
        extract(archive, tmp_path / "other")


@pytest.mark.parametrize("kind", TARS)
@pytest.mark.parametrize(
    ("type_", "line"),
    [
        (tarfile.SYMTYPE, "a symbolic link"),
        (tarfile.LNKTYPE, "a hard link"),
        (tarfile.FIFOTYPE, "a device"),
        (tarfile.CHRTYPE, "a device"),
        (tarfile.BLKTYPE, "a device"),
        (b"Z", "a device"),
    ],
)
def test_links_and_special_files_of_tar(
    tmp_path: Path, kind: str, type_: bytes, line: str, refused: Callable[..., None]
) -> None:
    data = tar((entry(GOOD[0]), GOOD[1]), (entry("link", type_, "../../target"), b""))
    (tmp_path / f"a.{kind}").write_bytes(compressed(data, kind))
    refused(tmp_path / f"a.{kind}", f"member 'link' is refused: it is {line}")
    extract(tmp_path / f"a.{kind}", tmp_path / "in" / "side", members=["*.txt"])
    assert files(tmp_path / "in" / "side") == dict([GOOD])


@pytest.mark.parametrize("mode", [0o120777, 0o010644, 0o020644, 0o140644])
def test_links_and_special_files_of_zip(
    tmp_path: Path, mode: int, refused: Callable[..., None]
) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(*GOOD)
        info = zipfile.ZipInfo("link")
        info.create_system, info.external_attr = 3, mode << 16
        archive.writestr(info, "/etc/passwd")
    refused(tmp_path / "a.zip", r"'link' is refused: it is a (symbolic link|device)")


def test_links_of_7z(tmp_path: Path, refused: Callable[..., None]) -> None:
    import py7zr

    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "link").symlink_to("file")
    (tmp_path / "source" / "file").write_bytes(b"1")
    with py7zr.SevenZipFile(tmp_path / "a.7z", "w") as archive:
        archive.writeall(tmp_path / "source", "source")
    refused(tmp_path / "a.7z", "'source/link' is refused: it is a symbolic link")


def test_nothing_is_written_through_a_link_that_is_there(tmp_path: Path) -> None:
    outside, into = tmp_path / "outside", tmp_path / "in"
    outside.mkdir()
    into.mkdir()
    (into / "a").symlink_to(outside)
    (into / "good.txt").symlink_to(outside / "new.txt")
    archive = pack(tmp_path / "a.zip", ("a/b.txt", b"1"))
    with pytest.raises(DownloadError, match=r"in/a: is a link in the place of a folder"):
        extract(archive, into)
    archive = pack(tmp_path / "b.zip", GOOD)
    with pytest.raises(DownloadError, match=r"good\.txt: is there with other bytes"):
        extract(archive, into)
    extract(archive, into, existing="replace")
    assert not (into / "good.txt").is_symlink()
    assert list(outside.iterdir()) == []


def test_the_temporary_name_is_no_way_out(tmp_path: Path) -> None:
    from depthdata.downloading.archives_state import Ledger

    into = tmp_path / "in"
    into.mkdir()
    (tmp_path / "victim").write_bytes(b"victim")
    (into / Ledger(into, "a.zip", {}).temporary_name).symlink_to(tmp_path / "victim")
    extract(pack(tmp_path / "a.zip", GOOD), into)
    assert (tmp_path / "victim").read_bytes() == b"victim"
    assert files(into) == dict([GOOD])


@pytest.mark.parametrize("kind", KINDS)
def test_bombs(tmp_path: Path, kind: str, refused: Callable[..., None]) -> None:
    archive = build(tmp_path / f"a.{kind}", kind, {f"{n}": bytes(200_000) for n in range(5)})
    refused(archive, "more than .* unpacked", limits=Limits(bytes=900_000))
    refused(archive, "more than 4 members", limits=Limits(members=4))
    if kind != "tar":
        refused(archive, "above the ratio of 20", limits=Limits(ratio=20, ratio_from=500_000))
    assert extract(archive, tmp_path / "out", limits=Limits(ratio_from=1_000_000)).files == 5


def test_a_bomb_in_a_single_file(tmp_path: Path, refused: Callable[..., None]) -> None:
    (tmp_path / "a.gz").write_bytes(compressed(bytes(1 << 24), "gz"))
    refused(tmp_path / "a.gz", "above the ratio", limits=Limits(ratio_from=1 << 20))
    refused(tmp_path / "a.gz", "unpacked", limits=Limits(bytes=1 << 20))
    assert files(tmp_path / "in") == {}


def test_a_zip_bomb_of_shared_bytes(tmp_path: Path, refused: Callable[..., None]) -> None:
    """Many entries of the index lead to one member."""
    data = bytearray(pack(tmp_path / "a.zip", ("a", bytes(1000)), ("b", bytes(1000))).read_bytes())
    second = data.index(b"PK\1\2", data.index(b"PK\1\2") + 4)
    struct.pack_into("<L", data, second + 42, 0)
    (tmp_path / "a.zip").write_bytes(data)
    refused(tmp_path / "a.zip", "members share the same bytes")


def test_a_zip_that_says_two_things(tmp_path: Path) -> None:
    good = pack(tmp_path / "a.zip", ("name", b"12345")).read_bytes()
    at = good.index(b"PK\1\2")
    for offset, value in ((30, b"eman"), (14, b"1234"), (22, b"\xff\0\0\0"), (8, b"\x08\0")):
        data = bytearray(good)
        data[offset : offset + len(value)] = value
        assert data != good
        (tmp_path / "b.zip").write_bytes(data)
        with pytest.raises(DownloadError, match="its own header differs from the index"):
            extract(tmp_path / "b.zip", tmp_path / "out")
    data = bytearray(good)
    struct.pack_into("<LL", data, at + 20, 4, 4)
    struct.pack_into("<LL", data, 18, 4, 4)
    (tmp_path / "b.zip").write_bytes(data)
    with pytest.raises(DownloadError, match="checksum differs"):
        extract(tmp_path / "b.zip", tmp_path / "out")
    assert files(tmp_path / "out") == {}


def test_sizes_that_lie(tmp_path: Path) -> None:
    """A deflated member gives more, or less, than its index says."""
    for stated, line in ((10, "unpacks to more than its 10 bytes"), (10**6, "ends after 1000 of")):
        data = bytearray(build(tmp_path / "a.zip", "zip", {"a": bytes(1000)}).read_bytes())
        struct.pack_into("<L", data, data.index(b"PK\1\2") + 24, stated)
        struct.pack_into("<L", data, 22, stated)
        (tmp_path / "a.zip").write_bytes(data)
        with pytest.raises(DownloadError, match=line):
            extract(tmp_path / "a.zip", tmp_path / "out")
        assert files(tmp_path / "out") == {}


def test_a_long_header_of_tar(tmp_path: Path, refused: Callable[..., None]) -> None:
    for kind in (b"x", b"g", b"L", b"K"):
        info = entry("a", kind)
        info.size = 1 << 40
        data = info.tobuf(tarfile.GNU_FORMAT) + bytes(4096)
        for name in ("a.tar", "a.tar.gz"):
            (tmp_path / name).write_bytes(compressed(data, name))
            refused(tmp_path / name, "has a header of 1099511627776 bytes")


def test_a_file_of_zeros_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.npy.gz").write_bytes(compressed(bytes(5000), "gz"))
    extract(tmp_path / "a.npy.gz", tmp_path / "out")
    assert files(tmp_path / "out") == {"a.npy": bytes(5000)}
    (tmp_path / "a.tar.gz").write_bytes(compressed(bytes(10240), "gz"))
    assert extract(tmp_path / "a.tar.gz", tmp_path / "out").files == 0


def test_what_only_a_person_can_unpack(tmp_path: Path, refused: Callable[..., None]) -> None:
    data = bytearray(pack(tmp_path / "a.zip", GOOD).read_bytes())
    at = data.index(b"PK\1\2")
    for offset, value, line in (
        (8, 1, "'good.txt' is encrypted; unpack it with its password"),
        (10, 9, r"method 9 \(deflate64\); unpack it by hand"),
        (34, 1, "one part of a split zip archive"),
    ):
        changed = bytearray(data)
        struct.pack_into("<H", changed, at + offset, value)
        (tmp_path / "a.zip").write_bytes(changed)
        refused(tmp_path / "a.zip", line)
    import py7zr

    with py7zr.SevenZipFile(tmp_path / "a.7z", "w", password="secret") as archive:
        archive.writestr(b"1", "a")
    refused(tmp_path / "a.7z", "is encrypted")
    for magic, line in ((b"Rar!\x1a\x07\1\0", "RAR"), (b"\x28\xb5\x2f\xfd", "zstd")):
        (tmp_path / "a.bin").write_bytes(magic + bytes(100))
        refused(tmp_path / "a.bin", f"{line}.*by hand")


def test_what_is_no_archive(tmp_path: Path, refused: Callable[..., None]) -> None:
    (tmp_path / "a.zip").write_bytes(b"<!DOCTYPE html><title>Sign in</title>")
    refused(tmp_path / "a.zip", 'web page "Sign in"')
    (tmp_path / "b.zip").write_bytes(b"hello world" * 100)
    refused(tmp_path / "b.zip", r"is no zip, tar, 7z.*begins with 68 65 6c 6c 6f")
    (tmp_path / "c.zip").write_bytes(b"")
    refused(tmp_path / "c.zip", "is empty")
    (tmp_path / "d.tgz").write_bytes(compressed(b"no tar", "gz"))
    refused(tmp_path / "d.tgz", "holds no tar archive")
    (tmp_path / "folder").mkdir()
    refused(tmp_path / "folder", "is a folder")
    refused(tmp_path / "missing.zip", "is not there; fetch it first")


def test_names_that_are_fine() -> None:
    assert parts_of("./a//b c/ü (1).png", Limits()) == ("a", "b c", "ü (1).png")
    assert parts_of("2011_09_26/console.txt", Limits()) == ("2011_09_26", "console.txt")
    assert parts_of("...", Limits()) == ("...",)
    with tarfile.open(fileobj=io.BytesIO(tar((entry("a"), b""))), mode="r") as archive:
        assert archive.getnames() == ["a"]
