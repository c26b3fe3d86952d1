"""Holds every response that the SDK receives against what the SDK expects of it."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

from azure.batch import models

from .sdk_contract import differences, operation_of

STREAMED = frozenset({"download_task_file", "download_node_file"})


class Recorder:
    """A hook of the SDK's pipeline; collects what was called, and what was wrong with the answers."""

    def __init__(self) -> None:
        self.called: set[str] = set()
        self.problems: list[str] = []

    def __call__(self, response: Any) -> None:
        request, answer = response.http_request, response.http_response
        parts = urlsplit(request.url)
        operation = operation_of(request.method, parts.path)
        query = parse_qs(parts.query)
        where = f"{operation.name} {answer.status_code}"
        if answer.status_code in operation.statuses and answer.status_code != 404:
            self.called.add(operation.name)
            self._check_headers(where, operation.headers, answer.headers)
            if operation.model is not None:
                body = answer.json()
                kind = list[operation.model] if operation.is_list else operation.model
                value = body.get("value") if operation.is_list else body
                partial = "$select" in query
                if operation.is_list and partial:
                    kind, value = operation.model, (value or [{}])[0]
                self.problems += [f"{where}: {problem}" for problem in differences(value, kind, partial=partial)]
                self.problems += self._check_list(where, operation.is_list, body)
        elif answer.status_code >= 400 and operation.name in STREAMED:
            pass  # Reading the body here would change what the SDK makes of it; `error_code` reads it.
        elif answer.status_code >= 400 and request.method != "HEAD":
            self.problems += [f"{where}: {problem}" for problem in differences(answer.json(), models.BatchError)]
            if not {"code", "message"} <= answer.json().keys():
                self.problems.append(f"{where}: an error without code or message")
        elif answer.status_code != 304 and request.method != "HEAD":
            self.problems.append(f"{where}: the SDK expects {sorted(operation.statuses)}")

    def _check_headers(self, where: str, expected: frozenset[str], headers: Any) -> None:
        for name in expected:
            if headers.get(name) is None:
                self.problems.append(f"{where}: the header {name} is missing")

    def _check_list(self, where: str, is_list: bool, body: dict[str, Any]) -> list[str]:
        if not is_list:
            return []
        unknown = body.keys() - {"value", "odata.metadata", "odata.nextLink"}
        return [f"{where}: a list has no field {name}" for name in unknown]
