"""What ``plan --requests`` shows is what a run sends, with words in place of what only the sending knows."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.main import main
from orchestrator.providers.azure.client import Batch
from orchestrator.providers.azure.preview import calls
from orchestrator.storage.layout import Home
from tests.unit.azure.conftest import Cloud, task

OPERATIONS = {"pools": "create_pool", "jobs": "create_job", "addtaskcollection": "create_task_collection"}


def comparable(body: Any) -> Any:
    """Without signatures, image, address of the store and moment."""
    text = json.dumps(body)
    text = re.sub(r"sig=[^&\"\\]+", "sig=<signature>", text)
    text = re.sub(r"&(st=[^\"\\]+|<until when, and by whom>)", "&TAIL", text)
    text = re.sub(r"https?://[^\"]*?/orchestrate", "STORE", text)
    text = re.sub(r'time\(\\"[^\\]*\\"\)|PT\d{4}S', "MOMENT", text)
    told = json.loads(text)
    machine = told.get("virtualMachineConfiguration")
    if machine is not None:
        machine["imageReference"], machine["nodeAgentSKUId"] = {}, ""
    return told


def test_what_is_shown_is_what_is_sent(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[str, Any]] = []

    def note(self: Batch, response: Any) -> None:
        name = OPERATIONS.get(response.http_request.url.partition("?")[0].rpartition("/")[2])
        if response.http_request.method == "POST" and name is not None:
            sent.append((name, json.loads(response.http_request.content)))

    monkeypatch.setattr(Batch, "_note_time", note)
    changes = {
        "document": {"outputs": [["out/"]], "checkpoint": "ckpt"},
        "secrets": {"TOKEN": "<value of TOKEN>"},
        "lease_until": time.time() + 3600,
    }
    run, compute = cloud.pool(**changes)
    tasks = [task(trial) for trial in range(150)]
    list(compute.submit(run, tasks))
    shown = list(compute.requests(cloud.request(run, **changes), iter(tasks)))
    assert [call.operation for call in shown] == ["create_pool", "create_job", *["create_task_collection"] * 2]
    told = {json.dumps([call.operation, comparable(call.body)]) for call in shown}
    assert told == {json.dumps([name, comparable(body)]) for name, body in sent}


def test_it_needs_no_account_and_shows_no_password(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("AZURE_BATCH_ENDPOINT", "AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_CONNECTION_STRING"):
        monkeypatch.delenv(name)
    shown = list(calls(Home(tmp_path), cloud.request("r", image="reg.example.com/i:1"), [task(0)]))
    assert [call.operation for call in shown] == ["create_pool", "create_job", "create_task_collection"]
    monkeypatch.setenv("AZURE_BATCH_ENDPOINT", "https://a.westeurope.batch.azure.com")
    monkeypatch.setenv("AZURE_REGISTRY_SERVER", "reg.example.com")
    monkeypatch.setenv("AZURE_REGISTRY_USERNAME", "somebody")
    monkeypatch.setenv("AZURE_REGISTRY_PASSWORD", "pa55word")
    monkeypatch.setenv("TOKEN", "s3cret")
    spec = tmp_path / "sweep.yaml"
    spec.write_text(
        "{name: s, provider: azure, workload: {command: 'echo {x}', image: reg.example.com/i:1, secrets: [TOKEN]},"
        " parameters: {x: {range: [0, 120]}}}"
    )
    assert main(["plan", str(spec), "--requests", "--json"]) == 0
    told = capsys.readouterr().out
    assert "somebody" in told
    assert "pa55word" not in told
    assert "s3cret" not in told
    lines = [json.loads(line) for line in told.splitlines()]
    assert [len(line["body"]["value"]) for line in lines if "value" in line["body"]] == [100, 20]
    assert main(["plan", str(spec), "--requests"]) == 0
    assert "create_pool\n{\n" in capsys.readouterr().out
    assert main(["plan", str(spec), "--requests", "--provider", "local"]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert "is sent no requests" in said.err
