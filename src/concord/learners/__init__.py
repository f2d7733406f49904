"""Trainable parts beside the policy: they own their optimiser, and write columns that chains read."""

from concord.learners.contrastive import Contrastive, ContrastiveLearner
from concord.learners.learner import Learner, LearnerSpec

__all__ = ["Contrastive", "ContrastiveLearner", "Learner", "LearnerSpec"]
