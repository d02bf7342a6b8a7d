"""Model files as scikit-learn, XGBoost, LightGBM and numpy themselves write them: `honest_files.py FOLDER`.

Runs in the environment of frameworks.txt; the tests scan what it leaves in the folder.
"""
# pyright: reportMissingImports=false, reportArgumentType=false

import gzip
import pickle
import sys
import warnings
from pathlib import Path

import joblib
import lightgbm
import numpy as np
import pandas as pd
import scipy.sparse
import xgboost
from sklearn import ensemble, linear_model, neighbors, neural_network, svm
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.feature_selection import SelectKBest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.impute import SimpleImputer
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import make_scorer, roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, LabelEncoder, OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

warnings.simplefilter("ignore")
RANDOM = np.random.default_rng(0)
X = RANDOM.random((150, 4))
Y = (X[:, 0] + X[:, 1] > 1).astype(int)
TABLE = pd.DataFrame(
    {"size": X[:, 0], "weight": X[:, 1], "colour": pd.Categorical(RANDOM.choice(["red", "blue"], 150))}
)


def estimators() -> dict:
    """Fitted estimators of scikit-learn, of many kinds."""
    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), make_column_selector(dtype_include="number")),
            ("words", OneHotEncoder(), ["colour"]),
        ]
    )
    search = GridSearchCV(svm.SVC(), {"C": [0.1, 1]}, cv=2, scoring=make_scorer(roc_auc_score))
    text = make_pipeline(TfidfVectorizer(), linear_model.LogisticRegression())
    return {
        "forest": ensemble.RandomForestClassifier(10).fit(X, Y),
        "histogram_boosting": ensemble.HistGradientBoostingClassifier(max_iter=5).fit(X, Y),
        "gradient_boosting": ensemble.GradientBoostingRegressor(n_estimators=5).fit(X, Y),
        "isolation_forest": ensemble.IsolationForest(n_estimators=5).fit(X),
        "stacking": ensemble.StackingClassifier([("nb", GaussianNB()), ("tree", DecisionTreeClassifier())]).fit(X, Y),
        "logistic": linear_model.LogisticRegression().fit(X, Y),
        "sgd": linear_model.SGDClassifier().fit(X, Y),
        "table_pipeline": make_pipeline(columns, linear_model.LogisticRegression()).fit(TABLE, Y),
        "text_pipeline": text.fit(["good model", "bad model", "good day", "bad day"], [1, 0, 1, 0]),
        "selection": make_pipeline(SelectKBest(k=2), PCA(1), svm.LinearSVC()).fit(X, Y),
        "functions": make_pipeline(FunctionTransformer(np.log1p), linear_model.Ridge()).fit(X, Y),
        "target": TransformedTargetRegressor(linear_model.Ridge(), func=np.log1p, inverse_func=np.expm1).fit(X, Y),
        "search": search.fit(X, Y),
        "neighbours": neighbors.KNeighborsClassifier(algorithm="kd_tree").fit(X, Y),
        "network": neural_network.MLPClassifier((8,), max_iter=5).fit(X, Y),
        "process": GaussianProcessRegressor(RBF() + WhiteKernel()).fit(X[:20], Y[:20]),
        "clusters": KMeans(3, n_init=1).fit(X),
        "isotonic": IsotonicRegression().fit(X[:, 0], Y),
        "labels": LabelEncoder().fit(["x", "y"]),
    }


def write_pickles(folder: Path) -> None:
    """Every estimator by pickle and by joblib, some in every protocol and compression."""
    made = estimators()
    for name, model in made.items():
        (folder / f"{name}.pkl").write_bytes(pickle.dumps(model))
        joblib.dump(model, folder / f"{name}.joblib")
    for protocol in range(6):
        (folder / f"forest_{protocol}.pickle").write_bytes(pickle.dumps(made["forest"], protocol))
        joblib.dump(made["forest"], folder / f"forest_{protocol}.joblib", protocol=protocol)
    for kind in ("zlib", "gzip", "bz2", "xz", "lzma"):
        joblib.dump(made["table_pipeline"], folder / f"table_pipeline_{kind}.joblib", compress=(kind, 3))
    with gzip.open(folder / "forest.pkl.gz", "wb") as file:
        pickle.dump(made["forest"], file)
    with open(folder / "two.pkl", "wb") as file:
        pickle.dump(made["logistic"], file)
        pickle.dump({"accuracy": 0.9}, file)
    joblib.dump({"model": made["forest"], "names": np.array(["a", 1, None], dtype=object)}, folder / "objects.joblib")
    joblib.dump(TABLE, folder / "table.joblib")
    TABLE.to_pickle(folder / "table.pkl")
    (folder / "sparse.pkl").write_bytes(pickle.dumps([scipy.sparse.eye(3).asformat(k) for k in ("csr", "csc", "coo")]))
    (folder / "plain.pkl").write_bytes(pickle.dumps({"weights": [1.0, 2.0], "name": "m", "when": pd.Timestamp("2026")}))
    (folder / "generator.pkl").write_bytes(pickle.dumps([np.random.default_rng(0), np.random.RandomState(0)]))


def write_boosters(folder: Path) -> None:
    """XGBoost and LightGBM, as pickles and in their own formats."""
    classifier = xgboost.XGBClassifier(n_estimators=5).fit(X, Y)
    regressor = xgboost.XGBRegressor(n_estimators=5).fit(X, Y)
    light = lightgbm.LGBMClassifier(n_estimators=5, verbose=-1).fit(X, Y)
    pipeline = make_pipeline(StandardScaler(), xgboost.XGBClassifier(n_estimators=3)).fit(X, Y)
    for name, model in {"xgboost": classifier, "xgboost_r": regressor, "lightgbm": light, "xgb_pipe": pipeline}.items():
        (folder / f"{name}.pkl").write_bytes(pickle.dumps(model))
        joblib.dump(model, folder / f"{name}.joblib")
    (folder / "booster.pkl").write_bytes(pickle.dumps([classifier.get_booster(), light.booster_]))
    classifier.save_model(folder / "xgboost.json")
    classifier.save_model(folder / "xgboost.ubj")
    light.booster_.save_model(folder / "lightgbm.txt")


def write_arrays(folder: Path) -> None:
    """Arrays of numbers, text, records and objects."""
    np.save(folder / "numbers.npy", X)
    np.save(folder / "text.npy", np.array(["a", "bcd"]))
    np.save(folder / "records.npy", np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]))
    np.save(folder / "days.npy", np.array(["2026-01-01"], dtype="M8[D]"))
    np.save(folder / "objects.npy", np.array([1, "a", None], dtype=object), allow_pickle=True)
    np.savez(folder / "arrays.npz", x=X, y=Y)
    np.savez_compressed(folder / "packed.npz", x=X, y=Y)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    for write in (write_pickles, write_boosters, write_arrays):
        write(target)
