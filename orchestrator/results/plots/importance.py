"""Which parameters decided the result.

PED-ANOVA as Optuna has it.  Source: S. Watanabe, A. Bansal and F. Hutter, PED-ANOVA: Efficiently Quantifying
Hyperparameter Importance in Arbitrary Subspaces, IJCAI 2023.
"""

from __future__ import annotations

from matplotlib.figure import Figure

from orchestrator.results.plots import style
from orchestrator.results.plots.data import NothingToShow, RunData

# Fewer trials say nothing about importance.
LEAST = 8


def importances(data: RunData) -> dict[str, float]:
    """The share of each parameter, the largest first; they sum to 1.  Raises NothingToShow."""
    ended = [told for told in data.told if told.state == "succeeded" and told.value is not None]
    if len(ended) < LEAST:
        raise NothingToShow(f"importance needs at least {LEAST} trials with a value, and there are {len(ended)}")
    if len({told.value for told in ended}) == 1:
        raise NothingToShow(f"every trial has the same {data.metric}")
    if len(data.goals) > 1:
        raise NothingToShow("importance is for one goal, and the sweep has several")
    try:
        import optuna
        from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
    except ImportError:
        raise NothingToShow("importance needs Optuna: pip install 'orchestrator[search]'") from None
    import warnings

    from orchestrator.search.export import export_study

    storage = optuna.storages.InMemoryStorage()
    export_study(data.spec, data.run, ended, storage)
    study = optuna.load_study(study_name=data.run, storage=storage)
    varied = set(data.varied())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # experimental in Optuna
        found = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    shares = {name: share for name, share in found.items() if name in varied}
    if not shares:
        raise NothingToShow("no parameter differs between all trials")
    return shares


def draw(data: RunData) -> Figure:
    shares = importances(data)
    names = list(shares)[::-1]
    figure = style.figure(8.0, 1.2 + 0.4 * len(names))
    axes = style.axes(figure)
    places = range(len(names))
    axes.barh(places, [shares[name] for name in names], color=style.BLUE)
    axes.set_yticks(places, [style.label(name) for name in names])
    for place, name in enumerate(names):
        axes.annotate(
            f"{shares[name]:.2f}", (shares[name], place), xytext=(4, 0), textcoords="offset points", va="center"
        )
    axes.set_xlabel(f"share of the importance for {data.metric}")
    axes.set_xlim(0, max(shares.values()) * 1.12)
    axes.grid(axis="y", visible=False)
    return figure
