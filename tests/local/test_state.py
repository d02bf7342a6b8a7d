"""Nothing that was acknowledged is lost when the platform is killed. Run: pytest tests/local/test_state.py -q"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from local import process
from local.home import Home, PlatformError
from local.process import started_at
from local.state import Journal, Snapshots
from tests.local.small import Small, eventually, running


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    """A platform that these tests may kill."""
    with running(tmp_path_factory.mktemp("own")) as platform:
        yield platform


def records(journal: Journal, generation: int = 0) -> list[int]:
    return [record["n"] for record in journal.records(generation)]


class TestJournal:
    def test_records_come_back_in_order_across_generations(self, tmp_path: Path) -> None:
        with closing(Journal(tmp_path, "tables")) as journal:
            journal.append({"n": 1})
            second = journal.rotate()
            journal.append({"n": 2})
        again = Journal(tmp_path, "tables")
        again.append({"n": 3})
        assert records(again) == [1, 2, 3]
        assert records(again, second) == [2, 3]
        again.drop_before(second)
        assert records(again) == [2, 3]
        again.close()

    def test_half_written_line_is_cut_off(self, tmp_path: Path) -> None:
        with closing(Journal(tmp_path, "tables")) as journal:
            journal.append({"n": 1})
        with open(journal.path(0), "ab") as file:
            file.write(b'{"n": 2')
        with closing(Journal(tmp_path, "tables")) as again:
            again.append({"n": 3})
            assert records(again) == [1, 3]


class TestSnapshots:
    def snapshots(self, folder: Path, sources: dict[str, Any]) -> Snapshots:
        return Snapshots(folder, lambda: sources, lambda name, state: json.dumps(state), lambda name, state: None)

    def test_only_what_changed_is_saved(self, tmp_path: Path) -> None:
        sources = {"changed": lambda: {"a": 1}, "same": lambda: {"a": 2}}
        snapshots = self.snapshots(tmp_path, sources)
        snapshots.mark("changed")
        asyncio.run(snapshots.save(set(snapshots.dirty)))
        assert [file.name for file in tmp_path.iterdir()] == ["changed.json"]
        assert snapshots.dirty == set()

    def test_state_that_changes_while_it_is_copied_is_tried_again(self, tmp_path: Path) -> None:
        def changing() -> Any:
            raise RuntimeError("dictionary changed size during iteration")

        snapshots = self.snapshots(tmp_path, {"busy": changing})
        asyncio.run(snapshots.save({"busy"}))
        assert snapshots.dirty == {"busy"}

    def test_file_stays_whole_when_the_state_cannot_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "odd.json").write_text('"before"')
        snapshots = self.snapshots(tmp_path, {"odd": object})
        with pytest.raises(TypeError):
            asyncio.run(snapshots.save({"odd"}))
        assert (tmp_path / "odd.json").read_text() == '"before"'


class TestKilledPlatform:
    def test_every_acknowledged_write_survives_kill_9(self, own: Small) -> None:
        """Counters, because a write that is replayed twice would show."""
        acknowledged = [0] * 4
        client = own.client("dynamodb")

        def write(number: int) -> None:
            while True:
                try:
                    client.update_item(
                        TableName=own.stack["Table"],
                        Key={"id": {"S": f"counter-{number}"}},
                        UpdateExpression="ADD n :one",
                        ExpressionAttributeValues={":one": {"N": "1"}},
                    )
                except (BotoCoreError, ClientError):
                    return
                acknowledged[number] += 1

        writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
        for writer in writers:
            writer.start()
        eventually(lambda: min(acknowledged) > 30)
        own.kill9()
        for writer in writers:
            writer.join()
        own.up()
        for number, count in enumerate(acknowledged):
            item = own.item(f"counter-{number}")
            assert item is not None
            assert int(item["n"]["N"]) in (count, count + 1)  # the last write may have been made and not answered

    def test_other_services_survive_kill_9_a_moment_after_a_change(self, own: Small) -> None:
        own.client("ssm").put_parameter(Name="/kept", Value="yes", Type="String")
        own.client("s3").put_object(Bucket=own.stack["Bucket"], Key="kept", Body=b"yes")
        eventually(
            lambda: (own.files.state / "ssm.json").exists() and "/kept" in (own.files.state / "ssm.json").read_text()
        )
        own.kill9()
        own.up()
        assert own.client("ssm").get_parameter(Name="/kept")["Parameter"]["Value"] == "yes"
        assert own.client("s3").get_object(Bucket=own.stack["Bucket"], Key="kept")["Body"].read() == b"yes"
        assert own.client("lambda").invoke(FunctionName=own.stack["Echo"], Payload=b"{}")["StatusCode"] == 200

    def test_interrupted_execution_is_reported_as_failed(self, own: Small) -> None:
        execution = own.start_execution("Working", "interrupted")
        eventually(lambda: "interrupted" in (own.files.state / "stepfunctions.json").read_text())
        own.kill9()
        own.up()
        assert own.ended(execution)["error"] == "States.ServiceRestart"
        eventually(lambda: own.item("Step Functions Execution Status Change/interrupted"))

    def test_no_function_worker_outlives_the_platform(self, own: Small) -> None:
        own.client("lambda").invoke(FunctionName=own.stack["Echo"], Payload=b"{}")
        own.start_execution("Working", "orphan")
        group = own.process.pid
        eventually(lambda: len(group_members(group)) >= 3)
        own.kill9()
        own.up()
        assert group_members(group) == []
        group = own.process.pid
        own.client("lambda").invoke(FunctionName=own.stack["Echo"], Payload=b"{}")
        own.down()
        assert group_members(group) == []
        own.up()


def group_members(group: int) -> list[int]:
    """The processes of a process group that still run."""
    shown = subprocess.run(["ps", "-eo", "pid=,pgid=,stat="], capture_output=True, text=True, check=True)
    rows = [line.split() for line in shown.stdout.splitlines()]
    return [int(pid) for pid, of, stat in rows if int(of) == group and not stat.startswith("Z")]


class TestProcess:
    def test_dead_process_is_not_taken_for_the_platform(self, tmp_path: Path) -> None:
        home = Home(tmp_path)
        dead = {"pid": 2**22 - 1, "started": "1", "emulator_port": 1, "port": 2, "ready": True}
        home.write("platform.json", dead)
        assert process.running(home) is None
        home.write("platform.json", {**dead, "pid": os.getpid()})  # the pid is another program's by now
        assert process.running(home) is None
        process.clear_left_overs(home)
        assert home.read("platform.json") is None
        assert started_at(os.getpid()) is not None

    def test_port_in_use_is_one_clear_sentence(self, own: Small) -> None:
        with pytest.raises(PlatformError, match=f"Port {own.process.port} is in use; set SLIPWAY_PORT"):
            process.listen(own.process.port, "SLIPWAY_PORT")

    def test_second_command_at_the_same_time_is_refused(self, tmp_path: Path) -> None:
        home = Home(tmp_path)
        with home.locked(), pytest.raises(PlatformError, match="Another command"), home.locked():
            pass

    def test_root_key_is_private_and_stays(self, tmp_path: Path) -> None:
        home = Home(tmp_path)
        assert home.root_key() == home.root_key()
        assert (tmp_path / "credentials.json").stat().st_mode & 0o777 == 0o600
