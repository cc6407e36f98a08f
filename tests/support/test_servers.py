import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.support import servers
from tests.support.servers import S3Server, free_ports, ministack, rclone_s3

WITH_SERVERS = pytest.mark.xdist_group("s3")


def port_of(server: S3Server) -> int:
    return int(server.endpoint_url.rpartition(":")[2])


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@WITH_SERVERS
@pytest.mark.parametrize("start", [ministack, rclone_s3])
def test_a_server_ends_with_its_context_also_when_the_body_fails(tmp_path, start):
    ports = []

    def use() -> None:
        with start(tmp_path) as server:
            ports.append(port_of(server))
            assert server.make_bucket("bucket") == "bucket"
            assert server.make_bucket("bucket") == "bucket"
            assert is_listening(ports[0])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        use()
    assert not is_listening(ports[0])


@WITH_SERVERS
def test_a_port_taken_meanwhile_means_another_try(tmp_path, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = iter([taken.getsockname()[1], free_ports(1)])
        monkeypatch.setattr(servers, "free_ports", lambda count, offset=0: next(ports))
        with rclone_s3(tmp_path) as server:
            assert port_of(server) != taken.getsockname()[1]
            server.make_bucket("bucket")


def test_a_server_that_never_starts_is_reported_with_its_output(tmp_path, monkeypatch):
    monkeypatch.setattr(servers, "_executable", lambda name: "false")
    started: list[list[str]] = []
    real_popen = subprocess.Popen

    def popen(command: list[str], **options: object) -> "subprocess.Popen[bytes]":
        started.append(command)
        return real_popen(["sh", "-c", "echo no disk, sorry; exit 1"], **options)

    monkeypatch.setattr(subprocess, "Popen", popen)
    began = time.monotonic()
    with pytest.raises(RuntimeError, match="no disk, sorry"), rclone_s3(tmp_path):
        pass
    assert len(started) == 3
    assert time.monotonic() - began < 10


def test_the_servers_see_nothing_of_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the developer's own")
    monkeypatch.setattr(servers, "_START_TIMEOUT_S", 0)
    seen: list[dict[str, str]] = []
    real_popen = subprocess.Popen

    def popen(command: list[str], *, env: dict[str, str], **options: object) -> "subprocess.Popen[bytes]":
        seen.append(env)
        return real_popen(["true"], env=env, **options)

    monkeypatch.setattr(subprocess, "Popen", popen)
    with pytest.raises(RuntimeError), rclone_s3(tmp_path):
        pass
    assert {tuple(sorted(env)) for env in seen} == {("HOME", "PATH", "TMPDIR")}
    assert {env["HOME"] for env in seen} == {str(tmp_path)}


def test_free_ports_avoid_those_in_use(monkeypatch):
    with socket.socket() as taken:
        first = free_ports(1)
        taken.bind(("127.0.0.1", first))
        taken.listen()
        choices = iter([first, first - 1, first - 3, first + 1])
        monkeypatch.setattr(servers.random, "randrange", lambda *bounds: next(choices))
        monkeypatch.setattr(servers, "_is_free", lambda port: port != first)
        assert free_ports(2) == first - 3
        assert free_ports(1, offset=10) == first + 1


def test_a_server_does_not_show_its_secret_key():
    server = S3Server("name", "http://127.0.0.1:1")
    assert server.secret_key not in repr(server)
    assert server.storage_options["secret"] == server.secret_key


def test_tests_live_in_their_own_world():
    import os

    home = Path.home()
    assert home.is_dir()
    assert list(home.iterdir()) == []
    assert {name for name in os.environ if name.startswith(("AWS_", "REG_"))} == {"AWS_EC2_METADATA_DISABLED", "REG_CAPTURE"}
    for name in ("CACHE", "CONFIG", "DATA", "STATE"):
        assert Path(os.environ[f"XDG_{name}_HOME"]).parent == home
    (home / "left").write_text("by a test")


@pytest.mark.parametrize("again", [1, 2])
def test_no_home_is_used_twice(again):
    assert list(Path.home().iterdir()) == []
    (Path.home() / "left").write_text("by a test")


@pytest.fixture
def seaweedfs_server() -> None:
    """Stands in for the real one, so that nothing is started."""


def test_a_test_with_a_server_is_in_its_group(seaweedfs_server, request):
    assert request.node.get_closest_marker("xdist_group").args == ("s3",)
    if getattr(request.config.option, "loadgroup", False):
        assert request.node.nodeid.endswith("@s3"), "what xdist's scheduler reads"


@pytest.mark.parametrize("kind", ["ministack_server"])
def test_a_test_with_a_parameter_that_names_a_server_is_in_its_group(kind, request):
    assert request.node.get_closest_marker("xdist_group").args == ("s3",)


def test_a_test_without_one_is_in_none(request):
    assert request.node.get_closest_marker("xdist_group") is None
