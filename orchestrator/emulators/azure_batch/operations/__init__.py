"""The operations of the API, a module for each kind of resource; importing this registers them all."""

from . import account, files, jobs, nodes, pools, schedules, tasks

__all__ = ["account", "files", "jobs", "nodes", "pools", "schedules", "tasks"]
