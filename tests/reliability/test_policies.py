"""The README's bucket policy: writers can work by it and delete nothing, a collector can delete what it has to and nothing else.

SeaweedFS enforces grants, but does not know the condition `s3:if-none-match`: the statements with it are left out here.
"""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

import cas_registry as reg
from cas_registry.backends.opening import open_backend
from cas_registry.errors import AccessError
from cas_registry.registry import Registry
from tests.reliability.matrix import Row
from tests.support.folders import File, make_bytes, write_folder
from tests.support.servers import S3Server

ROW = "policy"
README = Path(__file__).parents[2] / "README.md"
BUCKET, URL = "models", "s3://models/registry"


def statements() -> list[dict[str, Any]]:
    """Those of the README that the server can enforce, about its own identities."""
    (block,) = [
        found
        for found in re.findall(r"```json\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
        if "Statement" in found
    ]
    text = re.sub(r"arn:aws:iam::\d+:role/", "arn:aws:iam::000000000000:user/", block)
    found: list[dict[str, Any]] = json.loads(text)["Statement"]
    assert len(found) == 5
    return [statement for statement in found if "Condition" not in statement]


@pytest.fixture
def server(seaweedfs_server: S3Server) -> S3Server:
    import s3fs

    seaweedfs_server.make_bucket(BUCKET)
    owner = s3fs.S3FileSystem(**seaweedfs_server.storage_options, skip_instance_cache=True, use_listings_cache=False)
    if owner.exists(f"{BUCKET}/registry"):
        owner.rm(f"{BUCKET}/registry", recursive=True)
    owner.call_s3("put_bucket_policy", Bucket=BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": statements()}))
    reg.init(URL, storage_options=seaweedfs_server.storage_options)
    return seaweedfs_server


def as_role(server: S3Server, name: str) -> Registry:
    return reg.open(URL, storage_options=dataclasses.replace(server, access_key=name).storage_options)


def test_writers_need_no_right_to_delete_and_collectors_only_that_to_maps_and_packs(
    server: S3Server, matrix: Row, tmp_path: Path
) -> None:
    model = as_role(server, "trainers").model("m")
    for number in range(2):
        write_folder(tmp_path / "work", {"w.bin": File(make_bytes(number, 2_000_000)), "c.json": File(b"%d" % number)})
        model.commit(tmp_path / "work")
    model.tag("prod", "main")
    model.retire("main~1")
    model.checkout("prod", tmp_path / "out")
    matrix.count(5)
    backend = open_backend(URL, dataclasses.replace(server, access_key="trainers").storage_options)
    collector = open_backend(URL, dataclasses.replace(server, access_key="collector").storage_options)
    areas = {info.key.partition("/")[0]: info.key for info in backend.list("")}
    assert {"packs", "maps", "refs", "commits", "trees", "format"} <= areas.keys()
    for area, key in areas.items():
        with pytest.raises(AccessError):
            backend.delete(key)
        if area not in ("packs", "maps"):
            with pytest.raises(AccessError):
                collector.delete(key)
        matrix.count(2)
    report = as_role(server, "trainers").gc(delete=True, grace_s=0, trash_window_s=0)
    assert report.refused_objects > 0
    assert report.deleted_objects == 0
    report = as_role(server, "collector").gc(delete=True, grace_s=0, trash_window_s=0)
    assert (report.refused_objects, report.deleted_objects > 0) == (0, True)
    assert as_role(server, "trainers").fsck(read_data=True).exit_code == 0
    matrix.count(3)
