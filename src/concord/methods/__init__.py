"""The catalogue: one function per published method."""

from concord.core.catalogue import Card, builder, info, names, register
from concord.methods.blends import copo, dcpo
from concord.methods.contrastive import clipo, with_contrastive
from concord.methods.critic import pf_ppo, ppo, turn_ppo
from concord.methods.demonstration import sft_chi_squared, sft_hellinger, sft_total_variation
from concord.methods.exploration import rapo, rover
from concord.methods.group import dapo, dr_grpo, grpo, gspo, gspo_token, lite_ppo, rloo
from concord.methods.improvement import PolicyImprovement, pipo
from concord.methods.judged import brpo, spo
from concord.methods.losses import dhpo, dhpo_entropy, gbpo, p3o
from concord.methods.method import Method
from concord.methods.multi import gd2po, gd2po_hard, gdpo
from concord.methods.preference import cdpo, dno, dpo, ipo, ipo_sum, power_dl, rpo, rpo_mean, rpo_tokens
from concord.methods.registry import advantages, create
from concord.methods.reinforce import reinforce_pp, reinforce_pp_baseline
from concord.methods.revision import with_revisions
from concord.methods.risk import group_cvar, risk_po
from concord.methods.selection import contrastive_subset, grpo_s
from concord.methods.token_reward import rto
from concord.methods.tokens import nthr, thr
from concord.methods.trust_region import r2vpo, r2vpo_dual
from concord.methods.turns import eapo, igpo, rlvmr
from concord.methods.weights import adora, bnpo
from concord.methods.whole_groups import copg, p3o_joint, real

__all__ = [
    "Card",
    "Method",
    "PolicyImprovement",
    "adora",
    "advantages",
    "bnpo",
    "brpo",
    "builder",
    "cdpo",
    "clipo",
    "contrastive_subset",
    "copg",
    "copo",
    "create",
    "dapo",
    "dcpo",
    "dhpo",
    "dhpo_entropy",
    "dno",
    "dpo",
    "dr_grpo",
    "eapo",
    "gbpo",
    "gd2po",
    "gd2po_hard",
    "gdpo",
    "group_cvar",
    "grpo",
    "grpo_s",
    "gspo",
    "gspo_token",
    "igpo",
    "info",
    "ipo",
    "ipo_sum",
    "lite_ppo",
    "names",
    "nthr",
    "p3o",
    "p3o_joint",
    "pf_ppo",
    "pipo",
    "power_dl",
    "ppo",
    "r2vpo",
    "r2vpo_dual",
    "rapo",
    "real",
    "register",
    "reinforce_pp",
    "reinforce_pp_baseline",
    "risk_po",
    "rloo",
    "rlvmr",
    "rover",
    "rpo",
    "rpo_mean",
    "rpo_tokens",
    "rto",
    "sft_chi_squared",
    "sft_hellinger",
    "sft_total_variation",
    "spo",
    "thr",
    "turn_ppo",
    "with_contrastive",
    "with_revisions",
]
