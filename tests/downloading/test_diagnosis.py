"""Evidence in, one true line out."""

from __future__ import annotations

import re

import pytest
from downloading.hostile_server import LOGIN_PAGE, QUOTA_PAGE
from hypothesis import given
from hypothesis import strategies as st

from depthdata.downloading import diagnosis

CONFIRMATION = b"""<!DOCTYPE html><head><title>Google Drive - Virus scan warning</title></head>
<body>Google Drive can't scan this file for viruses. <input value="Download anyway"></body></html>
"""
EXPIRED = b'<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Request has expired'


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (LOGIN_PAGE, "login"),
        (QUOTA_PAGE, "quota"),
        (CONFIRMATION, "confirmation"),
        (EXPIRED, "expired"),
        (b"<html><title>Scheduled maintenance</title>", "busy"),
        (b"<html>Please read the License Agreement", "licence"),
        (b"<html><title>Welcome</title>", "page"),
    ],
)
def test_pages_are_told_apart(body: bytes, kind: str) -> None:
    assert diagnosis.page_kind(body) == kind
    assert diagnosis.looks_like_page(body, "images.zip")
    line = diagnosis.page_line("images.zip", "https://me:pw@host/a/images.zip?sig=1", body)
    assert line.startswith("images.zip: https://host/a/images.zip gave a web page")
    assert "\n" not in line and "pw" not in line and "sig=" not in line


@pytest.mark.parametrize(
    "head",
    [
        b"PK\x03\x04<html>",
        b"\x1f\x8b\x08",
        b"\x89PNG\r\n",
        b"",
        b"{}",
        b"# a text of the dataset\n1 2 3",
    ],
)
def test_files_are_no_pages(head: bytes) -> None:
    for name in ("a.zip", "a.tar.gz", "a.bin", "a.txt"):
        assert not diagnosis.looks_like_page(head, name)


def test_what_should_be_a_page_may_be_one() -> None:
    assert not diagnosis.looks_like_page(LOGIN_PAGE, "README.html")
    assert diagnosis.looks_like_page(b'{"error": {"code": 403}}', "a.zip")
    assert not diagnosis.looks_like_page(b'{"error": 0}', "errors.json")


@given(st.binary(max_size=600), st.text(max_size=30))
def test_any_bytes_make_one_line(data: bytes, name: str) -> None:
    diagnosis.looks_like_page(data, name)
    line = diagnosis.page_line("a.zip", "http://host/a.zip", data)
    assert "\n" not in line and len(line) < 400
    assert "\n" not in diagnosis.status_line("a.zip", name, 403, data)


def test_digests_differ_for_a_reason() -> None:
    def line(**evidence: object) -> str:
        return diagnosis.digest_line("a.zip", "sha256", "11", "22", **evidence)  # type: ignore[arg-type]

    assert line(size=10).startswith("a.zip: sha256 is 11, expected 22: republished upstream")
    assert line(size=10, expected_size=99).endswith("truncated at 10 of 99 B")
    assert "as long as expected, other content" in line(size=9, expected_size=9)
    assert '(ETag "x")' in line(size=9, expected_size=9, validator='ETag "x"')
    assert "quota" in line(size=9, head=QUOTA_PAGE)


def test_truncation_says_how_far_it_came() -> None:
    line = diagnosis.truncated_line("a.zip", 3_100_000_000, 9_000_000_000, "silence", 8)
    assert line == (
        "a.zip: stopped at 3.1 of 9.0 GB after 8 tries in a row without progress (silence); "
        "what arrived is kept, run again to go on"
    )
    near = diagnosis.truncated_line("a.zip", 8_999_999_999, 9_000_000_000, "silence", 8)
    assert "8999999999 of 9000000000 bytes" in near
    assert "cut off upstream" in diagnosis.size_line("a.zip", 5, 9)


@pytest.mark.parametrize(("seconds", "said"), [(7200, "2 hours ahead"), (-3e5, "3 days behind")])
def test_a_wrong_clock_is_said(seconds: float, said: str) -> None:
    assert said in str(diagnosis.clock_line("host", seconds))
    assert said in diagnosis.status_line("a.zip", "http://host/a.zip", 403, skew=seconds)
    assert said not in diagnosis.status_line("a.zip", "http://host/a.zip", 404, skew=seconds)


def test_a_right_clock_is_not_mentioned() -> None:
    assert diagnosis.clock_line("host", 20.0) is None
    assert diagnosis.clock_line("host", None) is None
    assert diagnosis.clock_skew({"Date": "yesterday"}, 0.0) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[Errno -2] Name or service not known", "is not found"),
        ("[Errno 111] Connection refused", "refuses the connection"),
        ("Read timed out. (read timeout=60)", "does not answer in time"),
        ("[Errno 113] No route to host", "cannot be reached"),
        ("IncompleteRead(3 bytes read, 9 more expected)", "drops the connection"),
        ("[Errno 104] Connection reset by peer", "drops the connection"),
        ("certificate verify failed: certificate has expired (_ssl.c:1)", "machine's clock right"),
        ("certificate verify failed: self-signed certificate (_ssl.c:1)", "REQUESTS_CA_BUNDLE"),
        ("something\nunheard of", "something unheard of"),
    ],
)
def test_network_errors_are_named(text: str, said: str) -> None:
    line = diagnosis.network_line("a.zip", "https://host/a.zip", OSError(text))
    assert line.startswith("a.zip: ") and "host" in line and said in line and "\n" not in line


def test_space_is_counted() -> None:
    assert diagnosis.space_line("/data", 93_000_000_000, 41_000_000_000) == (
        "/data: 93.0 GB are needed, 41.0 GB are free; choose another disk"
    )
    assert "what arrived is kept" in diagnosis.space_line("/data", None, 0)


def test_every_status_has_a_line() -> None:
    for status in range(300, 600):
        line = diagnosis.status_line("a.zip", "http://host/a.zip", status)
        assert re.fullmatch(rf"a\.zip: HTTP {status} from http://host/a\.zip: .+", line)
