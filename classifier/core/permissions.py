"""The permissions for reviewing and retraining, and the default groups that have them.

classifier.radiographs.visibility decides which X-rays a user may see.
"""

VIEW = "registry.view_model"
REVIEW = "radiographs.review_radiograph"
ADJUDICATE = "reviews.adjudicate_review"
TRAIN = "registry.train_model"
PROMOTE = "registry.promote_model"

# What each of them lets people do, for the page that gives roles to people.
SENTENCES = {
    VIEW: "Sees data sets, training runs, models, promotions and the audit log.",
    REVIEW: "Sees the X-rays of everyone, without their file names, and reviews the answers.",
    ADJUDICATE: "Decides when reviewers disagree.",
    TRAIN: "Makes data sets, starts training runs and compares models.",
    PROMOTE: "Decides which model is live.",
}

DEFAULT_GROUPS = {
    "Reviewers": (REVIEW,),
    "Adjudicators": (REVIEW, ADJUDICATE),
    "Trainers": (VIEW, REVIEW, TRAIN, PROMOTE),
}
