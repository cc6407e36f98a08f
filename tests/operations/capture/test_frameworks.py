"""The frameworks that are loaded."""

from types import ModuleType

from cas_registry.operations.capture.frameworks import loaded_frameworks


def module(name: str, version: object = None) -> ModuleType:
    found = ModuleType(name)
    if version is not None:
        found.__version__ = version
    return found


class Version(str):
    """As torch has one."""

    __slots__ = ()


class Lazy(ModuleType):
    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"{name} was loaded")


def test_those_that_are_loaded_by_the_name_of_their_distribution() -> None:
    modules = {
        "sklearn": module("sklearn", "1.7.2"),
        "torch": module("torch", Version("2.9.0+cpu")),
        "json": module("json", "2"),
    }
    found = loaded_frameworks(modules, {})
    assert found == {"scikit-learn": "1.7.2", "torch": "2.9.0+cpu"}
    assert type(found["torch"]) is str


def test_without_a_word_of_its_own_the_installed_version_counts() -> None:
    modules = {"transformers": Lazy("transformers"), "jax": module("jax", (0, 7)), "shap": module("shap")}
    assert loaded_frameworks(modules, {"transformers": "5.0", "jax": "0.7"}) == {"transformers": "5.0", "jax": "0.7"}
