"""Estimators, pipelines and transformers of scikit-learn."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cas_registry as reg
from cas_registry.errors import InvalidInputError, UnsafeFileError
from cas_registry.frameworks.adapters.scikit_learn import _foreign
from tests.frameworks.data import FEATURES, TABLE, amounts, classes, names
from tests.frameworks.round_trip import Case, assert_same, check


def _logistic(seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=0.5).fit(FEATURES, classes(seed))


def _forest(seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(20, random_state=seed).fit(FEATURES, names(seed))


def _boosting(seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingRegressor

    return HistGradientBoostingRegressor(max_iter=20, random_state=seed).fit(FEATURES, amounts(seed))


def _pipeline(seed: int) -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline, make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    columns = ColumnTransformer([("numbers", numbers, list(TABLE.columns[:8])), ("town", OneHotEncoder(), ["town"])])
    return Pipeline([("columns", columns), ("classifier", LogisticRegression())]).fit(TABLE, names(seed))


def _search(seed: int) -> Any:
    from sklearn.model_selection import GridSearchCV
    from sklearn.svm import SVC

    return GridSearchCV(SVC(), {"C": [0.1, 1.0], "kernel": ["linear", "rbf"]}, cv=3).fit(FEATURES, classes(seed))


def _text(seed: int) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import SGDClassifier
    from sklearn.pipeline import make_pipeline

    texts = ["a good film", "a bad film", "a very good book", "a dull book", "no good"] * 20
    return make_pipeline(TfidfVectorizer(), SGDClassifier(random_state=seed)).fit(texts, [1, 0, 1, 0, 0] * 20)


def _pca(seed: int) -> Any:
    from sklearn.decomposition import PCA

    return PCA(3).fit(FEATURES + seed / 10)


def _neighbours(seed: int) -> Any:
    from sklearn.neighbors import KNeighborsClassifier

    return KNeighborsClassifier().fit(FEATURES, classes(seed))


def _doubled(values: Any) -> Any:
    return values * 2


def _function(seed: int) -> Any:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    return make_pipeline(FunctionTransformer(_doubled), _logistic(seed))


def _case(name: str, train: Any, predict: Any, **more: Any) -> Case:
    return Case(f"scikit-learn {name}", ("sklearn", "skops"), train, predict, "scikit-learn", "skops", **more)


def _uplift(seed: int) -> Any:
    from causalml.inference.meta import BaseTRegressor
    from sklearn.linear_model import LinearRegression

    made = BaseTRegressor(learner=LinearRegression())
    made.fit(FEATURES, classes(0), amounts(seed))
    return made


def _propensity(seed: int) -> Any:
    from causalml.propensity import ElasticNetPropensityModel

    made = ElasticNetPropensityModel()
    made.fit(FEATURES, classes(seed))
    return made


def _uplift_tree(seed: int) -> Any:
    from causalml.inference.tree import UpliftTreeClassifier

    groups = np.where(classes(seed) == 1, "treated", "control")
    made = UpliftTreeClassifier("control", max_depth=3, min_samples_leaf=20, min_samples_treatment=5, random_state=seed)
    made.fit(FEATURES, treatment=groups, y=classes(seed + 2))
    return made


CASES = (
    _case("LogisticRegression", _logistic, lambda found: found.predict_proba(FEATURES)),
    _case("RandomForestClassifier", _forest, lambda found: [found.predict_proba(FEATURES), found.predict(FEATURES)]),
    _case("HistGradientBoostingRegressor", _boosting, lambda found: found.predict(FEATURES)),
    _case("Pipeline with a ColumnTransformer", _pipeline, lambda found: [found.predict(TABLE), found.predict_proba(TABLE)]),
    _case("GridSearchCV of an SVC", _search, lambda found: [found.decision_function(FEATURES), found.best_params_]),
    _case("Pipeline of text", _text, lambda found: found.decision_function(["a good book", "dull"])),
    _case("PCA", _pca, lambda found: found.transform(FEATURES)),
    _case("KNeighborsClassifier", _neighbours, lambda found: found.predict_proba(FEATURES)),
    Case(
        "causalml BaseTRegressor",
        ("causalml", "skops"),
        _uplift,
        lambda found: found.predict(FEATURES),
        "scikit-learn",
        "skops",
        load={"trust": ["causalml.inference.meta.tlearner.BaseTRegressor"]},
    ),
    Case(
        "causalml ElasticNetPropensityModel",
        ("causalml", "skops"),
        _propensity,
        lambda found: found.predict(FEATURES),
        "scikit-learn",
        "skops",
        load={"trust": ["causalml.propensity.ElasticNetPropensityModel"]},
    ),
    Case(
        "causalml UpliftTreeClassifier",
        ("causalml", "skops"),
        _uplift_tree,
        lambda found: found.predict(FEATURES),
        "scikit-learn",
        "joblib",
        needs_pickle=True,
        save={"allow_pickle": True},
    ),
)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_round_trip(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


def test_what_skops_does_not_cover_is_a_pickle_only_when_asked(tmp_path: Path) -> None:
    pytest.importorskip("skops")
    model = reg.init(tmp_path / "registry", cache_folder=tmp_path / "cache").model("m")
    found = _logistic(0)
    found.helper = 1j
    with pytest.raises(InvalidInputError, match=r"skops does not cover.*save\(\.\.\., allow_pickle=True\)"):
        model.save(found)
    model.save(found, allow_pickle=True)
    (stored,) = model.manifest().objects.values()
    assert (stored.format, stored.needs_pickle, stored.files) == ("joblib", True, ("model.joblib",))
    assert any(file.runs_code for file in model.files("main"))
    with pytest.raises(UnsafeFileError, match=r"model\.joblib"):
        model.load()
    assert_same(model.load(allow_pickle=True).predict(FEATURES), found.predict(FEATURES))


class _Unmakeable:
    """What skops writes and cannot make again, as it is with constructors in C."""

    def __new__(cls, needed: int) -> "_Unmakeable":
        return super().__new__(cls)

    def __init__(self, needed: int) -> None:
        self.needed = needed


def test_what_skops_writes_and_cannot_make_again_is_no_version(tmp_path: Path) -> None:
    pytest.importorskip("skops")
    model = reg.init(tmp_path / "registry", cache_folder=tmp_path / "cache").model("m")
    found = _logistic(0)
    found.helper = _Unmakeable(3)
    with pytest.raises(InvalidInputError, match="skops does not cover"):
        model.save(found)
    model.save(found, allow_pickle=True)
    (stored,) = model.manifest().objects.values()
    assert stored.format == "joblib"


def test_an_archive_of_skops_of_elsewhere_is_recognized(tmp_path: Path) -> None:
    skops = pytest.importorskip("skops.io")
    model = reg.init(tmp_path / "registry", cache_folder=tmp_path / "cache").model("m")
    skops.dump(_function(0), tmp_path / "mine.skops")
    model.commit([tmp_path / "mine.skops"])
    with pytest.raises(UnsafeFileError, match="_doubled"):
        model.load()
    assert_same(model.load(trust=f"{__name__}._doubled").predict(FEATURES), _function(0).predict(FEATURES))


def test_types_that_skops_does_not_trust_are_asked_for_by_name(tmp_path: Path) -> None:
    pytest.importorskip("skops")
    model = reg.init(tmp_path / "registry", cache_folder=tmp_path / "cache").model("m")
    found = _function(0)
    model.save(found)
    (stored,) = model.manifest().objects.values()
    assert (stored.format, stored.needs_pickle, stored.trust) == ("skops", False, (f"{__name__}._doubled",))
    with pytest.raises(UnsafeFileError, match=r"trust=\['tests") as caught:
        model.load()
    assert caught.value.fields["types"] == list(stored.trust)
    assert_same(model.load(trust=stored.trust).predict_proba(FEATURES), found.predict_proba(FEATURES))
    assert_same(model.load(trust=stored.trust[0]).predict_proba(FEATURES), found.predict_proba(FEATURES))


@pytest.mark.parametrize(
    ("name", "is_own"),
    [
        ("sklearn.tree._tree.Tree", True),
        ("sklearn.model_selection._split.KFold", True),
        ("numpy.dtype", True),
        ("sklearn.metrics._ranking.roc_auc_score", False),  # a function
        ("sklearn.tree._export.StringIO", False),  # of another's
        ("sklearn.tree._tree.Nothing", False),
        ("sklearn.tree.nowhere.Thing", False),
        ("sklearn.datasets._base.Bunch", False),
        ("os.system", False),
        ("builtins.eval", False),
        ("xsklearn.tree._tree.Tree", False),
    ],
)
def test_only_classes_of_its_own_are_trusted_unasked(name: str, is_own: bool) -> None:
    assert (_foreign([name]) == []) is is_own


def test_hyperparameters_are_those_of_the_estimator_and_its_steps(tmp_path: Path) -> None:
    pytest.importorskip("skops")
    model = reg.init(tmp_path / "registry", cache_folder=tmp_path / "cache").model("m")
    model.save(_pipeline(0), X_train=TABLE, y_train=names(0))
    commit = model.show("main").commit
    assert commit.params["classifier__C"] == 1.0
    assert commit.params["X_train.rows"] == len(TABLE)
    assert commit.schema is not None
    assert [column.name for column in commit.schema.inputs] == list(TABLE.columns)
