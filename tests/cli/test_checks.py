"""fsck and doctor."""

from pathlib import Path

import pytest

from tests.cli.shell import Shell


def objects(shell: Shell, area: str) -> list[Path]:
    return sorted(path for path in (shell.folder.parent / "registry" / area).rglob("*") if path.is_file())


def test_a_whole_registry_is_clean(story: Shell):
    found = story.reg("fsck", "--read-data", "--json").json
    assert (found["clean"], found["findings"], found["models"], found["versions"]) == (True, [], 1, 2)
    assert found["bytes_read"] == sum(path.stat().st_size for path in objects(story, "packs"))
    assert "Everything is there and whole" in story.reg("fsck", "--read-data").stdout
    assert "reg fsck --read-data" in story.reg("fsck").stdout
    assert story.reg("fsck", "-q").lines == []


def test_a_lost_pack_is_named_with_the_versions_concerned(story: Shell):
    pack = max(objects(story, "packs"), key=lambda path: path.stat().st_size)
    pack.unlink()
    found = story.reg("fsck", "--json", code=5).json
    (finding,) = found["findings"]
    assert (finding["severity"], finding["key"]) == ("lost", f"packs/{pack.name}")
    assert len(finding["versions"]) == 2
    assert all(version.startswith("fraud@") for version in finding["versions"])
    shown = story.reg("fsck", code=5).stdout
    assert f"packs/{pack.name}" in shown
    assert "concerns fraud@" in shown
    assert "Data is lost" in shown
    assert story.reg("fsck", "-q", code=5).lines == [f"packs/{pack.name}"]


def test_a_flipped_bit_is_found_by_reading(story: Shell):
    pack = objects(story, "packs")[0]
    data = bytearray(pack.read_bytes())
    data[32] ^= 1  # the first byte of the first chunk
    pack.chmod(0o644)
    pack.write_bytes(data)
    story.reg("fsck")
    assert story.reg("fsck", "--read-data", "-q", code=5).lines == [f"packs/{pack.name}"]


@pytest.mark.parametrize("damage", ["missing", "damaged"])
def test_a_registry_too_damaged_to_open_can_be_checked(story: Shell, damage):
    path = story.folder.parent / "registry" / "format"
    path.chmod(0o644)
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(b"?" + path.read_bytes()[1:])
    story.reg("log", code=3 if damage == "missing" else 5)
    shown = story.reg("fsck", code=1).stdout
    assert f"repairable  format: {damage}" in shown
    assert "nothing is lost" in shown


def test_a_share_of_the_data_is_read(story: Shell):
    found = story.reg("fsck", "--read-data=1", "--json").json
    assert 0 < found["bytes_read"] < found["pack_bytes"] == sum(path.stat().st_size for path in objects(story, "packs"))
    assert " of " in story.reg("fsck", "--read-data", "1").stdout
    story.reg("fsck", "--read-data=0", code=2)
    story.reg("fsck", "--read-data=101", code=2)


def test_a_repair_puts_maps_and_format_back_and_says_so(story: Shell):
    registry = story.folder.parent / "registry"
    (registry / "format").unlink()
    for path in objects(story, "maps"):
        path.unlink()
    rehearsed = story.reg("fsck", "--repair", "--dry-run", "--json", code=1).json
    assert rehearsed["dry_run"]
    assert not (registry / "format").exists()
    assert "Dry run: nothing is written" in story.reg("fsck", "--repair", "--dry-run", code=1).stdout
    repaired = story.reg("fsck", "--repair", "--json").json
    assert (repaired["clean"], repaired["dry_run"]) == (True, False)
    assert {action["key"].partition("/")[0] for action in repaired["actions"]} == {"format", "maps", "refs"}
    assert "Nothing to repair" in story.reg("fsck", "--repair").stdout
    assert story.reg("fsck", "--read-data", "--json").json["clean"]


def test_a_repair_fetches_what_is_lost_from_a_folder_and_names_what_is_not_there(story: Shell):
    for path in objects(story, "packs"):
        path.unlink()
    shown = story.reg("fsck", "--repair", code=5).stdout
    assert "Nothing that can be repaired from here" in shown
    assert "--from PLACE" in shown
    assert f"from {story.folder / 'out'}" in story.reg("fsck", "--repair", "--from", story.folder / "out", code=None).stdout
    story.reg("checkout", "main", "back")
    assert (story.folder / "back/config.json").read_bytes() == (story.folder / "out/config.json").read_bytes()


def test_sources_and_dry_runs_are_of_repairs_and_sources_must_be_there(story: Shell):
    assert "--repair" in story.reg("fsck", "--from", "out", code=2).stderr
    assert "--repair" in story.reg("fsck", "--dry-run", code=2).stderr
    assert "nowhere" in story.reg("fsck", "--repair", "--from", "nowhere", code=3).stderr


def test_where_there_is_no_registry_there_is_nothing_to_check(shell: Shell):
    assert "there is no registry" in shell.reg("fsck", "-R", "../nothing", code=3).stderr


def test_the_doctor_finds_a_local_registry_well_and_leaves_nothing(story: Shell):
    registry = story.folder.parent / "registry"
    before = sorted(path for path in registry.rglob("*"))
    found = story.reg("doctor", "--json").json
    assert sorted(path for path in registry.rglob("*")) == [path for path in before if path.name != "probe"]
    assert found["healthy"] is True
    assert {check["name"]: check["status"] for check in found["checks"]} == dict.fromkeys(
        ["url", "reach", "registry", "create", "write", "delete", "clock", "cache", "versions"], "ok"
    )
    assert {row["package"] for row in found["versions"]} >= {"cas_registry", "python", "s3fs", "blake3"}
    shown = story.reg("doctor").stdout
    assert "create    one winner, clashes refused" in shown
    assert shown.splitlines()[-1] == "Well"
    assert story.reg("doctor", "-q").lines == []


def test_the_doctor_takes_a_url_that_holds_nothing_yet(shell: Shell):
    found = shell.reg("doctor", "../nothing", "--json").json
    status = {check["name"]: check["status"] for check in found["checks"]}
    assert (status["reach"], status["registry"], status["write"]) == ("warn", "warn", "skipped")
    assert "reg init" in shell.reg("doctor", "../nothing").stdout
    assert not (shell.folder.parent / "nothing").exists()


def test_the_doctor_fails_on_a_url_with_credentials_and_does_not_repeat_them(shell: Shell):
    found = shell.reg("doctor", "s3://AKIAIOSFODNN7EXAMPLE:hunter2@bucket/x", "--json", code=6)
    assert found.json["healthy"] is False
    assert found.json["checks"][0]["status"] == "fail"
    assert "hunter2" not in found.stdout
    assert shell.reg("doctor", "s3://a:hunter2@bucket/x", "-q", code=6).lines == ["url"]


def test_the_doctor_names_a_damaged_registry(story: Shell):
    path = story.folder.parent / "registry" / "format"
    path.chmod(0o644)
    path.write_bytes(b"?" + path.read_bytes()[1:])
    assert story.reg("doctor", "-q", code=6).lines == ["registry"]


def test_the_doctor_names_a_cache_that_cannot_be_written(story: Shell, monkeypatch):
    monkeypatch.setenv("REG_CACHE", str(story.write("a-file", "x")))
    assert story.reg("doctor", "-q", code=6).lines == ["cache"]
    assert "set REG_CACHE" in story.reg("doctor", code=6).stdout


def test_the_doctor_warns_of_a_clock_that_is_wrong(story: Shell, monkeypatch):
    from cas_registry.cli.session import CommandWorld

    real = CommandWorld.clock_ns
    for shift_s, words in ((3600, "3,600 s ahead of"), (-3600, "3,600 s behind")):
        monkeypatch.setattr(CommandWorld, "clock_ns", staticmethod(lambda shift_s=shift_s: real() + shift_s * 10**9))
        (clock,) = [check for check in story.reg("doctor", "--json").json["checks"] if check["name"] == "clock"]
        assert clock["status"] == "warn"
        digits = words.split()[0].replace(",", "")
        assert abs(int(clock["found"].split("clock is ")[1].split(" s ")[0].replace(",", "")) - int(digits)) <= 5
        assert words.split(" s ")[1] in clock["found"]


def test_the_doctor_refuses_a_store_that_lets_two_writers_create(shell: Shell, monkeypatch):
    from cas_registry.backends.memory import MemoryBackend

    monkeypatch.setattr(MemoryBackend, "create", MemoryBackend.put)
    found = shell.reg("doctor", "memory://careless", "--json", code=6).json
    (create,) = [check for check in found["checks"] if check["name"] == "create"]
    assert (create["status"], create["found"]) == ("fail", "a second create of one key was accepted")
    assert "--single-writer" in create["advice"]
    shell.reg("init", "memory://careless", code=6)
    shell.reg("init", "memory://careless", "--single-writer")
    (create,) = [check for check in shell.reg("doctor", "--json").json["checks"] if check["name"] == "create"]
    assert create["status"] == "warn"


def test_the_doctor_says_when_a_writer_may_not_delete(shell: Shell, monkeypatch):
    from cas_registry.backends.memory import MemoryBackend
    from cas_registry.errors import AccessError

    def refuse(self, key):
        raise AccessError(f"cannot delete {key}")

    monkeypatch.setattr(MemoryBackend, "delete", refuse)
    found = shell.reg("doctor", "memory://append-only", "--json").json
    assert {check["name"]: check["status"] for check in found["checks"]}["delete"] == "warn"


def test_the_doctor_says_when_writing_is_refused(shell: Shell, monkeypatch):
    from cas_registry.backends.memory import MemoryBackend
    from cas_registry.errors import AccessError

    def refuse(self, key, data):
        raise AccessError(f"cannot write {key}")

    shell.reg("init", "memory://read-only")
    monkeypatch.setattr(MemoryBackend, "put", refuse)
    monkeypatch.setattr(MemoryBackend, "create", refuse)
    found = shell.reg("doctor", "--json", code=6).json
    assert [check["name"] for check in found["checks"] if check["status"] == "fail"] == ["create", "write"]
    assert [check["name"] for check in found["checks"] if check["status"] == "skipped"] == ["delete", "clock"]
