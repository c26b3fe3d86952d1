"""From a spec to its early stopping."""

from __future__ import annotations

from orchestrator.search.stopping.alone import PlateauJudge, ThresholdJudge
from orchestrator.search.stopping.bandit import BanditJudge
from orchestrator.search.stopping.base import Judge, Reports, Scale, Stopper
from orchestrator.search.stopping.halving import HyperbandJudge, halving
from orchestrator.search.stopping.median import MedianJudge
from orchestrator.spec.model import Spec
from orchestrator.spec.stopping import Bandit, Halving, Hyperband, Median, Plateau, Rule, Threshold


def make_stopper(spec: Spec) -> Stopper | None:
    """The stopper of ``search.early_stopping``; None where the spec has none."""
    rule = spec.search.early_stopping
    return None if rule is None else Reports(judge(rule, spec.search.goal == "maximize"), rule.after)


def judge(rule: Rule, maximize: bool) -> Judge:
    """The rule at work, for a metric of which more or less is better."""
    scale = Scale(maximize)
    match rule:
        case Median():
            return MedianJudge(rule, scale)
        case Halving():
            return halving(rule, scale)
        case Hyperband():
            return HyperbandJudge(rule, scale)
        case Bandit():
            return BanditJudge(rule, scale, maximize)
        case Plateau():
            return PlateauJudge(rule, scale)
        case Threshold():
            return ThresholdJudge(rule)
    raise TypeError(f"no early stopping is registered for the rule {rule.key}")
