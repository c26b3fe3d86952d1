"""The starters of Azurite and moto, and the fixtures that users get."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import textwrap
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from azure.storage.blob import BlobServiceClient

from orchestrator.emulators import docker_engine
from orchestrator.emulators.azurite import Azurite, find_azurite
from orchestrator.emulators.childserver import ChildServer, ServerFailed
from orchestrator.emulators.emulated import emulated
from orchestrator.emulators.moto import MotoServer
from orchestrator.errors import MachineError

from .conftest import wait_for

pytest_plugins = ["orchestrator.testing.fixtures", "pytester"]


def test_azurite_keeps_what_it_is_given_and_is_gone_when_it_is_stopped(azurite: Azurite) -> None:
    with Azurite() as own:
        assert own.port != azurite.port
        with BlobServiceClient.from_connection_string(own.connection_string) as service:
            container = service.create_container("some")
            container.upload_blob("b", b"content")
            assert container.download_blob("b").readall() == b"content"
        port, folder = own.port, own.folder
    with pytest.raises(ConnectionRefusedError):
        http.client.HTTPConnection("127.0.0.1", port).request("GET", "/")
    assert not folder.exists()


def test_azurite_takes_an_account_of_ones_own(azurite: Azurite, some_key: str) -> None:
    with (
        Azurite(account="mine", key=some_key) as own,
        BlobServiceClient.from_connection_string(own.connection_string) as service,
    ):
        assert service.create_container("some").account_name == "mine"


def test_an_azurite_that_is_not_installed_is_named_with_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("ORCHESTRATE_EMULATORS", raising=False)
    monkeypatch.setattr("orchestrator.emulators.azurite._PROJECT", tmp_path)
    with pytest.raises(ServerFailed) as caught:
        Azurite().start()
    assert "npm install --prefix .emulators azurite" in str(caught.value)


def test_azurite_is_found_in_the_folder_of_the_project_from_below(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / ".emulators" / "node_modules" / ".bin" / "azurite-blob"
    program.parent.mkdir(parents=True)
    program.touch()
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    monkeypatch.delenv("ORCHESTRATE_EMULATORS", raising=False)
    assert find_azurite() == program


def test_moto_answers_forgets_and_stops(moto_server: MotoServer, monkeypatch: pytest.MonkeyPatch) -> None:
    boto3 = pytest.importorskip("boto3")
    for name, value in moto_server.environment.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    client.create_bucket(Bucket="made")
    assert [bucket["Name"] for bucket in client.list_buckets()["Buckets"]] == ["made"]
    moto_server.reset()
    assert client.list_buckets()["Buckets"] == []
    with MotoServer() as own:
        assert own.port != moto_server.port
    with pytest.raises(ConnectionRefusedError):
        http.client.HTTPConnection("127.0.0.1", own.port).request("GET", "/")


def test_a_server_that_ends_at_once_is_said_with_its_last_words(tmp_path: Path) -> None:
    server = ChildServer(["sh", "-c", "echo no luck >&2; exit 3"], dict(os.environ), tmp_path / "log")
    with pytest.raises(ServerFailed) as caught:
        server.start(lambda: False, 20)
    assert "ended with code 3: no luck" in str(caught.value)


def test_a_program_that_is_not_there_is_said(tmp_path: Path) -> None:
    server = ChildServer(["no-such-program"], dict(os.environ), tmp_path / "log")
    with pytest.raises(ServerFailed) as caught:
        server.start(lambda: False, 20)
    assert "No such file or directory" in str(caught.value)


@pytest.mark.parametrize("stubborn", [False, True])
def test_a_tethered_server_goes_with_its_children_when_its_starter_is_killed(tmp_path: Path, stubborn: bool) -> None:
    trap = "trap '' TERM; " if stubborn else ""
    script = textwrap.dedent(
        f"""
        import os, time
        from pathlib import Path
        from orchestrator.emulators.childserver import ChildServer
        folder = Path({str(tmp_path)!r})
        command = ["sh", "-c", "{trap}sleep 300 & echo $! > child; echo $$ > server; while true; do wait; done"]
        os.chdir(folder)
        (folder / "temporary").mkdir()
        server = ChildServer(command, dict(os.environ), folder / "log", folder / "temporary")
        server.start((folder / "server").exists, 20)
        print("up", flush=True)
        time.sleep(600)
        """
    )
    starter = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    try:
        assert starter.stdout is not None
        assert starter.stdout.readline() == b"up\n"
        wait_for(lambda: (tmp_path / "server").read_text(), lambda text: text.endswith("\n"))
        pids = [int((tmp_path / name).read_text()) for name in ("server", "child")]
        starter.send_signal(signal.SIGKILL)
        starter.wait()
        wait_for(lambda: [psutil.pid_exists(pid) for pid in pids], lambda left: left == [False, False])
        wait_for(lambda: (tmp_path / "temporary").exists(), lambda there: not there)
    finally:
        starter.kill()
        starter.wait()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "ended"])
def test_an_emulated_aws_takes_its_containers_with_it_however_its_starter_ends(
    engine_host: str, how: signal.Signals
) -> None:
    name = f"endless-{how.name.lower()}"
    script = textwrap.dedent(
        f"""
        import signal, sys, boto3
        from orchestrator.emulators.aws import ROLE, emulated_aws
        from orchestrator.emulators.emulated import environment
        signal.signal(signal.SIGTERM, lambda *_: sys.exit())
        with emulated_aws(docker_host={engine_host!r}) as variables, environment(variables):
            batch, ec2 = boto3.client("batch"), boto3.client("ec2")
            subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
            group = ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]
            role = boto3.client("iam").get_role(RoleName=ROLE)["Role"]["Arn"]
            machines = {{"type": "EC2", "minvCpus": 0, "maxvCpus": 2, "instanceTypes": ["optimal"],
                        "instanceRole": ROLE, "subnets": [subnet], "securityGroupIds": [group]}}
            batch.create_compute_environment(
                computeEnvironmentName={name!r}, type="MANAGED", state="ENABLED", serviceRole=role,
                computeResources=machines)
            order = [{{"order": 1, "computeEnvironment": {name!r}}}]
            batch.create_job_queue(jobQueueName={name!r}, state="ENABLED", priority=1, computeEnvironmentOrder=order)
            container = {{"image": {docker_engine.BASE_IMAGE!r}, "command": ["sleep", "600"], "vcpus": 1, "memory": 64}}
            batch.register_job_definition(
                jobDefinitionName={name!r}, type="container", containerProperties=container)
            for _ in range(3):  # one of them waits for room
                batch.submit_job(jobName={name!r}, jobQueue={name!r}, jobDefinition={name!r})
            signal.pause()
        """
    )
    with closing(docker_engine.connect(engine_host)) as engine:

        def alive() -> int:
            return len(engine.api.containers(filters={"name": name}))

        starter = subprocess.Popen([sys.executable, "-c", script])
        try:
            wait_for(alive, lambda count: count == 2)
            starter.send_signal(how)
            starter.wait()
            wait_for(lambda: engine.api.containers(all=True, filters={"name": name}), lambda left: not left)
        finally:
            starter.kill()
            starter.wait()


def test_a_users_tests_get_the_emulators_by_naming_them(pytester: pytest.Pytester) -> None:
    pytester.makeconftest('pytest_plugins = ["orchestrator.testing.fixtures"]')
    pytester.makepyfile(
        """
        import pytest
        from azure.batch import BatchClient
        from azure.core.credentials import AzureNamedKeyCredential
        from azure.core.exceptions import HttpResponseError

        def client(emulator):
            credential = AzureNamedKeyCredential(emulator.account, emulator.key)
            return BatchClient(emulator.endpoint, credential, retry_total=0)

        def test_a_fault(azure_batch_emulator):
            azure_batch_emulator.control.error()
            with pytest.raises(HttpResponseError):
                list(client(azure_batch_emulator).list_pools())

        def test_is_gone_in_the_next_test(azure_batch_emulator):
            assert list(client(azure_batch_emulator).list_pools()) == []
            assert azure_batch_emulator.control.calls()["total"] == 1
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=2)


def test_aws_without_an_engine_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    monkeypatch.setattr("shutil.which", lambda program, path=None: None)
    with pytest.raises(MachineError) as caught, emulated("aws", tmp_path):
        pass
    assert "apt-get install docker.io" in caught.value.remedy
    assert "DOCKER_HOST" in caught.value.remedy
