"""What a version is made from, as people write it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cas_registry as reg
from cas_registry.errors import HostileNameError, InvalidInputError, LimitError, NotFoundError
from cas_registry.model.ids import FileId
from cas_registry.model.inputs import Input
from cas_registry.operations.inputs import Kind, WrittenInput, find_path, name_path, parse_input
from cas_registry.registry import Model
from tests.operations.capture.repositories import make_repository
from tests.support.folders import File, write_folder

SECRET = "hunter2secret"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("train=s3://data/t.parquet", WrittenInput("train", Kind.URI, "s3://data/t.parquet")),
        ("train=s3://data/t@v1/x@sha256:0a1b", WrittenInput("train", Kind.URI, "s3://data/t@v1/x", "sha256", "0a1b")),
        ("train=hf://datasets/org/x@main", WrittenInput("train", Kind.URI, "hf://datasets/org/x@main")),
        ("train=s3://b/k?versionId=7@etag:9-2", WrittenInput("train", Kind.URI, "s3://b/k?versionId=7", "etag", "9-2")),
        ("train=s3://b/k@dvc-md5:0a1b2c", WrittenInput("train", Kind.URI, "s3://b/k", "dvc-md5", "0a1b2c")),
        ("train=s3://b/k@sha256", WrittenInput("train", Kind.URI, "s3://b/k", "sha256")),
        ("train=data/t.csv", WrittenInput("train", Kind.PATH, "data/t.csv")),
        ("train=data/t=1.csv", WrittenInput("train", Kind.PATH, "data/t=1.csv")),
        ("train=t.csv@blake3:0a1b", WrittenInput("train", Kind.PATH, "t.csv", "blake3", "0a1b")),
        ("train=t.csv@md5", WrittenInput("train", Kind.PATH, "t.csv", "md5")),
        ("train=file:///data/t.csv", WrittenInput("train", Kind.PATH, "/data/t.csv")),
        ("train=file:///data/t.csv@md5:0a1b", WrittenInput("train", Kind.URI, "file:///data/t.csv", "md5", "0a1b")),
        ("base=bert@v3", WrittenInput("base", Kind.VERSION, "bert@v3")),
        ("base=bert@main~2", WrittenInput("base", Kind.VERSION, "bert@main~2")),
        ("base=bert@main@{2026-11-01}", WrittenInput("base", Kind.VERSION, "bert@main@{2026-11-01}")),
        ("base=bert@8f3a91c2", WrittenInput("base", Kind.VERSION, "bert@8f3a91c2")),
        ("base=bert@env/prod", WrittenInput("base", Kind.VERSION, "bert@env/prod")),
        ("base=./bert@v3", WrittenInput("base", Kind.PATH, "./bert@v3")),
        ("base=/bert@v3", WrittenInput("base", Kind.PATH, "/bert@v3")),
        ("base=a/bert@v3", WrittenInput("base", Kind.PATH, "a/bert@v3")),
        ("base=bert@v3:model.bin", WrittenInput("base", Kind.PATH, "bert@v3:model.bin")),
    ],
)
def test_the_grammar(text: str, written: WrittenInput) -> None:
    assert parse_input(text) == written


@pytest.mark.parametrize("text", ["", "train", "train=", "=x", "a b=x", "a\n=x", f"{'n' * 256}=x"])
def test_what_is_no_input_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="NAME=URI, NAME=PATH or NAME=MODEL@REV"):
        parse_input(text)


@pytest.mark.parametrize(
    "uri",
    [f"https://ana:{SECRET}@host/x", f"ssh://{SECRET}@host:2222", f"ssh://{SECRET}@sha256:2222", f"https://{SECRET}@host/x", f"s3://b/k?X-Amz-Signature={SECRET}", f"https://host/x?token={SECRET}", f"https://h/x?sig={SECRET}@sha256:0a1b"],
)  # fmt: skip
def test_credentials_are_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(InvalidInputError, match="carries credentials") as caught:
        parse_input(f"train={uri}")
    assert SECRET not in str(caught.value) + repr(caught.value.fields)
    with pytest.raises(InvalidInputError) as caught:
        parse_input(uri.partition("=")[0])
    assert SECRET not in str(caught.value) + repr(caught.value.fields)


NAMES = st.from_regex(r"[^=\s\x00-\x1f\x7f]{1,20}", fullmatch=True)
DIGESTS = st.tuples(st.sampled_from(["blake3", "sha256", "md5"]), st.from_regex(r"[0-9a-f]{4,64}", fullmatch=True))


@given(NAMES, st.from_regex(r"(s3|gs|https)://[a-z]{1,8}(/[a-z0-9._@-]{1,8}){1,3}", fullmatch=True), st.none() | DIGESTS)
def test_uris_and_digests_are_told_apart(name: str, uri: str, digest: tuple[str, str] | None) -> None:
    uri = uri.rstrip("@")
    algorithm, value = digest or (None, None)
    found = parse_input(f"{name}={uri}" + (f"@{algorithm}:{value}" if digest else ""))
    if digest or found.algorithm is None:
        assert found == WrittenInput(name, Kind.URI, uri, algorithm, value)


@given(st.text())
def test_any_text_is_an_input_or_refused(text: str) -> None:
    for candidate in (text, f"a={text}"):
        try:
            found = parse_input(candidate)
        except (InvalidInputError, HostileNameError, LimitError):
            continue
        assert candidate.startswith(f"{found.name}=")
        assert found.place in candidate


def test_paths_are_named_without_a_home(tmp_path: Path) -> None:
    home = tmp_path / "ana"
    work = make_repository(home / "work")
    (work / "data").mkdir()
    assert name_path(work / "data" / "t.csv", home) == "file:data/t.csv"
    assert name_path(home / "sets" / "t.csv", home) == "file:~/sets/t.csv"
    assert name_path(Path("/sets/t.csv"), home) == "file:///sets/t.csv"
    assert name_path(home / "sets" / "t.csv", None) == f"file://{home}/sets/t.csv"


@given(st.lists(st.sampled_from(["ana", "work", "data", "t.csv", "a b"]), min_size=1, max_size=4))
def test_a_named_path_is_found_again(parts: list[str]) -> None:
    path = Path("/mnt", *parts)
    assert find_path(name_path(path, Path("/mnt/ana")), root=Path("/elsewhere"), home=Path("/mnt/ana")) == path


def test_what_is_no_path_is_not_found() -> None:
    assert find_path("s3://b/k", root=Path("/r"), home=None) is None
    assert find_path("file:~/x", root=Path("/r"), home=None) is None
    assert find_path("file:data/x", root=Path("/r"), home=None) == Path("/r/data/x")


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    """A model with a version, in a registry whose current folder is a git work tree."""
    work = make_repository(tmp_path / "work")
    monkeypatch.chdir(work)
    write_folder(work / "data", {"t.csv": File(b"1,2\n"), "more/u.csv": File(b"3,4\n")})
    model = reg.init(tmp_path / "registry", cache_folder=tmp_path / "cache").model("bert")
    model.commit(write_folder(tmp_path / "first", {"model.bin": File(b"first")}))
    return model


def test_files_folders_and_versions(model: Model, tmp_path: Path) -> None:
    inputs = ["train=data/t.csv", "all=data", "old=bert@v1", "far=s3://b/k@sha256:0a1b", Input("made", uri="s3://b/made")]
    second = model.commit(write_folder(tmp_path / "second", {"model.bin": File(b"second")}), inputs=inputs)
    data = model.commit(tmp_path / "work" / "data", branch="data")
    assert model.inputs(second.commit.hex) == [
        Input("train", uri="file:data/t.csv", digest=f"blake3:{FileId.of(b'1,2' + bytes([10])).hex}"),
        Input("all", uri="file:data", digest=f"tree:{data.tree.hex}"),
        Input("old", model="bert", commit=model.resolve("v1").commit),
        Input("far", uri="s3://b/k", digest="sha256:0a1b"),
        Input("made", uri="s3://b/made"),
    ]


def test_inputs_by_name(model: Model, tmp_path: Path) -> None:
    model.commit(write_folder(tmp_path / "second", {"x": File(b"x")}), inputs={"train": "data/t.csv", "base": "bert@v1"})
    assert [item.name for item in model.inputs("main")] == ["train", "base"]


def test_a_lone_text_is_not_taken_letter_by_letter(model: Model, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="a list of NAME=WHAT"):
        model.commit(tmp_path / "first", inputs="train=data/t.csv")


@pytest.mark.parametrize(
    ("text", "error", "match"),
    [
        ("train=data/none.csv", NotFoundError, "does not exist"),
        ("base=bert@v9", NotFoundError, "v9"),
        ("base=other@main", NotFoundError, "other"),
        ("train=data/t.csv@sha256:0a1b2c", InvalidInputError, "not sha256:0a1b2c"),
        ("train=data/t.csv@tree", InvalidInputError, "is a file; it has no digest by tree"),
        ("train=data@sha256", InvalidInputError, "is a folder; it has no digest by sha256"),
        ("train=gopher://x/y@sha256", InvalidInputError, "is not read"),
        ("train=data/t.csv@etag", InvalidInputError, "no digest by etag"),
    ],
)
def test_what_is_not_there_stops_the_commit(
    model: Model, tmp_path: Path, text: str, error: type[Exception], match: str
) -> None:
    folder = write_folder(tmp_path / "second", {"x": File(b"x")})
    with pytest.raises(error, match=match):
        model.commit(folder, inputs=[text])
    assert model.resolve("main").number == 1
