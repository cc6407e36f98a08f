"""Folders and versions: what a working folder remembers, and what it takes for edits."""

import re
from pathlib import Path

import pytest

from tests.cli.shell import Shell
from tests.support.folders import MIB, make_bytes


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".reg" not in path.relative_to(folder).parts
    }


def test_a_version_is_written_and_counted(story: Shell):
    found = story.reg("checkout", "prod", "serve", "--json").json
    assert files(story.folder / "serve") == {"config.json": b'{"layers": 2}', "model.bin": bytes(range(256)) * 40}
    assert found["written"] == ["config.json", "model.bin"]
    assert (found["written_bytes"], found["size_bytes"], found["unchanged_files"]) == (10253, 10253, 0)
    assert 0 < found["fetched_bytes"] < 10253, "as it is stored"
    assert (found["seeded_bytes"], found["cached_bytes"]) == (0, 0)
    assert found["folder"] == str(story.folder / "serve")
    again = story.reg("checkout", "main", "serve", "--json").json
    assert (again["written"], again["unchanged_files"]) == (["config.json"], 1)


def test_a_checkout_is_bound_so_that_commands_work_inside(story: Shell, monkeypatch):
    story.reg("checkout", "prod", "serve")
    monkeypatch.chdir(story.folder / "serve")
    assert story.reg("log", "--oneline").lines[1].endswith("  first")
    assert story.reg("status").exit_code == 0
    story.reg("checkout", "main")
    assert Path("config.json").read_text() == '{"layers": 3}'
    assert sorted(path.name for path in Path().iterdir()) == [".reg", "config.json", "model.bin"]


def test_without_a_folder_the_committed_one_is_used_and_its_files_are_no_edits(story: Shell):
    assert "in out" in story.reg("checkout", "prod").stdout
    assert files(story.folder / "out")["config.json"] == b'{"layers": 2}'
    assert story.reg("checkout", "main", "-q").lines == ["out"]


def test_without_anything_remembered_a_folder_is_named_for_the_model(story: Shell, monkeypatch):
    elsewhere = story.folder.parent / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert story.reg("checkout", "fraud@prod", "-R", "../registry", "-q").lines == ["fraud"]
    assert (elsewhere / "fraud" / "model.bin").exists()


def test_a_model_other_than_the_remembered_one_goes_into_its_own_folder(story: Shell):
    story.write("other/a", "a")
    story.reg("commit", "other", "-M", "ranker")
    story.reg("commit", "out", "--allow-empty")
    assert story.reg("checkout", "ranker@main", "-q").lines == ["ranker"]


def test_parts_of_a_version(story: Shell):
    story.reg("checkout", "prod", "part", "*.json")
    assert list(files(story.folder / "part")) == ["config.json"]
    story.reg("checkout", "prod:model.bin", "part2")
    assert list(files(story.folder / "part2")) == ["model.bin"]
    assert "matches" in story.reg("checkout", "prod", "part3", "nothing*", code=3).stderr


def test_edits_are_listed_and_kept_unless_forced(story: Shell):
    story.write("out/config.json", "edited")
    story.write("out/notes.txt", "mine")
    found = story.reg("checkout", "prod", "--json", code=4)
    assert found.error["code"] == "local-edits"
    assert found.error["fields"]["paths"] == ["config.json"]
    assert "--force" in story.reg("checkout", "prod", code=4).stderr
    assert (story.folder / "out/config.json").read_text() == "edited"
    story.reg("checkout", "prod", "--force")
    assert (story.folder / "out/config.json").read_text() == '{"layers": 2}'
    assert (story.folder / "out/notes.txt").read_text() == "mine", "what belongs to no version stays"


def test_a_folder_of_something_else_is_not_overwritten(story: Shell):
    story.write("thesis/config.json", "chapter one")
    assert "config.json" in story.reg("checkout", "prod", "thesis", code=4).stderr
    assert files(story.folder / "thesis") == {"config.json": b"chapter one"}


def test_files_of_the_working_folder_are_safe_from_the_memory_of_another(story: Shell):
    """The working folder remembers out/: a checkout over itself must not take its own files for those of out/."""
    story.write("model.bin", bytes(range(256)) * 40)
    story.write("out2/only", "x")
    story.reg("commit", "out2", "-b", "other")
    story.reg("commit", "out", "--allow-empty")
    story.reg("checkout", "other", ".", "only")
    story.reg("checkout", "other", ".")
    assert (story.folder / "model.bin").exists()


def test_status_of_the_committed_folder(story: Shell):
    assert "out is equal to fraud v2" in story.reg("status").stdout
    story.write("out/new", "n")
    story.write("out/config.json", "{}")
    (story.folder / "out/model.bin").unlink()
    shown = story.reg("status", code=1).lines
    assert shown[1:] == ["  A new", "  M config.json", "  D model.bin", "  1 added, 1 changed, 1 removed, 0 unchanged"]
    found = story.reg("status", "--json", code=1).json
    assert (found["added"], found["changed"], found["removed"], found["clean"]) == (
        ["new"],
        ["config.json"],
        ["model.bin"],
        False,
    )
    assert story.reg("status", "-q", code=1).lines == ["config.json", "model.bin", "new"]
    story.reg("checkout", "main", "--force")
    story.reg("status", "out", code=1)
    (story.folder / "out/new").unlink()
    assert story.reg("status", "-q").lines == []


def test_status_against_any_revision(story: Shell):
    assert story.reg("status", "out", "--rev", "prod", "-q", code=1).lines == ["config.json"]
    assert story.reg("status", "--rev", "main").exit_code == 0


def test_status_says_when_the_branch_has_gone_on(story: Shell):
    story.reg("checkout", "main", "serve")
    story.write("out/config.json", "{}")
    story.reg("commit", "out")
    found = story.reg("status", "serve")
    assert "main stands elsewhere by now" in found.stdout
    head = story.reg("log", "-q").lines[0]
    assert story.reg("status", "serve", "--json").json["branch_commit"] == head


def test_status_of_a_deleted_branch_says_nothing_of_it(story: Shell):
    story.reg("branch", "dev", "main")
    story.reg("checkout", "dev", "serve")
    story.reg("branch", "-d", "dev")
    assert story.reg("status", "serve", "--json").json["branch"] is None


def test_status_needs_a_folder_where_none_is_remembered(bound: Shell):
    assert "which folder?" in bound.reg("status", code=2).stderr


def test_status_of_a_folder_that_is_not_there(story: Shell):
    assert "nowhere does not exist" in story.reg("status", "nowhere", code=3).stderr


def test_a_commit_inside_a_checkout_moves_what_it_holds(story: Shell, monkeypatch):
    story.reg("checkout", "main", "serve")
    monkeypatch.chdir(story.folder / "serve")
    Path("config.json").write_text('{"layers": 9}')
    story.reg("commit", ".", "-m", "nine")
    assert story.reg("status").exit_code == 0
    story.reg("checkout", "main~1")
    story.reg("checkout", "main")
    assert Path("config.json").read_text() == '{"layers": 9}'


def test_a_checkout_keeps_its_memory_when_a_folder_inside_it_is_committed(story: Shell, monkeypatch):
    story.reg("checkout", "main", "serve")
    monkeypatch.chdir(story.folder / "serve")
    story_inside = Path("inside")
    story_inside.mkdir()
    (story_inside / "a").write_text("a")
    story.reg("commit", "inside", "-M", "ranker")
    assert story.reg("status", "--json", code=1).json["model"] == "fraud"


@pytest.mark.parametrize("path", ["out", "out/", "./out", "../work/out"])
def test_a_folder_is_known_by_any_of_its_names(story: Shell, path):
    assert story.reg("status", path, "--json").json["number"] == 2


def test_a_checkout_into_a_bound_folder_keeps_its_configuration(bound: Shell):
    bound.write("../src/a", "a")
    bound.reg("commit", "../src")
    bound.write(".reg/config.toml", (bound.folder / ".reg/config.toml").read_text() + "# mine\n")
    bound.reg("checkout", "main", ".")
    assert (bound.folder / ".reg/config.toml").read_text().endswith("# mine\n")


def test_human_lists_what_was_written(story: Shell):
    story.write("out/more.txt", "more")
    story.reg("commit", "out")
    shown = story.reg("checkout", "main~1").lines
    assert shown[1:] == ["  D more.txt", "  0 files written (0 B), 1 removed, 2 unchanged; 10.3 kB in all, every byte verified"]


def test_what_was_taken_from_this_machine_is_told(story: Shell):
    story.write("out/model.bin", make_bytes(1, 3 * MIB))
    story.reg("commit", "out")
    story.write("out/model.bin", make_bytes(1, 3 * MIB) + b"longer")
    story.reg("commit", "out")
    assert story.reg("checkout", "main~1", "serve").lines[-1].endswith("every byte verified"), "all was fetched"
    shown = story.reg("checkout", "main", "serve").lines[-1]
    assert re.fullmatch(r"  [23]\.\d MB from files that were here, [\d.]+ k?B fetched", shown)
    found = story.reg("checkout", "main~1", "serve", "--json").json
    assert found["written_bytes"] == 3 * MIB
    assert found["seeded_bytes"] > 2 * MIB


def test_files_are_linked_to_the_cache_when_asked(story: Shell):
    story.write("out/model.bin", make_bytes(1, 3 * MIB))
    story.reg("commit", "out")
    story.reg("checkout", "main", "one", "--link")
    shown = story.reg("checkout", "main", "two", "--link").lines[-1]
    assert re.fullmatch(r"  3\.1 MB from the cache, \d+ B fetched", shown)
    assert (story.folder / "one/model.bin").samefile(story.folder / "two/model.bin")
    assert "--link" in story.reg("checkout", "main", "three", "--link", "--no-cache", code=2).stderr


def test_a_limit_of_the_cache_that_is_no_number_is_refused(story: Shell, monkeypatch):
    monkeypatch.setenv("REG_CACHE_BYTES", "much")
    assert "REG_CACHE_BYTES" in story.reg("checkout", "main", "one", "--link", code=2).stderr


def test_long_lists_are_cut_for_people_not_for_programs(bound: Shell):
    for number in range(25):
        bound.write(f"out/{number:02}.txt", str(number))
    bound.reg("commit", "out")
    assert "    and 15 more" in bound.reg("checkout", "main", "a").lines
    assert len(bound.reg("checkout", "main", "b", "--json").json["written"]) == 25


def test_safe_only_refuses_what_runs_code_and_writes_nothing(story: Shell):
    story.write("out/scaler.json", "cos\nsystem\n(S'id'\ntR.")
    story.reg("commit", "out", "-m", "pickled")
    found = story.reg("checkout", "main", "fresh", "--safe-only", "--json", code=1)
    assert found.error["code"] == "unsafe-file"
    assert found.error["fields"] == {"paths": ["scaler.json"], "on_load": ["pickle"]}
    assert not (story.folder / "fresh/scaler.json").exists()
    assert not (story.folder / "fresh/config.json").exists()
    said = story.reg("checkout", "main", "fresh", "--safe-only", code=1).stderr
    assert "run code on loading: scaler.json. Nothing was written" in said
    story.reg("checkout", "main", "fresh", "config.json", "model.bin", "--safe-only")
    assert sorted(files(story.folder / "fresh")) == ["config.json", "model.bin"]
    story.reg("checkout", "prod", "before", "--safe-only")
