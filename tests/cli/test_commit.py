import re

import blake3

from tests.cli.shell import Shell, python


def test_json_tells_all_of_a_commit(story: Shell):
    story.write("out/new.bin", b"new" * 1000)
    found = story.reg("commit", "out", "-m", "third", "--tag", "candidate", "--tag", "r3", "--json").json
    log = story.reg("log", "--json").json["commits"]
    assert found["commit"] == log[0]["commit"]
    assert found["parent"] == log[1]["commit"]
    assert found["tree"] == log[0]["tree"]
    assert (found["model"], found["branch"], found["number"], found["created"]) == ("fraud", "main", 3, True)
    assert (found["files"], found["new_bytes"]) == (3, 3000)
    assert found["raw_bytes"] == found["new_bytes"] + found["reused_bytes"] == 13 + 10240 + 3000
    assert found["tags"] == log[0]["tags"] == ["candidate", "r3"]


def test_quiet_prints_the_id_alone(bound: Shell):
    bound.write("out/a", "a")
    (line,) = bound.reg("commit", "out", "-q").lines
    assert re.fullmatch(r"[0-9a-f]{64}", line)
    assert bound.reg("log", "-q").lines == [line]


def test_the_line_of_python_that_it_prints_loads_the_version(story: Shell, monkeypatch):
    story.write("out/config.json", '{"layers": 4}')
    shown = story.reg("commit", "out").lines
    line = shown[shown.index("  Load it in Python:") + 1].strip()
    assert python(line).exit_code == 0
    assert (story.folder / "fraud-v3" / "config.json").read_text() == '{"layers": 4}'


def test_the_line_of_python_carries_no_secret(shell: Shell):
    shell.write("out/a", "a")
    options = ["--storage-option", "secret=hunter2", "--storage-option", "profile=lab"]
    shell.reg("init", "memory://loaded", *options, "--model", "m")
    found = shell.reg("commit", "out", *options, "--json")
    assert "storage_options={'profile': 'lab'}" in found.json["load"]
    assert "hunter2" not in found.stdout


def test_human_prints_id_number_bytes_and_what_to_type(story: Shell):
    story.write("out/more.bin", bytes(range(250)) * 8)
    found = story.reg("commit", "out", "-m", "third", "--tag", "best").stdout
    first, second, *_ = found.splitlines()
    assert re.fullmatch(r"fraud v3  [0-9a-f]{12}  on main, tag best", first)
    assert re.fullmatch(r"  3 files, 12\.3 kB: 2\.0 kB new, stored as \S+ k?B in 1 pack; 10\.3 kB reused", second)


def test_nothing_new_is_said_and_no_commit_made(story: Shell):
    found = story.reg("commit", "out", "-m", "again")
    assert "Nothing new" in found.stdout
    assert "--allow-empty" in found.stdout
    assert len(story.reg("log", "-q").lines) == 2
    head = story.reg("log", "-q").lines[0]
    found = story.reg("commit", "out", "--json").json
    assert (found["created"], found["commit"], found["number"], found["new_bytes"]) == (False, head, 2, 0)
    assert story.reg("commit", "out", "-q").lines == [head]


def test_allow_empty_commits_all_the_same(story: Shell):
    assert story.reg("commit", "out", "--allow-empty", "--json").json["created"] is True
    assert len(story.reg("log", "-q").lines) == 3


def test_a_first_commit_creates_model_and_branch(bound: Shell):
    bound.write("out/a", "a")
    bound.reg("commit", "out", "-M", "ranker", "-b", "dev")
    assert bound.reg("branch", "-M", "ranker", "-q").lines == ["dev"]
    assert bound.reg("models", "-q").lines == ["ranker"]


def test_several_paths_go_in_under_their_names(bound: Shell):
    bound.write("one.txt", "1")
    bound.write("sub/two.txt", "2")
    bound.reg("commit", "one.txt", "sub")
    assert bound.reg("ls", "-r", "-q").lines == ["one.txt", "sub/two.txt"]


def test_expect_refuses_when_somebody_was_faster(story: Shell):
    before = story.reg("log", "-q").lines[0]
    story.reg("commit", "out", "--allow-empty", "--expect", before)
    found = story.reg("commit", "out", "--allow-empty", "--expect", before, "--json", code=4)
    assert found.error["code"] == "conflict"
    assert found.error["fields"]["expected"] == before
    assert len(story.reg("log", "-q").lines) == 3


def test_the_author_is_the_option_else_the_environment(story: Shell):
    story.reg("commit", "out", "--allow-empty", "--author", "grace@lab")
    assert [commit["author"] for commit in story.reg("log", "--json").json["commits"]] == ["grace@lab", "ada@lab", "ada@lab"]


def test_a_base_of_another_model_saves_bytes(story: Shell):
    story.write("out/extra", "extra")
    alone = story.reg("commit", "out", "-M", "alone", "--json").json
    tuned = story.reg("commit", "out", "-M", "tuned", "--base", "fraud@main", "--json").json
    assert alone["new_bytes"] == 13 + 10240 + 5
    assert tuned["new_bytes"] == 5


def test_a_missing_path_is_named(bound: Shell):
    assert "nowhere does not exist" in bound.reg("commit", "nowhere", code=3).stderr
    bound.reg("commit", code=2)


def test_an_empty_folder_is_nothing_to_commit(bound: Shell):
    (bound.folder / "out").mkdir()
    assert "holds no files" in bound.reg("commit", "out", code=2).stderr


def test_a_folder_that_holds_the_registry_is_refused(shell: Shell):
    shell.reg("init", "registry", "--model", "m")
    shell.write("a", "a")
    error = shell.reg("commit", ".", code=2).stderr
    assert "holds the registry itself" in error
    assert ".regignore" in error
    shell.write(".regignore", "registry\n")
    shell.reg("commit", ".")
    assert shell.reg("ls", "-r", "-q").lines == [".regignore", "a"]


def test_a_name_that_cannot_be_stored_is_named(bound: Shell):
    bound.write("out/a:b", "x")
    found = bound.reg("commit", "out", "--json", code=2)
    assert found.error["code"] == "hostile-name"
    assert "a:b" in found.error["message"]


def test_a_bound_folder_with_its_own_binding_needs_no_current_one(story: Shell, monkeypatch):
    story.reg("checkout", "main", "copy")
    monkeypatch.chdir(story.folder.parent)
    (story.folder / "copy" / "note").write_text("x")
    assert story.reg("commit", "work/copy", "--json").json["number"] == 3


def test_ids_are_those_of_b3sum(story: Shell):
    data = (story.folder / "out" / "model.bin").read_bytes()
    assert story.reg("ls", "main:model.bin", "--json").json["entries"][0]["id"] == blake3.blake3(data).hexdigest()


def test_a_plan_shows_bytes_requests_and_dollars_and_writes_nothing(bound: Shell):
    bound.write("out/a", "a" * 5000)
    found = bound.reg("commit", "out", "--plan")
    assert "would write, and nothing was written" in found.stdout
    assert "$0.0000" in found.stdout
    assert bound.reg("commit", "out", "--plan", "--price", "gb_month=1e9", "--json").json["month_dollars"] > 1
    assert bound.reg("models", "-q").stdout == ""
    assert "there is no price 'put'" in bound.reg("commit", "out", "--plan", "--price", "put=1", code=2).stderr
    assert "give dollars" in bound.reg("commit", "out", "--plan", "--price", "gb_month=cheap", code=2).stderr


def test_a_plan_says_when_there_is_nothing_to_commit(bound: Shell):
    bound.write("out/a", "a")
    bound.reg("commit", "out")
    assert "no commit would be made" in bound.reg("commit", "out", "--plan").stdout


def test_labels_frameworks_and_files_of_facts(story: Shell):
    story.write("params.yaml", "lr: 1e-4\ntrain: {epochs: 3}\n")
    story.write("metrics.json", '{"auc": 0.5, "loss": {"val": 0.25}}')
    story.write("out/more", "more")
    files = ["--params-file", "params.yaml", "--metrics-file", "metrics.json"]
    story.reg(
        "commit",
        "out",
        *files,
        "--param",
        "train.epochs=4",
        "--label",
        "team=risk",
        "--framework",
        "torch=2.9.1",
        "--metric",
        "auc=0.6",
    )
    found = story.reg("show", "--json").json
    assert found["params"] == {"lr": 1e-4, "train.epochs": 4}
    assert found["metrics"] == {"auc": 0.6, "loss.val": 0.25}
    assert (found["labels"], found["framework"]) == ({"team": "risk"}, {"torch": "2.9.1"})
    shown = story.reg("show").stdout
    assert "team    risk" in shown
    assert "torch      2.9.1" in shown
    assert story.reg("log", "--json").json["commits"][0]["labels"] == {"team": "risk"}
    assert "there is no file" in story.reg("commit", "out", "--params-file", "none.yaml", code=3).stderr


def test_surroundings_are_told_unless_not_wanted(story: Shell, monkeypatch):
    monkeypatch.setenv("REG_CAPTURE", "1")
    story.write("out/more", "more")
    story.reg("commit", "out")
    found = story.reg("show", "--json").json
    assert found["environment"]["python"].startswith("3.")
    assert "blake3" in found["packages"]
    shown = story.reg("show").stdout
    assert "env     Python 3." in shown
    assert "packages (--packages lists them)" in shown
    assert f"blake3  {found['packages']['blake3']}".split() in [line.split() for line in story.reg("show", "--packages").lines]
    story.write("out/more", "less")
    story.reg("commit", "out", "--no-capture")
    assert (found := story.reg("show", "--json").json)["environment"] == found["packages"] == found["code"] == {}
    monkeypatch.setenv("REG_CAPTURE", "never")
    assert "REG_CAPTURE is 'never'" in story.reg("commit", "out", "--allow-empty", code=2).stderr


def test_the_code_and_what_no_commit_has(story: Shell, monkeypatch):
    from tests.operations.capture.repositories import git, make_repository

    monkeypatch.setenv("REG_CAPTURE", "1")
    work = make_repository(story.folder / "work")
    git(work, "remote", "add", "origin", "https://ana:hunter2@example.org/acme/fraud.git")
    (work / "train.py").write_text("lr = 0.5\n")
    story.reg("commit", "work", "--code-diff")
    found = story.reg("show", "--json").json["code"]
    assert (found["commit"], found["branch"], found["dirty"]) == (git(work, "rev-parse", "HEAD"), "main", True)
    assert "+lr = 0.5" in found["diff"]
    (line,) = [line for line in story.reg("show").lines if line.startswith("code")]
    assert line.startswith(f"code    {found['commit'][:12]} (main, with changes) of https://example.org/acme/fraud.git and ")
    assert "+lr = 0.5" in story.reg("show", "--code-diff").lines
    assert "+lr = 0.5" not in story.reg("show").lines


def test_a_version_that_repeats_another_is_named(story: Shell):
    story.write("out/config.json", '{"layers": 2}')
    found = story.reg("commit", "out")
    assert "  Bit-identical to v1" in found.lines
    story.write("out/config.json", '{"layers": 3}')
    assert story.reg("commit", "out", "--json").json["identical_to"] == 2


def test_show_prints_the_schema_of_an_mlmodel_file(story: Shell):
    story.write(
        "out/MLmodel",
        """signature: {inputs: '[{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 3]}}]', outputs: '[{"name": "y", "type": "double"}]'}""",
    )
    story.reg("commit", "out")
    shown = [line.split() for line in story.reg("show").lines]
    assert ["in", "-", "float32[?,", "3]"] in shown
    assert ["out", "y", "double"] in shown
    assert story.reg("show", "--json").json["schema"] == {
        "inputs": [{"name": None, "dtype": "float32", "shape": [None, 3]}], "outputs": [{"name": "y", "dtype": "double", "shape": None}], "params": [],
    }  # fmt: skip
