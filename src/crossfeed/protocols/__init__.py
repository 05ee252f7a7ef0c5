"""The protocols that all other modules are written against, and the values that pass between them.

Items (examples, prompts, completions) travel as `pyarrow.Table`, one row per item, whatever the kind of model; a
learner and its tasks agree on the columns, and the loop never looks at them.
"""

from crossfeed.protocols.choosing import Candidates, Reward, RewardContext
from crossfeed.protocols.forecasting import Forecaster
from crossfeed.protocols.items import (
    ALL_MODELS,
    FRESH,
    PRIVATE,
    PUBLIC,
    Array,
    Measurement,
    Part,
    Reading,
    Scores,
    State,
    TrainingSet,
)
from crossfeed.protocols.learning import (
    CountingLearner,
    DiscreteLearner,
    DivisibleTask,
    Examination,
    Journal,
    Learner,
    LearnerContext,
    Observer,
    OutsideModel,
    RestartingLearner,
    Task,
    TracedLearner,
)
from crossfeed.protocols.measuring import Filter, Metric, PoolView, Snapshot
from crossfeed.protocols.running import Progress
from crossfeed.protocols.storing import Claims, ClaimState, SharedStore, Store

__all__ = [
    "ALL_MODELS",
    "FRESH",
    "PRIVATE",
    "PUBLIC",
    "Array",
    "Candidates",
    "ClaimState",
    "Claims",
    "CountingLearner",
    "DiscreteLearner",
    "DivisibleTask",
    "Examination",
    "Filter",
    "Forecaster",
    "Journal",
    "Learner",
    "LearnerContext",
    "Measurement",
    "Metric",
    "Observer",
    "OutsideModel",
    "Part",
    "PoolView",
    "Progress",
    "Reading",
    "RestartingLearner",
    "Reward",
    "RewardContext",
    "Scores",
    "SharedStore",
    "Snapshot",
    "State",
    "Store",
    "Task",
    "TracedLearner",
    "TrainingSet",
]
