"""The images that pools can be made of: a part of what the service lists.

Source: the service's own list of supported images, of the time of API 2025-06-01.
"""

from __future__ import annotations

from .protocol import Json

_CONTAINERS = ["DockerCompatible", "NvidiaTeslaDriverInstalled"]
_PLAIN: list[str] = []

# node agent, publisher, offer, sku, operating system, capabilities
_IMAGES: list[tuple[str, str, str, str, str, list[str]]] = [
    ("batch.node.ubuntu 22.04", "canonical", "0001-com-ubuntu-server-jammy", "22_04-lts", "linux", _PLAIN),
    ("batch.node.ubuntu 22.04", "canonical", "0001-com-ubuntu-server-jammy", "22_04-lts-gen2", "linux", _PLAIN),
    ("batch.node.ubuntu 24.04", "canonical", "ubuntu-24_04-lts", "server", "linux", _PLAIN),
    ("batch.node.ubuntu 24.04", "canonical", "ubuntu-24_04-lts", "server-gen1", "linux", _PLAIN),
    ("batch.node.ubuntu 22.04", "microsoft-dsvm", "ubuntu-hpc", "2204", "linux", _CONTAINERS),
    ("batch.node.ubuntu 24.04", "microsoft-dsvm", "ubuntu-hpc", "2404", "linux", _CONTAINERS),
    ("batch.node.el 8", "almalinux", "almalinux", "8-gen2", "linux", _PLAIN),
    ("batch.node.el 8", "almalinux", "almalinux-hpc", "8_10-hpc-gen2", "linux", _CONTAINERS),
    ("batch.node.el 9", "almalinux", "almalinux-x86_64", "9-gen2", "linux", _PLAIN),
    ("batch.node.debian 11", "debian", "debian-11", "11-gen2", "linux", _PLAIN),
    ("batch.node.debian 12", "debian", "debian-12", "12-gen2", "linux", _PLAIN),
    (
        "batch.node.windows amd64",
        "microsoftwindowsserver",
        "windowsserver",
        "2022-datacenter",
        "windows",
        _PLAIN,
    ),
    (
        "batch.node.windows amd64",
        "microsoftwindowsserver",
        "windowsserver",
        "2022-datacenter-with-containers",
        "windows",
        ["DockerCompatible"],
    ),
]


def supported_images() -> list[Json]:
    return [
        {
            "nodeAgentSKUId": agent,
            "imageReference": {
                "publisher": publisher,
                "offer": offer,
                "sku": sku,
                "version": "latest",
            },
            "osType": system,
            "capabilities": list(capabilities),
            "verificationType": "verified",
        }
        for agent, publisher, offer, sku, system, capabilities in _IMAGES
    ]


def node_agents() -> frozenset[str]:
    return frozenset(image[0] for image in _IMAGES)
