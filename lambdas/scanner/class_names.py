"""Classes that a pickle may make: estimators of scikit-learn and layers of torch, wherever a version keeps them.

Private modules move between versions, the classes keep their names. Making one of them only keeps arguments, and
giving it a state only sets attributes.
"""

SKLEARN_WORDS = """
    ARDRegression AbsoluteError AdaBoostClassifier AdaBoostRegressor AdamOptimizer AdditiveChi2Sampler
    AffinityPropagation AgglomerationTransform AgglomerativeClustering ArgKmin ArgKmin32 ArgKmin64 ArgKminClassMode
    ArgKminClassMode32 ArgKminClassMode64 ArrayAPILossMixin BaggingClassifier BaggingRegressor BallTree BallTree32
    BallTree64 BaseBagging BaseCrossValidator BaseDecisionTree BaseDistancesReduction32 BaseDistancesReduction64
    BaseDistancesReductionDispatcher BaseEnsemble BaseEstimator BaseForest BaseGradientBoosting BaseGraphicalLasso
    BaseHistGradientBoosting BaseLabelPropagation BaseLibSVM BaseLink BaseLoss BaseMixture BaseMultilayerPerceptron
    BaseOptimizer BaseRandomProjection BaseSGD BaseSGDClassifier BaseSGDRegressor BaseSVC BaseSearchCV
    BaseShuffleSplit BaseSpectral BaseSuccessiveHalving BaseThresholdClassifier BaseWeightBoosting
    BayesianGaussianMixture BayesianRidge BernoulliNB BernoulliRBM BestFirstTreeBuilder BestSparseSplitter
    BestSplitter BiclusterMixin Binarizer BinaryTree32 BinaryTree64 BinomialDeviance Birch BisectingKMeans
    BrayCurtisDistance32 BrayCurtisDistance64 Bunch CCA CalibratedClassifierCV CanberraDistance32 CanberraDistance64
    CategoricalNB ChebyshevDistance32 ChebyshevDistance64 ClassNamePrefixFeaturesOutMixin ClassicalMDS
    Classification ClassificationCriterion ClassifierChain ClassifierMixin ClusterMixin ColumnTransformer
    ComplementNB CompoundKernel ConstantKernel CountVectorizer Criterion CyAbsoluteError CyExponentialLoss
    CyHalfBinomialLoss CyHalfGammaLoss CyHalfMultinomialLoss CyHalfPoissonLoss CyHalfSquaredError CyHalfTweedieLoss
    CyHalfTweedieLossIdentity CyHuberLoss CyLossFunction CyPinballLoss DBSCAN DecisionTreeClassifier
    DecisionTreeRegressor DenseDenseMiddleTermComputer32 DenseDenseMiddleTermComputer64 DensePartitioner
    DensityMixin DepthFirstTreeBuilder DiceDistance32 DiceDistance64 DictVectorizer DictionaryLearning
    DiscriminantAnalysisPredictionMixin DistanceMetric DistanceMetric32 DistanceMetric64 DotProduct DummyClassifier
    DummyRegressor ElasticNet ElasticNetCV EllipticEnvelope EmpiricalCovariance Entropy EpsilonInsensitive
    EuclideanArgKmin32 EuclideanArgKmin64 EuclideanDistance32 EuclideanDistance64 EuclideanRadiusNeighbors32
    EuclideanRadiusNeighbors64 ExpSineSquared ExponentialLoss Exponentiation ExtraTreeClassifier ExtraTreeRegressor
    ExtraTreesClassifier ExtraTreesRegressor FactorAnalysis FastICA FeatureAgglomeration FeatureHasher FeatureUnion
    FixedThresholdClassifier ForestClassifier ForestRegressor FrozenEstimator FunctionTransformer GammaRegressor
    GaussianMixture GaussianNB GaussianProcessClassifier GaussianProcessRegressor GaussianRandomProjection
    GenericKernelMixin GenericUnivariateSelect Gini GradientBoostingClassifier GradientBoostingRegressor
    GraphicalLasso GraphicalLassoCV GridSearchCV GroupKFold GroupShuffleSplit GroupsConsumerMixin HDBSCAN
    HalfBinomialLoss HalfBinomialLossArrayAPI HalfGammaLoss HalfLogitLink HalfMultinomialLoss
    HalfMultinomialLossArrayAPI HalfPoissonLoss HalfPoissonLossArrayAPI HalfSquaredError HalfTweedieLoss
    HalfTweedieLossIdentity HalvingGridSearchCV HalvingRandomSearchCV HammingDistance32 HammingDistance64
    HashingVectorizer HaversineDistance32 HaversineDistance64 Hinge HistGradientBoostingClassifier
    HistGradientBoostingRegressor HistogramBuilder HuberLoss HuberRegressor Hyperparameter IdentityLink Imputer
    IncrementalPCA Interval IsolationForest Isomap IsotonicRegression IterativeImputer JaccardDistance32
    JaccardDistance64 KBinsDiscretizer KDTree KDTree32 KDTree64 KFold KMeans KNNImputer KNeighborsClassifier
    KNeighborsMixin KNeighborsRegressor KNeighborsTransformer Kernel KernelCenterer KernelDensity KernelPCA
    KernelRidge KulsinskiDistance32 KulsinskiDistance64 LabelBinarizer LabelEncoder LabelPropagation LabelSpreading
    Lars LarsCV Lasso LassoCV LassoLars LassoLarsCV LassoLarsIC LatentDirichletAllocation LeastSquaresError
    LeaveOneGroupOut LeaveOneOut LeavePGroupsOut LeavePOut LedoitWolf LinearClassifierMixin
    LinearDiscriminantAnalysis LinearModel LinearModelCV LinearModelLoss LinearRegression LinearSVC LinearSVR
    LocalOutlierFactor LocallyLinearEmbedding LogLink LogOddsEstimator LogisticRegression LogisticRegressionCV
    LogitLink MAE MDS MLPClassifier MLPRegressor MSE MahalanobisDistance32 MahalanobisDistance64 ManhattanDistance32
    ManhattanDistance64 MatchingDistance32 MatchingDistance64 Matern MaxAbsScaler MeanEstimator MeanShift
    MetaEstimatorMixin MiddleTermComputer32 MiddleTermComputer64 MinCovDet MinMaxScaler MiniBatchDictionaryLearning
    MiniBatchKMeans MiniBatchNMF MiniBatchSparsePCA MinkowskiDistance32 MinkowskiDistance64 MissingIndicator
    ModifiedHuber MonotonicConstraint MultiLabelBinarizer MultiOutputClassifier MultiOutputLinearModel
    MultiOutputMixin MultiOutputRegressor MultiTaskElasticNet MultiTaskElasticNetCV MultiTaskLasso MultiTaskLassoCV
    MultinomialDeviance MultinomialLogit MultinomialNB NMF NearestCentroid NearestNeighbors
    NeighborhoodComponentsAnalysis NeighborsBase NeighborsHeap32 NeighborsHeap64 NewtonCholeskySolver NewtonSolver
    NodeHeap NormalizedKernelMixin Normalizer NuSVC NuSVR Nystroem OAS OPTICS OneClassSVM OneHotEncoder
    OneToOneFeatureMixin OneVsOneClassifier OneVsRestClassifier OrdinalEncoder OrthogonalMatchingPursuit
    OrthogonalMatchingPursuitCV OutlierMixin OutputCodeClassifier PCA PLSCanonical PLSRegression PLSSVD
    PairwiseKernel ParameterGrid ParameterSampler PassiveAggressiveClassifier PassiveAggressiveRegressor
    PatchExtractor Perceptron PinballLoss Pipeline Poisson PoissonRegressor PolynomialCountSketch PolynomialFeatures
    PowerTransformer PredefinedSplit PriorProbabilityEstimator Product QuadraticDiscriminantAnalysis
    QuantileEstimator QuantileRegressor QuantileTransformer RANSACRegressor RBF RBFSampler RFE RFECV RadiusNeighbors
    RadiusNeighbors32 RadiusNeighbors64 RadiusNeighborsClassMode RadiusNeighborsClassMode32
    RadiusNeighborsClassMode64 RadiusNeighborsClassifier RadiusNeighborsMixin RadiusNeighborsRegressor
    RadiusNeighborsTransformer RandomForestClassifier RandomForestRegressor RandomSparseSplitter RandomSplitter
    RandomTreesEmbedding RandomizedSearchCV RationalQuadratic Regression RegressionCriterion RegressorChain
    RegressorMixin RepeatedKFold RepeatedStratifiedKFold Ridge RidgeCV RidgeClassifier RidgeClassifierCV
    RobustScaler RogersTanimotoDistance32 RogersTanimotoDistance64 RussellRaoDistance32 RussellRaoDistance64
    SEuclideanDistance32 SEuclideanDistance64 SGDClassifier SGDOneClassSVM SGDOptimizer SGDRegressor SVC SVR
    SelectFdr SelectFpr SelectFromModel SelectFwe SelectKBest SelectPercentile SelectorMixin SelfTrainingClassifier
    SequentialFeatureSelector ShrunkCovariance ShuffleSplit SimpleImputer SkewedChi2Sampler SokalMichenerDistance32
    SokalMichenerDistance64 SokalSneathDistance32 SokalSneathDistance64 SparseCoder SparseCoefMixin
    SparseDenseMiddleTermComputer32 SparseDenseMiddleTermComputer64 SparsePCA SparsePartitioner
    SparseRandomProjection SparseSparseMiddleTermComputer32 SparseSparseMiddleTermComputer64 SpectralBiclustering
    SpectralClustering SpectralCoclustering SpectralEmbedding SplineTransformer SplitInfo Splitter
    SquaredEpsilonInsensitive SquaredHinge StackingClassifier StackingRegressor StandardScaler StationaryKernelMixin
    StratifiedGroupKFold StratifiedKFold StratifiedShuffleSplit Sum TSNE TargetEncoder TfidfTransformer
    TfidfVectorizer TheilSenRegressor TimeSeriesSplit TransformedTargetRegressor TransformerMixin Tree TreeBuilder
    TreeGrower TreeNode TreePredictor TreeUnionFind TruncatedSVD TunedThresholdClassifierCV TweedieRegressor
    UnionFind VarianceThreshold VotingClassifier VotingRegressor WeightedFenwickTree WhiteKernel ZeroEstimator
    _AlphaPruner _BaseChain _BaseDiscreteNB _BaseEncoder _BaseFilter _BaseHeterogeneousEnsemble _BaseImputer
    _BaseKFold _BaseKMeans _BaseNB _BaseNMF _BasePCA _BaseRidge _BaseRidgeCV _BaseScorer _BaseSparseCoding
    _BaseSparsePCA _BaseStacking _BaseVoting _BinMapper _BinaryGaussianProcessClassifierLaplace _BisectingTree
    _CCPPruneController _CFNode _CFSubcluster _CVIterableWrapper _CalibratedClassifier _CategoricalEncoder
    _ConstantPredictor _CurveScorer _DecisionBoundaryScorer _GeneralizedLinearRegressor _IdentityClassifier
    _IdentityRegressor _ImputerTriplet _MultiOutputEstimator _MultimetricScorer _PLS _PassthroughScorer _PathFinder
    _PredictScorer _ProbaScorer _QuadTree _RepeatedSplits _RidgeClassifierMixin _RidgeGCV _Scorer
    _SigmoidCalibration _SubsampleMetaSplitter _TemperatureScaling _ThresholdScorer _UnsupportedGroupCVMixin
    _VectorizerMixin _XT_CenterStackOp _X_CenterStackOp make_column_selector
"""
TORCH_WORDS = """
    AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d AdaptiveLogSoftmaxWithLoss AdaptiveMaxPool1d
    AdaptiveMaxPool2d AdaptiveMaxPool3d AlphaDropout AvgPool1d AvgPool2d AvgPool3d BCELoss BCEWithLogitsLoss
    BatchNorm1d BatchNorm2d BatchNorm3d Bilinear CELU CTCLoss ChannelShuffle CircularPad1d CircularPad2d
    CircularPad3d ConstantPad1d ConstantPad2d ConstantPad3d Container Conv1d Conv2d Conv3d ConvTranspose1d
    ConvTranspose2d ConvTranspose3d CosineEmbeddingLoss CosineSimilarity CrossEntropyLoss CrossMapLRN2d Dropout
    Dropout1d Dropout2d Dropout3d ELU Embedding EmbeddingBag FeatureAlphaDropout Flatten Fold FractionalMaxPool2d
    FractionalMaxPool3d GELU GLU GRU GRUCell GaussianNLLLoss GroupNorm Hardshrink Hardsigmoid Hardswish Hardtanh
    HingeEmbeddingLoss HuberLoss Identity InstanceNorm1d InstanceNorm2d InstanceNorm3d KLDivLoss L1Loss LPPool1d
    LPPool2d LPPool3d LSTM LSTMCell LayerNorm LazyBatchNorm1d LazyBatchNorm2d LazyBatchNorm3d LazyConv1d LazyConv2d
    LazyConv3d LazyConvTranspose1d LazyConvTranspose2d LazyConvTranspose3d LazyInstanceNorm1d LazyInstanceNorm2d
    LazyInstanceNorm3d LazyLinear LazyModuleMixin LeakyReLU Linear LinearCrossEntropyLoss LocalResponseNorm
    LogSigmoid LogSoftmax MSELoss MarginRankingLoss MaxPool1d MaxPool2d MaxPool3d MaxUnpool1d MaxUnpool2d
    MaxUnpool3d Mish Module ModuleDict ModuleList MultiLabelMarginLoss MultiLabelSoftMarginLoss MultiMarginLoss
    MultiheadAttention NLLLoss NLLLoss2d NonDynamicallyQuantizableLinear PReLU PairwiseDistance ParameterDict
    ParameterList PixelShuffle PixelUnshuffle PoissonNLLLoss RMSNorm RNN RNNBase RNNCell RNNCellBase RReLU ReLU
    ReLU6 ReflectionPad1d ReflectionPad2d ReflectionPad3d ReplicationPad1d ReplicationPad2d ReplicationPad3d SELU
    Sequential SiLU Sigmoid SmoothL1Loss SoftMarginLoss Softmax Softmax2d Softmin Softplus Softshrink Softsign
    SyncBatchNorm Tanh Tanhshrink Threshold Transformer TransformerDecoder TransformerDecoderLayer
    TransformerEncoder TransformerEncoderLayer TripletMarginLoss TripletMarginWithDistanceLoss Unflatten Unfold
    Upsample UpsamplingBilinear2d UpsamplingNearest2d ZeroPad1d ZeroPad2d ZeroPad3d _AdaptiveAvgPoolNd
    _AdaptiveMaxPoolNd _AvgPoolNd _BatchNorm _CircularPadNd _ConstantPadNd _ConvNd _ConvTransposeMixin
    _ConvTransposeNd _DropoutNd _InstanceNorm _LPPoolNd _LazyConvXdMixin _LazyNormBase _Loss _MaxPoolNd _MaxUnpoolNd
    _NormBase _ReflectionPadNd _ReplicationPadNd _WeightedLoss
"""
# Before version 1.3, what counts in float64 had no number in its name.
SKLEARN = frozenset(SKLEARN_WORDS.split()) | {name.removesuffix("64") for name in SKLEARN_WORDS.split()}
TORCH_LAYERS = frozenset(TORCH_WORDS.split())
