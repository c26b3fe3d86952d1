"""Emulators that run on this machine: a whole Azure Batch service, and starters for Azurite and moto.

    azure_batch/   the Azure Batch emulator (its docstring maps the modules)
    azurite.py     starts Azurite, the storage emulator (Node.js)
    moto.py        starts moto_server, the AWS emulator
    emulated.py    a whole cloud on this machine, for --emulate and for tests
    childserver.py what the starters share: a server process that is waited for and surely stopped

Nothing is imported here: each emulator is imported by the one who starts it.
"""
