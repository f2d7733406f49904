"""The catalogue: one function per published method."""

from concord.core.catalogue import Card, builder, info, names, register
from concord.methods.contrastive import clipo, with_contrastive
from concord.methods.group import dapo, dr_grpo, grpo, gspo, lite_ppo, rloo
from concord.methods.method import Method
from concord.methods.multi import gd2po, gd2po_hard, gdpo
from concord.methods.registry import create
from concord.methods.reinforce import reinforce_pp, reinforce_pp_baseline

__all__ = [
    "Card",
    "Method",
    "builder",
    "clipo",
    "create",
    "dapo",
    "dr_grpo",
    "gd2po",
    "gd2po_hard",
    "gdpo",
    "grpo",
    "gspo",
    "info",
    "lite_ppo",
    "names",
    "register",
    "reinforce_pp",
    "reinforce_pp_baseline",
    "rloo",
    "with_contrastive",
]
