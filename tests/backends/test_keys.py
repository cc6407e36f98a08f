import pytest

from cas_registry.backends import check_key
from cas_registry.errors import InvalidInputError


@pytest.mark.parametrize(
    "key", ["format", "refs/m/0000000001", "packs/" + "0" * 64, "refs/Grüße.v2/HEAD", "a/...", ".a", "a b", "a@b"]
)
def test_what_the_layout_may_hold_is_returned(key):
    assert check_key(key) == key


@pytest.mark.parametrize(
    "key", ["", "/", "a/", "/a", "a//b", ".", "..", "a/..", "../a", "a/./b", "a\\b", "\0", "a?b", "a" * 9000 + "/"]
)
def test_what_could_leave_the_registry_or_alias_a_key_is_refused_briefly(key):
    with pytest.raises(InvalidInputError) as caught:
        check_key(key)
    assert len(str(caught.value)) < 200
