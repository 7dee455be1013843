"""From what the user brings to the files: hosts, logins, lists, buckets, folders."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from downloading.sites import QUOTA, Sites

from depthdata.downloading.access import Access, Places, kind_of_url, resolve
from depthdata.downloading.access_bucket import Remote, fetch_remote, list_remote
from depthdata.downloading.access_folder import found_in, put_in_place, verify
from depthdata.downloading.access_hosts import google_drive_id, google_drive_url
from depthdata.downloading.access_links import match_links, name_in, read_links
from depthdata.downloading.access_login import credentials
from depthdata.downloading.engine import Policy, Progress
from depthdata.downloading.mirror import Mirror
from depthdata.downloading.run import How, run
from depthdata.errors import DownloadError, UsageError
from depthdata.sources.card import Archive, Card, Login

QUICK = Policy(first_wait=0.001, longest_wait=0.01, tries=3)


@pytest.fixture
def sites() -> Iterator[Sites]:
    with Sites() as running:
        yield running


def card(*archives: Archive, **facts) -> Card:
    return Card(
        "theirs", "Theirs", "CC0", "https://example.org/terms", "@misc{x}", "https://example.org",
        "open", archives, **facts,
    )  # fmt: skip


def fetched(tmp_path: Path, sites: Sites, *archives: Archive, **options) -> dict[str, str]:
    """Fetch archives behind the server; return the message of each that failed."""
    access = Access(mirror=Mirror(sites.mirror), **options)
    places = Places(tmp_path / "archives", tmp_path)
    report = run(card(*archives), archives, access, places, How(policy=QUICK))
    return {result.name: result.message for result in report.failed}


def raw(name: str, url: str | None, **facts) -> Archive:
    return Archive(name, url, unpack=False, **facts)


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://example.org/a.zip", "open"),
        ("https://example.org/a.tar.bz2?x=1", "open"),
        ("https://example.org/weights.pth", "open"),
        ("https://example.org/weights", "page"),
        ("https://github.com/somebody/something", "page"),
        ("https://forms.gle/abc", "page"),
        ("https://drive.google.com/file/d/1a/view", "google_drive"),
        ("https://www.dropbox.com/s/abc/models.zip", "dropbox"),
        ("https://notdropbox.com/s/", "page"),
        ("https://surfdrive.surf.nl/files/index.php/s/AbC", "nextcloud"),
        ("gs://bucket/a/*.tfrecord", "bucket"),
        ("s3://bucket/a.zip", "bucket"),
    ],
)
def test_kind_of_an_address(url: str, kind: str) -> None:
    assert kind_of_url(url) == kind


# ---------------------------------------------------------------- file hosts


def test_google_drive_past_the_confirmation(sites: Sites, tmp_path: Path) -> None:
    data = bytes(range(256)) * 5000
    sites.google_drive({"1good": data, "1spent": None})
    good = raw("a.zip", "https://drive.google.com/file/d/1good/view?usp=sharing")
    spent = raw("b.zip", "https://drive.google.com/uc?id=1spent")
    failed = fetched(tmp_path, sites, good, spent)
    assert list(failed) == ["b.zip"] and "quota" in failed["b.zip"]
    assert (tmp_path / "a.zip").read_bytes() == data and not (tmp_path / "b.zip").exists()


def test_google_drive_gives_small_files_at_once(sites: Sites, tmp_path: Path) -> None:
    sites.add("https://drive.google.com/uc", b"PK\x03\x04small")
    assert not fetched(tmp_path, sites, raw("a.zip", "https://drive.google.com/uc?id=1x"))
    assert (tmp_path / "a.zip").read_bytes() == b"PK\x03\x04small"


@pytest.mark.parametrize(
    ("page", "said"),
    [
        (QUOTA, "quota is used up"),
        ("<html><title>Sign in</title><input type=password></html>", "login"),
        ("<html><title>Hello</title></html>", "Hello"),
    ],
)
def test_google_drive_pages_are_told_apart(sites: Sites, page: str, said: str) -> None:
    sites.pages["/drive.google.com/uc"] = lambda *_: (200, {}, page.encode())
    with requests.Session() as session, pytest.raises(DownloadError, match=said):
        rewrite = Mirror(sites.mirror).rewrite
        google_drive_url("a.zip", "https://drive.google.com/uc?id=1x", session, rewrite)


def test_google_drive_folder_and_its_folders(sites: Sites, tmp_path: Path) -> None:
    def listing(method, query, cookie):
        file = '<div><a href="https://drive.google.com/file/d/{0}/view"><b>{1}</b></a></div>'
        folder = '<div><a href="https://drive.google.com/drive/folders/{0}"><b>{1}</b></a></div>'
        found = {
            "1top": folder.format("1kitti", "KITTI") + file.format("1readme", "README.txt"),
            "1kitti": file.format("1disp", "disp.tar") + file.format("1ego", "ego.tar"),
        }
        return 200, {}, f"<html>{found[query['id'][0]]}</html>".encode()

    sites.pages["/drive.google.com/embeddedfolderview"] = listing
    sites.google_drive({"1disp": b"disp", "1ego": b"ego"}, strict=False)
    url = "https://drive.google.com/drive/folders/1top"
    several = [raw("disp.tar", url), raw("ego.tar", url), raw("obj.tar", url)]
    failed = fetched(tmp_path, sites, *several)
    assert list(failed) == ["obj.tar"] and "KITTI" in failed["obj.tar"]
    assert (tmp_path / "disp.tar").read_bytes() == b"disp"
    whole = raw("KITTI", url, many=True, extract_to="set")
    assert not fetched(tmp_path, sites, whole)
    assert (tmp_path / "set" / "ego.tar").read_bytes() == b"ego"


def test_a_server_names_no_path_outside(sites: Sites, tmp_path: Path) -> None:
    page = '<a href="https://drive.google.com/file/d/1x/view">..</a>'
    inside = '<a href="https://drive.google.com/drive/folders/1in">KITTI</a>'
    sites.pages["/drive.google.com/embeddedfolderview"] = lambda m, query, c: (
        200, {}, (inside if query["id"] == ["1top"] else page).encode()
    )  # fmt: skip
    url = "https://drive.google.com/drive/folders/1top"
    failed = fetched(tmp_path / "in", sites, raw("KITTI", url, many=True))
    assert "not safe" in failed["KITTI"]


def test_a_folder_that_shows_nothing(sites: Sites, tmp_path: Path) -> None:
    sites.pages["/drive.google.com/embeddedfolderview"] = lambda *_: (200, {}, b"<html></html>")
    url = "https://drive.google.com/drive/folders/1top"
    assert "--from" in fetched(tmp_path, sites, raw("KITTI", url, many=True))["KITTI"]


def test_dropbox_and_nextcloud(sites: Sites, tmp_path: Path) -> None:
    sites.add("https://www.dropbox.com/s/abc/models.zip", b"models")
    sites.add("https://surfdrive.surf.nl/files/index.php/s/AbC/download", b"share")
    assert not fetched(
        tmp_path,
        sites,
        raw("models.zip", "https://www.dropbox.com/s/abc/models.zip?dl=0"),
        raw("share.zip", "https://surfdrive.surf.nl/files/index.php/s/AbC"),
    )
    assert (tmp_path / "models.zip").read_bytes() == b"models"
    assert (tmp_path / "share.zip").read_bytes() == b"share"
    assert any(asked.endswith("models.zip?dl=1") for asked in sites.asked)


def test_a_page_is_no_file(sites: Sites, tmp_path: Path) -> None:
    failed = fetched(tmp_path, sites, raw("w.zip", "https://forms.gle/abc"))
    assert "https://forms.gle/abc" in failed["w.zip"] and "--link" in failed["w.zip"]
    assert not sites.asked


def test_an_id_is_wanted() -> None:
    with pytest.raises(DownloadError, match="id"):
        google_drive_id("https://drive.google.com/drive/my-drive")


# ---------------------------------------------------------------- links


def test_lists_of_any_form(tmp_path: Path) -> None:
    urls = ["https://h/a.zip?x=1&y=2", "https://h/b.zip"]
    (tmp_path / "a.json").write_text(json.dumps({"train": [urls[0]], "n": 3, "t": {"u": urls[1]}}))
    (tmp_path / "mail.txt").write_text(f"Dear,\nclick <{urls[0]}> or\n# https://h/no\n{urls[1]}\n")
    (tmp_path / "named.txt").write_text("c.zip=https://h/download?id=7\n")
    assert read_links(tmp_path / "a.json") == urls == read_links(tmp_path / "mail.txt")
    assert read_links(tmp_path / "named.txt") == ["c.zip=https://h/download?id=7"]


@pytest.mark.parametrize("content", [b"", b"nothing", b"{}", b"\xff\xfe\x00"])
def test_lists_without_an_address(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "links.txt"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="address"):
        read_links(path)


def test_names_in_addresses() -> None:
    assert name_in("https://h/x/a%20b.zip?sig=1") == "a b.zip"
    disposition = "https://h/7?response-content-disposition=attachment%3B%20filename%3Da.zip&s=1"
    assert name_in(disposition) == "a.zip"
    assert name_in("https://h/download?file=a.zip") == "a.zip"


def test_links_find_their_archives() -> None:
    archives = [Archive("a.zip"), Archive("b.zip")]
    links = ["b.zip=https://h/7", "https://h/a.zip?s=1", "https://h/c.zip"]
    found, rest = match_links(archives, links)
    assert found == {"a.zip": "https://h/a.zip?s=1", "b.zip": "https://h/7"}
    assert rest == ["https://h/c.zip"]
    assert match_links(archives[:1], ["https://h/7"]) == ({"a.zip": "https://h/7"}, [])
    for wrong in ("c.zip=https://h/7", "no address", "ftp://h/a.zip"):
        with pytest.raises(UsageError):
            match_links(archives, [wrong])


def test_a_link_takes_the_place_of_the_address(sites: Sites, tmp_path: Path) -> None:
    url = sites.add("https://other.example.org/x/a.zip", b"mine")
    archive = raw("a.zip", "https://gone.example.org/a.zip")
    for number, access in enumerate(
        (
            Access(links=(url,)),
            # a proxy stands before pasted addresses too
            Access(links=("https://other.example.org/x/a.zip",), mirror=Mirror(sites.mirror)),
            # a store is not asked for what there is an address of
            Access(links=(url,), mirror=Mirror(f"{sites.base}/store")),
        )
    ):
        places = Places(tmp_path / str(number), tmp_path / str(number))
        report = run(card(archive), [archive], access, places, How(policy=QUICK))
        assert report.ok and (places.root / "a.zip").read_bytes() == b"mine"


def test_a_store_of_files_by_name(sites: Sites, tmp_path: Path) -> None:
    sites.files["/store/theirs/a.zip"] = b"kept"
    archive = raw("a.zip", None)
    access = Access(mirror=Mirror(f"{sites.base}/store"))
    facts = card(archive, login=LOGIN)  # no login is made
    report = run(facts, [archive], access, Places(tmp_path, tmp_path), How(policy=QUICK))
    assert report.ok and (tmp_path / "a.zip").read_bytes() == b"kept" and not sites.posts


def test_links_of_something_else(tmp_path: Path) -> None:
    archives = (Archive("a.zip"), Archive("b.zip"))
    places = Places(tmp_path, tmp_path)
    with pytest.raises(UsageError, match="NAME=ADDRESS"):
        resolve(card(*archives), archives, Access(links=("https://h/c.zip",)), places)
    path = tmp_path / "links.txt"
    path.write_text("https://h/c.zip\n")
    with pytest.raises(UsageError, match="none of its 1 addresses"):
        resolve(card(*archives), archives, Access(lists=(path,)), places)
    path.write_text("https://h/c.zip\nhttps://h/a.zip\n")
    found = resolve(card(*archives), archives, Access(lists=(path,)), places)
    assert [item.name for item in found.items] == ["a.zip"]
    assert "b.zip" in found.problems and "c.zip" in found.notes[0]


# ---------------------------------------------------------------- logins


LOGIN = Login(
    "https://www.cityscapes-dataset.com/login/",
    "https://www.cityscapes-dataset.com/file-handling/?packageID={key}",
    "https://www.cityscapes-dataset.com/downloads/",
    extra=(("submit", "Login"),),
)


def logged_in(sites: Sites, tmp_path: Path, *archives: Archive, ask=None) -> dict[str, str]:
    access = Access(mirror=Mirror(sites.mirror), ask=ask)
    facts = card(*archives, login=LOGIN)
    report = run(facts, archives, access, Places(tmp_path, tmp_path), How(policy=QUICK))
    return {result.name: result.message for result in report.failed}


def test_login_by_question(sites: Sites, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    sites.cityscapes({"a.zip": ("11", b"PK\x03\x04a"), "b.zip": ("12", b"PK\x03\x04b")})
    hosts = []

    def ask(host: str) -> tuple[str, str]:
        hosts.append(host)
        return "ada", "s3cret"

    archives = (raw("a.zip", None, key="99"), raw("b.zip", None), raw("c.zip", None))
    failed = logged_in(sites, tmp_path / "in", *archives, ask=ask)
    assert list(failed) == ["c.zip"] and "does not list it" in failed["c.zip"]
    assert hosts == ["www.cityscapes-dataset.com"]  # once, and by its own name
    assert (tmp_path / "in" / "a.zip").read_bytes() == b"PK\x03\x04a"
    assert sites.posts == [
        {"token": ["t&1"], "username": ["ada"], "password": ["s3cret"], "submit": ["Login"]}
    ]


def test_the_question_is_asked_once_where_it_fails(
    sites: Sites, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    sites.cityscapes({})
    asked = []
    archives = (raw("a.zip", None), raw("b.zip", None))
    failed = logged_in(
        sites, tmp_path, *archives, ask=lambda host: asked.append(host) or ("ada", "no")
    )
    assert len(failed) == 2 and len(asked) == 1 and len(sites.posts) == 1
    assert "refuses user 'ada' with the password from the question" in failed["b.zip"]


def test_where_credentials_come_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = card(login=LOGIN)
    netrc = tmp_path / "netrc"
    monkeypatch.setenv("NETRC", str(netrc))
    with pytest.raises(DownloadError, match="DEPTHDATA_THEIRS_USER"):
        credentials(facts, LOGIN)
    assert credentials(facts, LOGIN, lambda host: ("u", "p")) == ("u", "p", "the question")
    netrc.write_text("machine www.cityscapes-dataset.com login n password q\n")
    netrc.chmod(0o600)
    assert credentials(facts, LOGIN, lambda host: None) == ("n", "q", "netrc")
    monkeypatch.setenv("DEPTHDATA_THEIRS_USER", "e")
    monkeypatch.setenv("DEPTHDATA_THEIRS_PASSWORD", "r")
    assert credentials(facts, LOGIN) == ("e", "r", "the environment")


# ---------------------------------------------------------------- buckets


@pytest.fixture
def bucket(tmp_path: Path):
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    top = f"/{tmp_path.name}"
    memory.pipe_file(f"{top}/train/a.bin", bytes(range(250)) * 100_000)
    memory.pipe_file(f"{top}/train/b.bin", b"b" * 10)
    return memory, f"memory:/{top}"


def test_files_of_a_bucket(bucket, tmp_path: Path) -> None:
    _, top = bucket
    listed = list_remote(f"{top}/train/*.bin")
    assert [size for _, size in listed] == [25_000_000, 10]
    progress = Progress()
    remotes = [Remote(url, tmp_path / url.rpartition("/")[2], size) for url, size in listed]
    first = fetch_remote(remotes, progress=progress, policy=QUICK)
    assert [outcome.status for outcome in first] == ["ok", "ok"]
    assert [outcome.bytes_fetched for outcome in first] == [25_000_000, 10]
    again = fetch_remote(remotes, policy=QUICK)
    assert [outcome.status for outcome in again] == ["there", "there"]
    assert progress.snapshot().done == 25_000_010
    with pytest.raises(DownloadError, match="nothing is there"):
        list_remote(f"{top}/valid/*.bin")


def test_a_bucket_that_breaks_off(bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory, top = bucket
    remote = Remote(f"{top}/train/a.bin", tmp_path / "a.bin")
    whole, calls = type(memory).cat_file, []

    def breaks(self, path, start=None, end=None, **options):
        calls.append(start)
        if len(calls) > 2:
            raise OSError("connection reset")
        return whole(self, path, start=start, end=end, **options)

    monkeypatch.setattr(type(memory), "cat_file", breaks)
    (failed,) = fetch_remote([remote], policy=QUICK)
    assert failed.status == "failed" and "connection reset" in failed.message
    monkeypatch.setattr(type(memory), "cat_file", whole)
    (done,) = fetch_remote([remote], policy=QUICK)
    assert done.status == "ok" and done.bytes_fetched == 25_000_000 - (16 << 20)
    assert (tmp_path / "a.bin").read_bytes() == memory.cat_file(f"{top}/train/a.bin"[8:])


def test_a_bucket_that_refuses(bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory, top = bucket

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("Anonymous caller does not have storage.objects.get access")

    monkeypatch.setattr(type(memory), "cat_file", refuse)
    (failed,) = fetch_remote([Remote(f"{top}/train/a.bin", tmp_path / "a.bin")], policy=QUICK)
    assert "no access with the credentials" in failed.message and "\n" not in failed.message
    (missing,) = fetch_remote([Remote(f"{top}/no.bin", tmp_path / "no.bin")], policy=QUICK)
    assert "not there" in missing.message


def test_a_wrong_checksum_of_a_bucket_leaves_nothing(bucket, tmp_path: Path) -> None:
    _, top = bucket
    remote = Remote(f"{top}/train/b.bin", tmp_path / "b.bin", sha256="0" * 64)
    (failed,) = fetch_remote([remote], policy=QUICK)
    assert failed.status == "failed" and "sha256" in failed.message
    assert not [path for path in tmp_path.glob("b.bin*")]


# ---------------------------------------------------------------- archives that are there


def test_found_wherever_they_are(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "a.zip").write_bytes(b"1")
    (tmp_path / "deep" / "a.zip").write_bytes(b"2")
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "x.tfrecord").write_bytes(b"3")
    (tmp_path / "training" / "notes.txt").write_bytes(b"4")
    many = Archive("training", "gs://b/training/*.tfrecord", many=True, unpack=False)
    found = found_in(tmp_path, [Archive("a.zip"), Archive("b.zip"), many])
    assert found == {
        "a.zip": [("a.zip", tmp_path / "deep" / "a.zip")],
        "training": [("x.tfrecord", tmp_path / "training" / "x.tfrecord")],
    }
    with pytest.raises(UsageError, match="no such folder"):
        found_in(tmp_path / "no", [])


def test_verified_like_a_download(tmp_path: Path) -> None:
    path, root = tmp_path / "a.zip", tmp_path / "root"
    path.write_bytes(b"PK\x03\x04")
    known = "5e7a2b9f9b4a1a2b"
    for archive, said in (
        (Archive("a.zip", sha256=known.ljust(64, "0")), "sha256 is"),
        (Archive("a.zip", md5="0" * 32), "md5 is"),
        (Archive("a.zip", size=9), "truncated at 4 of 9"),
    ):
        outcome = verify(path, archive, root, Progress())
        assert outcome.status == "failed" and re.search(said, outcome.message)
    path.write_bytes(b"<html>")
    assert "web page" in verify(path, Archive("a.zip"), root, Progress()).message
    path.write_bytes(b"PK\x03\x04")
    right = Archive("a.zip", md5=__import__("hashlib").md5(b"PK\x03\x04").hexdigest())
    assert verify(path, right, root, Progress()).status == "there"
    assert verify(path, Archive("a.zip"), root, Progress()).message.startswith("not verified")


def test_second_names(tmp_path: Path) -> None:
    (tmp_path / "mine").write_bytes(b"abc")
    put_in_place(tmp_path / "mine", tmp_path / "set" / "theirs")
    put_in_place(tmp_path / "mine", tmp_path / "set" / "theirs")
    assert (tmp_path / "set" / "theirs").read_bytes() == b"abc"
    assert [path.name for path in (tmp_path / "set").iterdir()] == ["theirs"]
