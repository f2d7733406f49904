"""The steps that methods are made of: one frozen dataclass each."""

from concord.stages.average import Average
from concord.stages.beta import BetaNormalize
from concord.stages.bundles import BundleRisk
from concord.stages.carry import Carry
from concord.stages.combine import Sum, Weigh
from concord.stages.conflict import MaskConflicts, MaskLowConsensus, MeasureConflicts, ReweightGroups
from concord.stages.consistency import BlendByConsistency
from concord.stages.contrastive import AddContrastive, ContrastiveChannel
from concord.stages.critic import Gae, PlaceTurnRewards, WhitenTokens
from concord.stages.cvar import GroupCvar
from concord.stages.difficulty import ScaleByDifficulty
from concord.stages.filter import DropUniformGroups
from concord.stages.filtering import FilterByRank, KeepExtremes
from concord.stages.length import LengthAdvantage
from concord.stages.normalize import Centre, GroupCentreBatchScale, GroupNormalize, LeaveOneOut
from concord.stages.price import VariancePrice
from concord.stages.shape import OverlongPenalty
from concord.stages.target import BoundedTarget
from concord.stages.tempered import TemperedTarget
from concord.stages.token_scores import ReweightDominantTokens, SoftenSharedTokens
from concord.stages.turns import DiscountToEnd, InformationGain, NormalizeByTag, NormalizeEndsApart, SumLaterTurns
from concord.stages.verdicts import DropLopsidedGroups
from concord.stages.whiten import BatchNormalize, Whiten

__all__ = [
    "AddContrastive",
    "Average",
    "BatchNormalize",
    "BetaNormalize",
    "BlendByConsistency",
    "BoundedTarget",
    "BundleRisk",
    "Carry",
    "Centre",
    "ContrastiveChannel",
    "DiscountToEnd",
    "DropLopsidedGroups",
    "DropUniformGroups",
    "FilterByRank",
    "Gae",
    "GroupCentreBatchScale",
    "GroupCvar",
    "GroupNormalize",
    "InformationGain",
    "KeepExtremes",
    "LeaveOneOut",
    "LengthAdvantage",
    "MaskConflicts",
    "MaskLowConsensus",
    "MeasureConflicts",
    "NormalizeByTag",
    "NormalizeEndsApart",
    "OverlongPenalty",
    "PlaceTurnRewards",
    "ReweightDominantTokens",
    "ReweightGroups",
    "ScaleByDifficulty",
    "SoftenSharedTokens",
    "Sum",
    "SumLaterTurns",
    "TemperedTarget",
    "VariancePrice",
    "Weigh",
    "Whiten",
    "WhitenTokens",
]
