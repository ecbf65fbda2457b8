"""Review of a data set by people: decisions beside the records, and how far reviewers agree."""

from emotion_llama.merr.review.desk import (
    ChangedRecordError,
    QueueFilter,
    QueueItem,
    RefusedReviewError,
    ReviewDesk,
)
from emotion_llama.merr.review.need import Need, need_of
from emotion_llama.merr.review.overlay import (
    REVIEWS_FILE,
    Applied,
    Edits,
    Review,
    append_review,
    apply,
    faults_of,
    read_reviews,
    record_hash,
)
from emotion_llama.merr.review.raters import (
    RaterAgreement,
    cohen_kappa,
    kept_ratings,
    krippendorff_alpha,
    label_ratings,
)

__all__ = [
    "REVIEWS_FILE",
    "Applied",
    "ChangedRecordError",
    "Edits",
    "Need",
    "QueueFilter",
    "QueueItem",
    "RaterAgreement",
    "RefusedReviewError",
    "Review",
    "ReviewDesk",
    "append_review",
    "apply",
    "cohen_kappa",
    "faults_of",
    "kept_ratings",
    "krippendorff_alpha",
    "label_ratings",
    "need_of",
    "read_reviews",
    "record_hash",
]
