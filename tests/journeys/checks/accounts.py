"""What an account goes through."""

import secrets

from local.api_client import ApiClient
from tests.journeys.checks.world import World, expect
from tests.journeys.conftest import PASSWORD


def account_lifecycle(world: World) -> None:
    """An account is opened, changed, given another role, shut out, let in again, and deleted for good."""
    username = f"user-{secrets.token_hex(4)}"
    api = ApiClient(world.platform.api_url)
    api.register(username, f"{username}@example.com", PASSWORD)
    api.login(username, PASSWORD)
    api.call("PATCH", "/auth/me", {"full_name": "Somebody"})
    expect(api.call("GET", "/auth/me")["full_name"] == "Somebody", "the name is stored")
    expect(len(world.admin.call("GET", "/auth/users?limit=1")["items"]) == 1, "accounts are listed")
    path = f"/auth/users/{username}"
    for change in ({"group": "viewer"}, {"enabled": False}, {"enabled": True}):
        changed = world.admin.call("PATCH", path, change)
        expect(change.items() <= changed.items(), f"{change} is stored")
    api.call("DELETE", "/auth/me")
    again = {"username": username, "email": "other@example.com", "password": PASSWORD}
    expect(api.request("POST", "/auth/register", json=again).status_code == 409, "the name stays taken")
