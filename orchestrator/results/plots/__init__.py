"""Pictures of a run: one module a kind of picture, and the page that holds them all.

A picture is a function ``draw(data) -> Figure``; it raises :class:`~orchestrator.results.plots.data.NothingToShow`
with the reason where the run has nothing for it.  Only this package imports matplotlib.
"""
