"""Names and values of strangers: whatever they are, what is made of them can be stored."""

from hypothesis import given
from hypothesis import strategies as st

from cas_registry.model.canonical import encode_scalars
from cas_registry.model.names import check_model, check_ref
from cas_registry.operations.importing import naming

ANY_TEXT = st.text(st.characters(codec=None), max_size=300)


@given(ANY_TEXT)
def test_whatever_it_is_called_a_model_gets_a_name(name: str) -> None:
    check_model(naming.model_name(name))
    check_ref(naming.ref_name(name, "git"))


def test_names_stay_where_they_can() -> None:
    assert naming.model_name("fraud") == "fraud"
    assert naming.model_name("org/name") == "org-name"
    assert naming.model_name("a b:c") == "a-b-c"
    assert naming.ref_name("v1.0", "git") == "v1.0"
    assert naming.ref_name("v1", "git") == "git-v1"
    assert naming.ref_name("model@v1", "dvc") == "model-v1"
    assert naming.model_name("..") != naming.model_name("...")


@given(ANY_TEXT)
def test_a_number_is_the_number_that_the_text_is_or_the_text(text: str) -> None:
    value = naming.number(text)
    if isinstance(value, str):
        assert value == text
    else:
        assert value == float(text)


@given(
    st.dictionaries(
        st.sampled_from("abc"),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
            max_leaves=8,
        ),
    )
)
def test_values_can_be_stored(values: dict[str, object]) -> None:
    encode_scalars(naming.scalars(values, what="param"), what="param")


@given(ANY_TEXT)
def test_messages_and_authors_fit(text: str) -> None:
    assert len(naming.message(text * 500).encode()) <= 64 * 1024
    found = naming.author(text * 50)
    assert found is None or len(found.encode()) <= 1024
