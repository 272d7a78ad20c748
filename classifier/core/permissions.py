"""Who may: the permissions of the retraining loop, and the groups that hold them by default."""

VIEW = "registry.view_model"
REVIEW = "radiographs.review_radiograph"
TRAIN = "registry.train_model"
PROMOTE = "registry.promote_model"

DEFAULT_GROUPS = {
    "Reviewers": (REVIEW,),
    "Trainers": (VIEW, REVIEW, TRAIN, PROMOTE),
}
