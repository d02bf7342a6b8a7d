"""Which names a pickle may import without more ado: exact ones, and exact class names within a family of modules.

Everything here may be called with anything else here and with any constant, and still cannot run what a file brings:
none takes the name of a module, a function, a file to write or a piece of code. That is why `getattr`, numpy's
`_ufunc_reconstruct` (imports by name) and the distributions of `scipy.stats` (run text from their state) are absent.
"""

from __future__ import annotations

from lambdas.scanner.class_names import SKLEARN, TORCH_LAYERS

EXACT: dict[str, str] = {
    "builtins": """bool bytearray bytes complex dict float frozenset int list object range set slice str tuple
        NotImplemented Ellipsis""",
    "collections": "Counter OrderedDict defaultdict deque",
    "copyreg": "_reconstructor __newobj__ __newobj_ex__",
    "_codecs": "encode",
    "datetime": "date datetime time timedelta timezone",
    "decimal": "Decimal",
    "fractions": "Fraction",
    "functools": "partial",
    "_io": "BytesIO",
    "io": "BytesIO",
    "logging": "getLogger",
    "pathlib": "PosixPath PurePath PurePosixPath PureWindowsPath WindowsPath",
    "pathlib._local": "PosixPath PurePath PurePosixPath PureWindowsPath WindowsPath",
    "re": "_compile",
    "types": "SimpleNamespace",
    "uuid": "UUID SafeUUID",
    "zoneinfo": "ZoneInfo._unpickle",
    # numpy: making arrays, and functions of numbers that FunctionTransformer and scorers refer to
    "numpy": """dtype ndarray matrix record bool_ bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 intc intp uint
        longlong ulonglong float16 float32 float64 longdouble float128 complex64 complex128 str_ bytes_ void
        object_ datetime64 timedelta64 abs absolute add arccos arccosh arcsin arcsinh arctan arctan2 arctanh
        argmax argmin asarray average cbrt ceil clip cos cosh cumsum deg2rad divide exp exp2 expm1 fabs floor
        hypot identity isfinite isinf isnan log log10 log1p log2 logaddexp max maximum mean median min minimum
        multiply nan_to_num nanmax nanmean nanmedian nanmin nanstd nanvar negative ones percentile power prod
        ptp quantile rad2deg ravel reciprocal rint round sign sin sinh sqrt square std subtract sum tan tanh
        transpose trunc var zeros""",
    "numpy.ma": "MaskedArray",
    "numpy.ma.core": "MaskedArray _mareconstruct",
    "numpy.rec": "recarray record",
    "numpy.linalg": "norm",
    "numpy.random": "RandomState Generator",
    "numpy.random.mtrand": "RandomState",
    "numpy.random._mt19937": "MT19937",
    "numpy.random._pcg64": "PCG64 PCG64DXSM",
    "numpy.random._philox": "Philox",
    "numpy.random._sfc64": "SFC64",
    "numpy.random._pickle": "__bit_generator_ctor __generator_ctor __randomstate_ctor",
    "numpy.random.bit_generator": "SeedSequence __pyx_unpickle_SeedSequence",
    **{
        f"numpy.{core}": names
        for core, names in {
            "core.multiarray": "_reconstruct scalar",
            "_core.multiarray": "_reconstruct scalar",
            "core.numeric": "_frombuffer",
            "_core.numeric": "_frombuffer",
        }.items()
    },
    # scipy
    **{
        f"scipy.sparse.{module}": f"{kind}_array {kind}_matrix"
        for kind in ("bsr", "coo", "csc", "csr", "dia", "dok", "lil")
        for module in (kind, f"_{kind}")
    },
    "scipy.interpolate._bsplines": "BSpline",
    "scipy.interpolate._interpolate": "interp1d",
    "scipy.interpolate.interpolate": "interp1d",
    "scipy.interpolate": "BSpline interp1d",
    "scipy.spatial._ckdtree": "cKDTree",
    "scipy.spatial._kdtree": "KDTree",
    "scipy.special._ufuncs": "expit logit",
    "scipy.special": "expit logit",
    "scipy._lib.array_api_compat.numpy._aliases": "asarray",
    # pandas: tables and their indexes
    "pandas": """Categorical CategoricalDtype CategoricalIndex DataFrame DatetimeIndex DatetimeTZDtype Index Int8Dtype
        Int16Dtype Int32Dtype Int64Dtype Float32Dtype Float64Dtype BooleanDtype IntervalDtype IntervalIndex
        MultiIndex NA PeriodDtype PeriodIndex RangeIndex Series StringDtype TimedeltaIndex Timestamp Timedelta""",
    "pandas.arrays": "BooleanArray DatetimeArray FloatingArray IntegerArray IntervalArray PeriodArray StringArray",
    "pandas.core.frame": "DataFrame",
    "pandas.core.series": "Series",
    "pandas.core.arrays.categorical": "Categorical",
    "pandas.core.arrays.datetimes": "DatetimeArray",
    "pandas.core.arrays.integer": "IntegerArray Int64Dtype Int32Dtype",
    "pandas.core.arrays.string_": "StringArray StringDtype",
    "pandas.core.dtypes.dtypes": "CategoricalDtype DatetimeTZDtype IntervalDtype PeriodDtype",
    "pandas.core.indexes.base": "Index _new_Index",
    "pandas.core.indexes.category": "CategoricalIndex",
    "pandas.core.indexes.datetimes": "DatetimeIndex _new_DatetimeIndex",
    "pandas.core.indexes.interval": "IntervalIndex _new_IntervalIndex",
    "pandas.core.indexes.multi": "MultiIndex",
    "pandas.core.indexes.numeric": "Int64Index Float64Index UInt64Index",
    "pandas.core.indexes.range": "RangeIndex",
    "pandas.core.internals.blocks": "new_block",
    "pandas.core.internals.managers": "BlockManager SingleBlockManager",
    "pandas._libs.arrays": "__pyx_unpickle_NDArrayBacked",
    "pandas._libs.internals": "_unpickle_block",
    "pandas._libs.missing": "NA",
    "pandas._libs.tslibs.timedeltas": "_timedelta_unpickle Timedelta",
    "pandas._libs.tslibs.timestamps": "_unpickle_timestamp Timestamp",
    # joblib keeps arrays behind these
    "joblib.numpy_pickle": "NumpyArrayWrapper",
    # boosted trees: a native model in bytes or text
    "xgboost.core": "Booster",
    "xgboost.sklearn": "XGBModel XGBClassifier XGBRegressor XGBRanker XGBRFClassifier XGBRFRegressor",
    "lightgbm.basic": "Booster",
    "lightgbm.sklearn": "LGBMModel LGBMClassifier LGBMRegressor LGBMRanker",
    # scikit-learn's functions; its classes are below
    "sklearn._loss._loss": " ".join(
        f"__pyx_unpickle_{name}" for name in SKLEARN if name.startswith("Cy") and "32" not in name
    ),
    "sklearn.metrics._dist_metrics": "newObj DistanceMetric DistanceMetric64 DistanceMetric32",
    "sklearn.utils._metadata_requests": "MetadataRequest MethodMetadataRequest",
    "sklearn.neighbors._kd_tree": "newObj",
    "sklearn.neighbors._ball_tree": "newObj",
    "sklearn.cluster._kmeans": "_kmeans_single_lloyd _kmeans_single_elkan lloyd_iter_chunked_dense",
    "sklearn.feature_selection._univariate_selection": "chi2 f_classif f_regression f_oneway r_regression",
    "sklearn.feature_selection._mutual_info": "mutual_info_classif mutual_info_regression",
    "sklearn.metrics._classification": """accuracy_score balanced_accuracy_score cohen_kappa_score f1_score
        fbeta_score hamming_loss jaccard_score
        log_loss matthews_corrcoef precision_score recall_score brier_score_loss""",
    "sklearn.metrics._ranking": "average_precision_score roc_auc_score top_k_accuracy_score",
    "sklearn.metrics._regression": """explained_variance_score max_error mean_absolute_error mean_squared_error
        median_absolute_error r2_score
        root_mean_squared_error mean_absolute_percentage_error mean_squared_log_error""",
    "sklearn.metrics.pairwise": """cosine_similarity euclidean_distances linear_kernel manhattan_distances
        polynomial_kernel rbf_kernel
        sigmoid_kernel""",
    # torch: tensors over storages that the file keeps beside the pickle
    "torch": """device Size Tensor BFloat16Storage BoolStorage ByteStorage CharStorage ComplexDoubleStorage
        ComplexFloatStorage DoubleStorage FloatStorage HalfStorage IntStorage LongStorage ShortStorage
        QInt8Storage QInt32Storage QUInt8Storage bfloat16 bool complex64 complex128 float16 float32 float64
        float8_e4m3fn float8_e5m2 int8 int16 int32 int64 uint8 uint16 uint32 uint64 qint8 qint32 quint8
        per_channel_affine per_tensor_affine contiguous_format channels_last preserve_format strided sparse_coo
        sparse_csr""",
    "torch.cuda": """BFloat16Storage BoolStorage ByteStorage CharStorage DoubleStorage FloatStorage HalfStorage
        IntStorage
        LongStorage ShortStorage""",
    "torch._tensor": "Tensor _rebuild_from_type_v2",
    "torch._utils": """_rebuild_meta_tensor_no_storage _rebuild_parameter _rebuild_parameter_with_state _rebuild_qtensor
        _rebuild_sparse_csr_tensor _rebuild_sparse_tensor _rebuild_tensor _rebuild_tensor_v2 _rebuild_tensor_v3""",
    "torch.nn.parameter": "Parameter Buffer UninitializedBuffer UninitializedParameter",
    "torch.nn.functional": """celu elu gelu glu hardsigmoid hardswish hardtanh leaky_relu log_softmax mish relu
        relu6 selu sigmoid
        silu softmax softplus tanh""",
    "torch.nn.init": "zeros_ ones_ xavier_uniform_ xavier_normal_ kaiming_uniform_ kaiming_normal_",
    "torch.serialization": "_get_layout",
    "torch.storage": "TypedStorage UntypedStorage _load_from_bytes",  # the bytes are scanned as a file of their own
    **{
        f"torch.optim.{module}": cls
        for module, cls in {
            "adam": "Adam",
            "adamw": "AdamW",
            "adamax": "Adamax",
            "adagrad": "Adagrad",
            "rmsprop": "RMSprop",
            "sgd": "SGD",
        }.items()
    },
}
SKLEARN_FAMILIES = """_loss base calibration cluster compose covariance cross_decomposition decomposition
    discriminant_analysis dummy ensemble feature_extraction feature_selection frozen gaussian_process impute isotonic
    kernel_approximation kernel_ridge linear_model manifold metrics mixture model_selection multiclass multioutput
    naive_bayes neighbors neural_network pipeline preprocessing random_projection semi_supervised svm tree
    utils._bunch utils._weight_vector"""
FAMILIES: tuple[tuple[tuple[str, ...], frozenset[str]], ...] = (
    (tuple(f"sklearn.{family}" for family in SKLEARN_FAMILIES.split()), SKLEARN),
    (("torch.nn.modules",), TORCH_LAYERS),
)
ALLOWED = frozenset((module, name) for module, names in EXACT.items() for name in names.split())


def allowed(module: str, name: str) -> bool:
    """Tell whether a pickle may import this name and call what it names."""
    if (module, name) in ALLOWED:
        return True
    return any(name in names and within(module, families) for families, names in FAMILIES)


def within(module: str, families: tuple[str, ...]) -> bool:
    """Tell whether a module is one of these or inside one."""
    return any(module == family or module.startswith(family + ".") for family in families)
