"""What git tells of the code."""

import os
import stat
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cas_registry.model.canonical import encode
from cas_registry.operations.capture import git as module
from cas_registry.operations.capture.git import MAX_DIFF_BYTES, clean_url, find_code, find_root
from tests.operations.capture.repositories import git, make_repository


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "work")


def main_of(path: Path, spec: str | None = None) -> ModuleType:
    main = ModuleType("__main__")
    main.__file__ = str(path)
    main.__spec__ = SimpleNamespace(name=spec) if spec else None
    return main


def test_commit_and_branch_of_a_clean_work_tree(work: Path) -> None:
    assert find_code([work], None) == {"commit": git(work, "rev-parse", "HEAD"), "branch": "main", "dirty": False}


def test_a_folder_below_belongs_to_the_work_tree_and_the_first_that_has_one_counts(work: Path, tmp_path: Path) -> None:
    (work / "a" / "b").mkdir(parents=True)
    other = make_repository(tmp_path / "other")
    git(other, "checkout", "-qb", "dev")
    outside = tmp_path / "outside"
    outside.mkdir()
    assert find_root(work / "a" / "b") == work
    assert find_code([outside, work / "a" / "b", other], None)["branch"] == "main"
    assert find_code([outside, other, work], None)["branch"] == "dev"
    assert find_code([outside], None) == {}


@pytest.mark.parametrize("change", ["edited", "staged", "deleted"])
def test_changes_of_tracked_files_are_told(work: Path, change: str) -> None:
    (work / "code.py").unlink() if change == "deleted" else (work / "code.py").write_text("lr = 0.2\n")
    if change == "staged":
        git(work, "add", "code.py")
    assert find_code([work], None)["dirty"] is True


def test_files_that_git_does_not_track_do_not_count_but_a_script_does(work: Path) -> None:
    (work / "model.bin").write_bytes(b"weights")
    assert find_code([work], None)["dirty"] is False
    assert find_code([work], main_of(work / "train.py")) == {
        "commit": git(work, "rev-parse", "HEAD"), "branch": "main", "dirty": False, "entry_point": "train.py",
    }  # fmt: skip
    (work / "new.py").write_text("")
    assert find_code([work], main_of(work / "new.py"))["dirty"] is True
    (work / ".git" / "info" / "exclude").write_text("new.py\n")
    assert find_code([work], main_of(work / "new.py"))["dirty"] is False  # a program of an ignored environment


def test_a_script_of_another_place_leaves_the_folder_its_git(work: Path, tmp_path: Path) -> None:
    script = tmp_path / "bin" / "train"
    script.parent.mkdir()
    script.write_text("")
    assert find_code([work], main_of(script)) == {**find_code([work], None), "entry_point": "train"}


def test_a_module_is_told_as_it_is_run(work: Path) -> None:
    assert find_code([], main_of(work / "train.py", "pkg.train"))["entry_point"] == "-m pkg.train"
    assert find_code([], main_of(work / "train.py", "pkg.__main__"))["entry_point"] == "-m pkg"


def test_no_branch_and_no_commit(work: Path, tmp_path: Path) -> None:
    git(work, "checkout", "-q", "--detach")
    assert find_code([work], None).keys() == {"commit", "dirty"}
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    git(fresh, "init", "-q")
    assert find_code([fresh], None) == {"branch": "main", "dirty": False}


def test_no_hook_runs_and_nothing_is_written(work: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    hook = tmp_path / "hook"
    hook.write_text(f"#!/bin/sh\ntouch {ran}\n")
    hook.chmod(hook.stat().st_mode | stat.S_IXUSR)
    for key in ("core.fsmonitor", "diff.external"):
        git(work, "config", key, str(hook))
    os.utime(work / "code.py", (1, 1))  # the index would be refreshed
    (work / "train.py").write_text("lr = 0.2\n")
    index = (work / ".git" / "index").read_bytes()
    assert find_code([work], None, diff=True)["dirty"] is True
    assert not ran.exists()
    assert (work / ".git" / "index").read_bytes() == index


def test_variables_that_a_hook_sets_do_not_mislead(work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = make_repository(tmp_path / "other")
    git(other, "checkout", "-qb", "dev")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    assert find_code([work], None)["branch"] == "main"


def test_without_git_there_is_nothing(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(work))
    assert find_code([work], None) == {}


def test_a_git_that_hangs_is_not_waited_for(work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "git"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexec sleep 100\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(module, "TIMEOUT_S", 0.05)
    assert find_code([work], main_of(work / "train.py")) == {"entry_point": "train.py"}


def test_the_diff_is_what_no_commit_has(work: Path) -> None:
    assert "diff" not in find_code([work], None, diff=True)
    (work / "code.py").write_text("lr = 0.2\n")
    found = find_code([work], None, diff=True)
    assert "-lr = 0.1\n+lr = 0.2\n" in found["diff"]
    assert "diff_cut" not in found
    assert "diff" not in find_code([work], None)


@pytest.mark.parametrize("line", ["x" * 99, "\x01" * 99])
def test_a_long_diff_is_cut_at_the_end_of_a_line(work: Path, line: str) -> None:
    (work / "code.py").write_text(f"{line}\n" * 10_000)
    found = find_code([work], None, diff=True)
    assert found["diff_cut"] is True
    assert found["diff"].endswith(f"+{line}\n")
    assert MAX_DIFF_BYTES // 3 < len(encode({"diff": found["diff"]})) <= MAX_DIFF_BYTES


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://github.com/acme/fraud.git", "https://github.com/acme/fraud.git"),
        ("https://ana:hunter2@github.com/acme/fraud.git", "https://github.com/acme/fraud.git"),
        ("https://x-access-token:ghs_1@github.com:8443/a.git?token=1#f", "https://github.com:8443/a.git"),
        ("ssh://git@host:22/~ana/a.git", "ssh://host:22/~ana/a.git"),
        ("ssh://host/home/ana/a.git", "ssh://host/~/a.git"),
        ("git@github.com:acme/fraud.git", "github.com:acme/fraud.git"),
        ("host:/home/ana/a.git", "host:~/a.git"),
        ("file:///home/ana/a.git", None),
        ("/home/ana/a.git", None),
        ("../a.git", None),
        ("C:\\repos\\a", None),
        ("https://host:port/a", None),
        ("", None),
    ],
)
def test_a_url_tells_where_and_not_who(url: str, told: str | None) -> None:
    assert clean_url(url) == told


@given(
    st.sampled_from(["https", "ssh", "git", "http"]),
    st.from_regex(r"[a-zA-Z0-9%._-]{1,20}", fullmatch=True),
    st.from_regex(r"[a-zA-Z0-9%._!$&'()*+,;=:@-]{1,40}", fullmatch=True),
    st.from_regex(r"/[a-z]{1,9}/[a-z]{1,9}", fullmatch=True),
)
def test_no_user_and_no_password_is_left(scheme: str, user: str, password: str, path: str) -> None:
    assert (
        clean_url(f"{scheme}://{user}:{password}@host.example{path}?{password}#{password}") == f"{scheme}://host.example{path}"
    )


def test_the_remote_is_origin_or_the_first(work: Path) -> None:
    git(work, "remote", "add", "mirror", "https://one.example/a")
    assert find_code([work], None)["repository"] == "https://one.example/a"
    git(work, "remote", "add", "origin", "https://two.example/a")
    assert find_code([work], None)["repository"] == "https://two.example/a"
