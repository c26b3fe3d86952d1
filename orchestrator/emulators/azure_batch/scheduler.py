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
        by_priority: dict[int, list[Job]] = {}
        for job in self._account.jobs_on(pool):
            if job.state == "active":
                by_priority.setdefault(job.priority, []).append(job)
        nodes = [node for node in pool.nodes.values() if node.accepts_tasks and node.free_slots > 0]
        making_room = False
        for priority in sorted(by_priority, reverse=True):
            jobs = by_priority[priority]
            if making_room:  # Whoever can be put back would take the room that is being made, and be put back again.
                jobs = [job for job in jobs if not job.spec.get("allowTaskPreemption")]
            if not nodes:
                pass
            elif pool.job_order == "creationtime":
                for job in sorted(jobs, key=lambda one: one.created):
                    self._serve([job], nodes)
            else:
                self._serve(jobs, nodes)
            if len(by_priority) > 1 and not making_room:
                making_room = self._make_room(pool, jobs, priority)

    def _make_room(self, pool: Pool, jobs: list[Job], priority: int) -> bool:
        """Put tasks back that may be preempted, where one of these jobs' tasks waits: room for one at a time."""
        for job in jobs:
            heads = job.queue.heads()
            if not heads or 0 <= job.max_parallel <= job.index.counts.running or heads[0][0][1]:
                continue
            return self._preempt_for(
                heads[0][1], [node for node in pool.nodes.values() if node.accepts_tasks], priority
            )
        return False

    def _preempt_for(self, waiting: Task, nodes: list[Node], priority: int) -> bool:
        """Whether room is being made for this task."""
        best: tuple[int, int, list[Task]] | None = None
        for node in nodes:
            dying = sum(attempt.slots for attempt in node.attempts if attempt.task.attempt is not attempt)
            room = node.free_slots + dying
            if room >= waiting.slots:
                return dying > 0
            chosen: list[Task] = []
            weaker = [
                attempt.task
                for attempt in node.attempts
                if attempt.task.attempt is attempt
                and attempt.task.job.priority < priority
                and attempt.task.job.spec.get("allowTaskPreemption")
            ]
            for task in sorted(weaker, key=lambda task: task.job.priority):
                if room >= waiting.slots:
                    break
                chosen.append(task)
                room += task.slots
            if room >= waiting.slots and chosen:
                rank = (max(task.job.priority for task in chosen), len(chosen))
                if best is None or rank < best[:2]:
                    best = (*rank, chosen)
        for task in best[2] if best is not None else ():
            self._account.tasks.requeue(task, by_user=False)
        return best is not None

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
