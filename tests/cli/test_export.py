import io
import json
import subprocess
import tarfile
from pathlib import Path

from tests.cli.shell import Shell, command, program


def test_a_folder_is_the_default_and_a_second_run_says_so(story: Shell):
    first = story.reg("export", "prod", "outside")
    assert "is exported to" in first.stdout
    assert "2 files" in first.stdout
    assert (story.folder / "outside" / "config.json").read_text() == '{"layers": 2}'
    assert "already" in story.reg("export", "prod", "outside").stdout
    assert story.reg("export", "prod", "outside", "-q").lines == [str(story.folder / "outside")]


def test_a_dry_run_lists_files_and_bytes(story: Shell):
    found = story.reg("export", "prod", "outside", "--metadata", "--dry-run", "--json").json
    assert (found["dry_run"], found["changed"], found["format"]) == (True, True, "folder")
    assert [file["path"] for file in found["files"]] == ["cas-version.json", "config.json", "model.bin"]
    assert found["size_bytes"] == sum(file["size_bytes"] for file in found["files"])
    assert not (story.folder / "outside").exists()
    assert "model.bin" in story.reg("export", "prod", "outside", "--dry-run").stdout


def test_a_tar_goes_down_a_pipe_and_nothing_else_does(story: Shell):
    found = program("export", "prod", "-")
    assert found.exit_code == 0, found.stderr
    with tarfile.open(fileobj=io.BytesIO(found.data)) as opened:
        assert opened.getnames() == ["config.json", "model.bin"]
    assert "standard output" in found.stderr
    assert program("export", "prod", "-", "-q").data == found.data
    refused = story.reg("export", "prod", "-", "--json", code=2)
    assert refused.error["code"]
    assert story.reg("export", "prod", "-", "--json", "--dry-run").json["destination"] == "-"


def test_gnu_tar_reads_the_pipe(story: Shell, tmp_path: Path):
    out = tmp_path / "unpacked"
    out.mkdir()
    with subprocess.Popen(command("export", "prod", "-", "-q"), stdout=subprocess.PIPE) as reg:
        subprocess.run(["tar", "-x", "-C", out], stdin=reg.stdout, check=True)
    assert reg.returncode == 0
    assert sorted(path.name for path in out.iterdir()) == ["config.json", "model.bin"]


def test_a_layout_gets_names(story: Shell):
    first = story.reg("export", "prod", "layout", "--as", "oci", "--json").json
    assert first["name"] == "v1"
    assert first["digest"].startswith("sha256:")
    story.reg("export", "main", "layout", "--as", "oci", "--tag", "fraud:live")
    index = json.loads((story.folder / "layout" / "index.json").read_text())
    names = [item["annotations"]["org.opencontainers.image.ref.name"] for item in index["manifests"]]
    assert names == ["v1", "fraud:live"]
    assert story.reg("export", "main", "layout", "--as", "oci", "--tag", "v1", "--json", code=4).error["code"] == "conflict"
    assert story.reg("export", "prod", "layout", "--as", "oci", "-q").lines == [first["digest"]]


def test_what_stands_in_the_way_is_said_with_its_exit_status(story: Shell):
    story.write("outside/config.json", "mine")
    assert story.reg("export", "prod", "outside", "--json", code=4).error["code"] == "local-edits"
    assert story.reg("export", "prod", "model", "--as", "mlflow", "--json", code=2).error["code"] == "invalid-input"
    story.reg("export", "prod", "outside", "--force")
    assert (story.folder / "outside" / "config.json").read_text() == '{"layers": 2}'
