from dataclasses import replace

import pytest

from codecove.workspaces import DEFAULT_WORKSPACE_ID, Caller
from tests.containers.conftest import clock, database, host

__all__ = ["clock", "database", "host"]


@pytest.fixture
def caller() -> Caller:
    return Caller(workspace_id=DEFAULT_WORKSPACE_ID, key_id="apikey_one", request_id="req_one")


@pytest.fixture
def stranger(caller: Caller) -> Caller:
    return replace(caller, workspace_id="wrkspc_other", key_id="apikey_two", request_id="req_two")
