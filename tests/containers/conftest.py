"""A base image that stands in for the public ones, which no test can reach."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from orchestrator.emulators import docker_engine

BASE = "orchestrator-test/base:bookworm"

# Where a machine says that its own authorities are, which pip in a build must know too.
_AUTHORITIES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")

_DOCKERFILE = f"""
FROM {docker_engine.BASE_IMAGE}
COPY authorities.crt /usr/local/share/authorities.crt
# Compiling what is never imported takes longer than all the rest of a framework's installation.  (0 is pip's way to say
# that it is not to be compiled: it takes the value for that of the option compile.)
ENV PIP_CERT=/usr/local/share/authorities.crt PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_COMPILE=0
"""


@pytest.fixture(scope="session")
def base(engine_host: str) -> Iterator[str]:
    """Debian with Python, and with this machine's authorities: an image for tests and nobody else."""
    bundle = next(
        (os.environ[name] for name in _AUTHORITIES if name in os.environ), "/etc/ssl/certs/ca-certificates.crt"
    )
    with closing(docker_engine.connect(engine_host)) as client:
        context = io.BytesIO()
        with tarfile.open(fileobj=context, mode="w") as archive:
            for name, data in (("Dockerfile", _DOCKERFILE.encode()), ("authorities.crt", Path(bundle).read_bytes())):
                member = tarfile.TarInfo(name)
                member.size, member.mode = len(data), 0o644
                archive.addfile(member, io.BytesIO(data))
        context.seek(0)
        client.images.build(fileobj=context, custom_context=True, tag=BASE, rm=True)
        yield BASE
