"""Trainable parts beside the policy: they own their optimiser, and write columns that chains read."""

from concord.learners.contrastive import Contrastive, ContrastiveLearner
from concord.learners.critic import Critic, CriticLearner
from concord.learners.learner import Learner, LearnerSpec, PoolingSpec

__all__ = ["Contrastive", "ContrastiveLearner", "Critic", "CriticLearner", "Learner", "LearnerSpec", "PoolingSpec"]
