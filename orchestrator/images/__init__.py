"""The framework images: recipes in a folder ``containers/``, built by the Docker engine, pushed to a registry.

Nothing here knows of runs or providers.
"""
