"""The steps that methods are made of: one frozen dataclass each."""

from concord.stages.combine import Sum, Weigh
from concord.stages.conflict import MaskConflicts, MaskLowConsensus, MeasureConflicts, ReweightGroups
from concord.stages.contrastive import AddContrastive, ContrastiveChannel
from concord.stages.filter import DropUniformGroups
from concord.stages.normalize import Centre, GroupCentreBatchScale, GroupNormalize, LeaveOneOut
from concord.stages.shape import OverlongPenalty
from concord.stages.whiten import BatchNormalize, Whiten

__all__ = [
    "AddContrastive",
    "BatchNormalize",
    "Centre",
    "ContrastiveChannel",
    "DropUniformGroups",
    "GroupCentreBatchScale",
    "GroupNormalize",
    "LeaveOneOut",
    "MaskConflicts",
    "MaskLowConsensus",
    "MeasureConflicts",
    "OverlongPenalty",
    "ReweightGroups",
    "Sum",
    "Weigh",
    "Whiten",
]
