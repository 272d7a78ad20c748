from .audit import AuditEntry
from .comparison import Comparison
from .dataset import DatasetVersion
from .model_version import ModelVersion, Promotion
from .notification import Notification
from .prediction import Prediction
from .prediction_batch import PredictionBatch
from .radiograph import Radiograph
from .review import Consensus, Review
from .schedule import RetrainingSchedule
from .site import Site
from .training_run import TrainingRun
from .user import User
from .write_count import WriteCount

__all__ = [
    "AuditEntry",
    "Comparison",
    "Consensus",
    "DatasetVersion",
    "ModelVersion",
    "Notification",
    "Prediction",
    "PredictionBatch",
    "Promotion",
    "Radiograph",
    "RetrainingSchedule",
    "Review",
    "Site",
    "TrainingRun",
    "User",
    "WriteCount",
]
