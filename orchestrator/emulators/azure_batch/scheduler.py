"""Bringing ready tasks and free nodes together."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from .readyqueue import Shape
from .task import Task

if TYPE_CHECKING:
    from .account import Account
    from .jobs import Job
    from .nodes import Node
    from .pools import Pool


class Scheduler:
    """Assigns tasks to nodes, one pool at a time, whenever something about the pool has changed."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._kicked: set[Pool] = set()

    def kick(self, pool: Pool) -> None:
        """Look at a pool again, once, when the present step is done."""
        if pool not in self._kicked:
            self._kicked.add(pool)
            asyncio.get_running_loop().call_soon(self._look, pool)

    def _look(self, pool: Pool) -> None:
        self._kicked.discard(pool)
        if pool.state == "deleting":
            return
        nodes = [node for node in pool.nodes.values() if node.accepts_tasks and node.free_slots > 0]
        if not nodes:
            return
        by_priority: dict[int, list[Job]] = {}
        for job in self._account.jobs_on(pool):
            if job.state == "active":
                by_priority.setdefault(job.priority, []).append(job)
        for priority in sorted(by_priority, reverse=True):
            jobs = by_priority[priority]
            if pool.job_order == "creationtime":
                for job in sorted(jobs, key=lambda one: one.created):
                    self._serve([job], nodes)
            else:
                self._serve(jobs, nodes)

    def _serve(self, jobs: list[Job], nodes: list[Node]) -> None:
        """Give the jobs a task each in turn, as long as any of them can have one."""
        waiting = list(jobs)
        while waiting and nodes:
            waiting = [job for job in waiting if self._assign_one(job, nodes)]
            nodes[:] = [node for node in nodes if node.accepts_tasks and node.free_slots > 0]

    def _assign_one(self, job: Job, nodes: list[Node]) -> bool:
        if 0 <= job.max_parallel <= job.index.counts.running:
            return False
        for shape, task in job.queue.heads():
            chosen = self._choose(task, shape, [node for node in nodes if self._fits(task, node)])
            if chosen:
                job.queue.pop(shape)
                self._account.tasks.assign(task, chosen)
                return True
        return False

    def _fits(self, task: Task, node: Node) -> bool:
        job = task.job
        if task.manages:
            manager = job.spec["jobManagerTask"]
            if not node.dedicated and not manager.get("allowLowPriorityNode", True):
                return False
            if manager.get("runExclusive", True) and node.attempts:
                return False
        return node.accepts_tasks and node.free_slots >= task.slots and not job.refuses(node)

    def _choose(self, task: Task, shape: Shape, nodes: list[Node]) -> list[Node]:
        """The nodes for a task; none where it must wait."""
        pool = task.job.pool
        assert pool is not None
        instances = shape[1]
        if instances:
            # The service never schedules these on other pools; they stay active.
            if not pool.spec.get("enableInterNodeCommunication") or pool.slots != 1:
                return []
            return nodes[:instances] if len(nodes) >= instances else []
        if not nodes:
            return []
        if task.preferred_node is not None:
            for node in nodes:
                if task.preferred_node in (node.id, f"TVM:{node.id}"):
                    return [node]
        if pool.fill == "pack":
            return [min(nodes, key=lambda node: node.free_slots)]
        return [max(nodes, key=lambda node: node.free_slots)]
