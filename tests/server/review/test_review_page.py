"""The review page: who may ask, what is served, what is stored, and that texts stay texts."""

import hashlib
import re
import socket
import sys
import threading
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from review_samples import review, sample, write_dataset

from emotion_llama.merr.review.overlay import append_review, read_reviews, record_hash
from emotion_llama.server.review import make_app, page_address, require_serve, serve
from emotion_llama.server.review.media_file import MEDIA_TYPES
from emotion_llama.server.review.review_page import MAX_BODY, PAGE_DIR

testclient = pytest.importorskip("fastapi.testclient", reason="NOT CHECKED: needs fastapi")

HERE = "http://127.0.0.1:8788"
FILM = bytes(range(256)) * 40


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    media = tmp_path / "media"
    media.mkdir()
    (media / "a.mp4").write_bytes(FILM)
    records = [
        sample("a.mp4", media_sha256=hashlib.sha256(FILM).hexdigest()),
        sample("b.mp4", transcript="<script>alert(1)</script>"),
        sample("out.mp4", status="rejected", reasons=("face_coverage: .2 is below .5",)),
    ]
    return write_dataset(tmp_path / "dataset", *records)


def client(dataset: Path, host: str = HERE, **settings: Any) -> Any:
    """Give a browser that has opened the address that the command printed."""
    settings.setdefault("clock", lambda: datetime(2025, 1, 31, 12, tzinfo=UTC))
    app = make_app(dataset, dataset.parent / "media", token="secret", **settings)
    browser = testclient.TestClient(app, base_url=host, headers={"Origin": host})
    assert browser.get("/?token=secret").status_code == 200
    return browser


def decision(dataset: Path, clip: str = "a.mp4", **changes: Any) -> dict[str, Any]:
    shown = client(dataset).get("/api/record", params={"clip": clip}).json()
    return {
        "clip_id": clip,
        "record_sha256": shown["sha256"],
        "reviewer": "ann",
        "decision": "accept",
        **changes,
    }


# ---- who may ask


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "evil.example:8788", "127.0.0.1:8788:1", "[::1]"],
)
def test_a_foreign_host_name_is_refused(dataset: Path, host: str) -> None:
    answer = client(dataset).get("/api/state", headers={"Host": host})
    assert answer.status_code == 403
    assert "expected 127.0.0.1 or localhost" in answer.json()["detail"][0]


@pytest.mark.parametrize("path", ["/", "/review.js", "/api/state", "/media?clip=a.mp4"])
def test_without_the_token_nothing_is_served(dataset: Path, path: str) -> None:
    app = make_app(dataset, dataset.parent / "media")
    stranger = testclient.TestClient(app, base_url=HERE)
    assert stranger.get(path).status_code == 403
    wrong = "&" if "?" in path else "?"
    assert stranger.get(f"{path}{wrong}token=wrong").status_code == 403
    assert stranger.get(path, headers={"Cookie": b"review_8788=wrong-\xfc"}).status_code == 403


def test_the_token_goes_from_the_address_into_a_cookie(dataset: Path) -> None:
    app = make_app(dataset)
    browser = testclient.TestClient(app, base_url=HERE, follow_redirects=False)
    address = page_address(app, 8788)
    assert address.startswith(f"{HERE}/?token=")
    answer = browser.get(address)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert "HttpOnly" in answer.headers["set-cookie"]
    assert "SameSite=strict" in answer.headers["set-cookie"]
    assert browser.get("/").status_code == 200
    assert make_app(dataset).state.token != app.state.token


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"Origin": "http://evil.example"}, "origin"),
        ({"Origin": "http://127.0.0.1:9999"}, "origin"),
        ({"Origin": "null"}, "origin"),
        ({"Content-Type": "text/plain"}, "application/json"),
        ({"Content-Length": str(MAX_BODY + 1)}, "bytes"),
    ],
)
def test_a_post_from_elsewhere_stores_nothing(
    dataset: Path, headers: dict[str, str], message: str
) -> None:
    body = decision(dataset)
    answer = client(dataset).post("/api/reviews", json=body, headers=headers)
    assert answer.status_code == 403
    assert message in answer.json()["detail"][0]
    assert read_reviews(dataset).reviews == ()


def test_every_answer_forbids_what_is_from_elsewhere(dataset: Path) -> None:
    browser = client(dataset)
    for path in ("/", "/review.js", "/api/state", "/media?clip=a.mp4", "/nothing"):
        headers = browser.get(path).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert "http" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"


def test_only_named_files_of_the_page_are_served(dataset: Path) -> None:
    browser = client(dataset)
    for path in ("/review_page.py", "/../review_page.py", "/%2e%2e/review_page.py", "/docs"):
        assert browser.get(path).status_code == 404


# ---- the page


def test_texts_of_records_never_become_markup(dataset: Path) -> None:
    answer = client(dataset).get("/api/record", params={"clip": "b.mp4"})
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["record"]["transcript"] == "<script>alert(1)</script>"
    script = (PAGE_DIR / "review.js").read_text("utf-8")
    markup = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|srcdoc"
    assert re.findall(markup, script) == []
    page = (PAGE_DIR / "index.html").read_text("utf-8")
    assert re.findall(r"<script(?![^>]*\bsrc=)|\son\w+=|\sstyle=", page) == [], "the policy forbids"


def test_the_page_needs_nothing_from_elsewhere() -> None:
    for file in PAGE_DIR.iterdir():
        assert re.findall(r"(?:https?:)?//\w[\w.-]*\.\w+", file.read_text("utf-8")) == [], file.name


def test_every_element_that_the_script_looks_for_is_on_the_page() -> None:
    script = (PAGE_DIR / "review.js").read_text("utf-8")
    page = (PAGE_DIR / "index.html").read_text("utf-8")
    wanted = set(re.findall(r'\bat\("([\w-]+)"\)', script))
    there = set(re.findall(r'\bid="([\w-]+)"', page)) | set(re.findall(r'\bid: "([\w-]+)"', script))
    assert wanted - there == set()
    assert len(wanted) > 10


def test_the_state_of_the_review(dataset: Path) -> None:
    with (dataset / "reviews.jsonl").open("w") as file:
        file.write('{"clip_id":"a')
    state = client(dataset, labels=["bored"]).get("/api/state?reviewer=ann").json()
    assert state["progress"]["records"] == 3
    assert state["progress"]["by_reviewer"] == 0
    assert state["label_counts"] == {"happy": 3}
    assert {"happy", "doubt", "bored"} <= set(state["labels"])
    assert "not written to its end" in state["notices"][0]
    assert state["unit_names"]["AU12"] == "lip corner puller"


def test_the_queue_is_given_in_parts_that_join(
    dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emotion_llama.server.review.review_page.MAX_PAGE", 2)
    browser = client(dataset)
    first = browser.get("/api/queue").json()
    assert (first["total"], first["num_left"]) == (3, 1)
    second = browser.get("/api/queue", params={"after": first["items"][-1]["clip_id"]}).json()
    names = [item["clip_id"] for item in first["items"] + second["items"]]
    assert names == ["a.mp4", "b.mp4", "out.mp4"]
    assert [
        one["clip_id"] for one in browser.get("/api/queue?status=rejected").json()["items"]
    ] == ["out.mp4"]
    assert browser.get("/api/queue?state=odd").status_code == 422


def test_a_clip_that_is_not_there_is_told(dataset: Path) -> None:
    for path in ("/api/record", "/media"):
        answer = client(dataset).get(path, params={"clip": "none.mp4"})
        assert answer.status_code == 404
        assert "'none.mp4'" in answer.json()["detail"][0]


# ---- the clip


def test_a_clip_is_served_in_the_parts_that_seeking_asks_for(dataset: Path) -> None:
    browser = client(dataset)
    whole = browser.get("/media?clip=a.mp4")
    assert whole.content == FILM
    assert whole.headers["content-type"] == "video/mp4"
    assert whole.headers["accept-ranges"] == "bytes"
    part = browser.get("/media?clip=a.mp4", headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, FILM[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(FILM)}"
    end = browser.get("/media?clip=a.mp4", headers={"Range": "bytes=-10"})
    assert end.content == FILM[-10:]
    outside = browser.get("/media?clip=a.mp4", headers={"Range": "bytes=999999-"})
    assert outside.status_code == 416
    assert browser.head("/media?clip=a.mp4").headers["content-length"] == str(len(FILM))


@pytest.mark.parametrize(
    "path",
    [
        "../secret.mp4",
        "deep/../../secret.mp4",
        "..\\secret.mp4",
        "C:\\secret.mp4",
        "{folder}/secret.mp4",
        "link.mp4",
        "linked/secret.mp4",
        "notes.txt",
        "folder.mp4",
        "none.mp4",
        "a\0.mp4",
        "",
    ],
)
def test_nothing_but_media_below_the_folder_is_served(tmp_path: Path, path: str) -> None:
    media = tmp_path / "media"
    (media / "deep").mkdir(parents=True)
    (media / "folder.mp4").mkdir()
    (media / "notes.txt").write_text("private")
    outside = tmp_path / "outside"
    outside.mkdir()
    for secret in (tmp_path / "secret.mp4", outside / "secret.mp4"):
        secret.write_bytes(b"private")
    (media / "link.mp4").symlink_to(tmp_path / "secret.mp4")
    (media / "linked").symlink_to(outside)
    record = sample("a.mp4", path=path.format(folder=tmp_path))
    browser = client(write_dataset(tmp_path / "dataset", record))
    answer = browser.get("/media?clip=a.mp4")
    assert answer.status_code == 404
    assert b"private" not in answer.content
    assert browser.get("/api/record?clip=a.mp4").json()["media"]["why"]


def test_a_link_out_of_the_folder_shows_the_file_that_was_annotated(tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    (tmp_path / "film.mp4").write_bytes(FILM)
    (tmp_path / "media" / "link.mp4").symlink_to(tmp_path / "film.mp4")
    record = sample("link.mp4", media_sha256=hashlib.sha256(FILM).hexdigest())
    browser = client(write_dataset(tmp_path / "dataset", record))
    assert browser.get("/media?clip=link.mp4").content == FILM


def test_a_file_of_other_bytes_than_those_annotated_is_told(dataset: Path) -> None:
    browser = client(dataset)
    assert browser.get("/api/media?clip=a.mp4").json()["is_recorded"] is True
    (dataset.parent / "media" / "a.mp4").write_bytes(b"another film")
    assert browser.get("/api/media?clip=a.mp4").json()["is_recorded"] is False
    (dataset.parent / "media" / "b.mp4").write_bytes(FILM)
    assert browser.get("/api/media?clip=b.mp4").json()["is_recorded"] is None, "no hash was stored"


def test_without_a_folder_of_media_the_page_says_how_to_give_one(dataset: Path) -> None:
    app = make_app(dataset, token="secret")
    browser = testclient.TestClient(app, base_url=HERE)
    browser.get("/?token=secret")
    assert "--media" in browser.get("/api/record?clip=a.mp4").json()["media"]["why"]
    assert browser.get("/media?clip=a.mp4").status_code == 404


def test_every_ending_that_is_built_from_can_be_served() -> None:
    from emotion_llama.media.manifest import MEDIA_SUFFIXES

    assert set(MEDIA_TYPES) == set(MEDIA_SUFFIXES)


# ---- deciding


def test_a_decision_is_stored_with_reviewer_time_and_state_of_the_record(dataset: Path) -> None:
    east = timezone(timedelta(hours=2))
    browser = client(dataset, clock=lambda: datetime(2025, 1, 31, 14, 30, tzinfo=east))
    body = decision(dataset, decision="edit", edits={"coarse_caption": "Shorter."}, comment="long")
    answer = browser.post("/api/reviews", json=body)
    assert answer.status_code == 201
    assert answer.json()["progress"]["by_reviewer"] == 1
    (stored,) = read_reviews(dataset).reviews
    record = sample("a.mp4", media_sha256=hashlib.sha256(FILM).hexdigest())
    assert stored.record_sha256 == record_hash(record)
    assert (stored.reviewer, stored.time) == ("ann", "2025-01-31T12:30:00Z")
    assert stored.edits.changed == ("coarse_caption",)
    assert stored.comment == "long"
    shown = browser.get("/api/record", params={"clip": "a.mp4", "reviewer": "ann"}).json()
    assert shown["own"]["decision"] == "edit"
    assert shown["record"]["coarse_caption"] == record.coarse_caption, "the record is as built"


def test_a_reviewer_named_at_the_start_is_the_only_one(dataset: Path) -> None:
    browser = client(dataset, reviewer="cem")
    assert browser.get("/api/state").json()["reviewer"] == "cem"
    browser.post("/api/reviews", json=decision(dataset, reviewer="somebody else"))
    assert [one.reviewer for one in read_reviews(dataset).reviews] == ["cem"]


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({"decision": "reject"}, 422, "needs a comment"),
        ({"decision": "edit", "edits": {"evidence": "A happy face."}}, 422, "names a label"),
        ({"decision": "edit", "edits": {"coarse_caption": " "}}, 422, "no word"),
        ({"decision": "edit", "edits": {"label": "hapy"}}, 422, "label"),
        ({"decision": "edit", "edits": {"status": "kept"}}, 422, "edits.status"),
        ({"decision": "delete"}, 422, "decision"),
        ({"reviewer": " \n"}, 422, "reviewer"),
        ({"reviewer": "   "}, 422, "reviewer"),
        ({"comment": "\ud800"}, 422, "comment"),
        ({"record_sha256": "0" * 64}, 409, "look at it again"),
        ({"clip_id": "none.mp4"}, 404, "none.mp4"),
    ],
)
def test_a_decision_that_cannot_be_stored_says_why(
    dataset: Path, changes: dict[str, Any], status: int, message: str
) -> None:
    import json

    body = json.dumps(decision(dataset) | changes)
    headers = {"Content-Type": "application/json"}
    answer = client(dataset).post("/api/reviews", content=body, headers=headers)
    assert answer.status_code == status
    assert message in " ".join(answer.json()["detail"])
    assert read_reviews(dataset).reviews == ()


def test_a_disk_that_is_full_is_told(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    body = decision(dataset)
    monkeypatch.setattr("emotion_llama.merr.review.overlay.os.fsync", full)
    answer = client(dataset).post("/api/reviews", json=body)
    assert answer.status_code == 500
    assert "No space left" in answer.json()["detail"][0]


def test_others_decisions_are_shown_after_ones_own(dataset: Path) -> None:
    browser = client(dataset)
    body = decision(dataset)
    browser.post("/api/reviews", json=body | {"reviewer": "bob", "comment": "clear"})
    asked = {"clip": "a.mp4", "reviewer": "ann"}
    before = browser.get("/api/record", params=asked)
    assert before.json()["num_others"] == 1
    assert "clear" not in before.text
    browser.post("/api/reviews", json=body)
    assert browser.get("/api/record", params=asked).json()["others"][0]["comment"] == "clear"
    browser.post("/api/reviews", json=body | {"decision": "withdraw"})
    assert browser.get("/api/record", params=asked).json()["own"] is None


def test_a_decision_on_an_earlier_state_is_shown_as_such(dataset: Path) -> None:
    append_review(dataset, review(sample("a.mp4", transcript="before"), "accept"))
    shown = client(dataset).get("/api/record?clip=a.mp4&reviewer=ann").json()
    assert shown["own"] is None
    assert [one["decision"] for one in shown["stale"]] == ["accept"]


# ---- starting


def test_a_missing_extra_says_what_to_install(
    dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(ValueError, match=r"found no uvicorn.*emotion-llama\[serve\]"):
        require_serve()
    with pytest.raises(ValueError, match="serve"):
        make_app(dataset)


@pytest.mark.parametrize("name", ["", " ann", "a\nb", "x" * 101])
def test_a_name_that_cannot_be_stored_is_refused_at_the_start(dataset: Path, name: str) -> None:
    with pytest.raises(ValueError, match="found the reviewer"):
        make_app(dataset, reviewer=name)


def test_a_folder_of_media_that_is_not_there_is_refused(dataset: Path) -> None:
    with pytest.raises(ValueError, match="found no folder"):
        make_app(dataset, dataset.parent / "elsewhere")


def test_a_port_in_use_is_told(dataset: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ValueError, match=f"port {port}.*give another --port"):
            serve(make_app(dataset), port)


def test_the_page_answers_at_the_announced_address(dataset: Path) -> None:
    announced: list[str] = []
    ready = threading.Event()

    def announce(address: str) -> None:
        announced.append(address)
        ready.set()

    app = make_app(dataset)
    threading.Thread(target=serve, args=(app, 0, announce), daemon=True).start()
    assert ready.wait(10)
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    with opener.open(announced[0], timeout=10) as answer:
        assert b"<title>Review</title>" in answer.read()
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(announced[0].partition("?")[0], timeout=10)
