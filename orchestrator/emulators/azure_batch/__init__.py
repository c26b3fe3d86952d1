"""An emulator of Azure Batch: the REST API 2025-06-01 on loopback, and tasks that really run.

    emulator, control_client    what a test imports: start one, and do things to it
    __main__, serve             its process: begins, announces itself, ends with all that it started
    settings, account           what can be set; everything that it knows

    httpserver, server, routing HTTP; from a request to an operation
    protocol, errors, sharedkey the request and the response; the service's error codes; signatures
    bodies, odata, timefmt      the request bodies' models; $filter, $select, pages; times and durations
    operations/                 the operations, a module for each kind of resource

    pools, allocation, capacity pools; resizing them; quotas and failing allocations
    autoscaling, autoscale/     a pool's formula; the formula language
    nodes, starttask            a node's life; its start task
    jobs, schedules             jobs with preparation and release tasks; job schedules
    task, taskindex, tasks      a task; the index of a job's tasks; all the transitions
    dependencies, exitconditions, readyqueue, scheduler
                                who waits for whom; what follows; who is next, and where
    attempts, commands          one try at a task; one command line on a node
    environment, blobs          directories and variables; files from and to Blob storage
    processes, agent, procscan  processes, started by an agent that outlives us just long enough to kill them
    containers                  Docker containers

    clock                       the emulated time
    control, faults, calls      the control API; calls that fail; calls that are counted

All state is in memory and belongs to one event loop, so nothing is locked. `tasks.Tasks` alone changes a task's
state, and the index, the pool's samples and the job follow from there.
"""

from .control_client import Control, ControlError
from .emulator import AzureBatchEmulator

__all__ = ["AzureBatchEmulator", "Control", "ControlError"]
