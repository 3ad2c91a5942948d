"""The private names of Faust, aiokafka and mode that the processor uses: each is listed, and used in only one package.

When an update of a library breaks one of these tests, look at what its new version does under that name.
"""

from importlib import import_module
from pathlib import Path

import pytest
from aiokafka.consumer import consumer, fetcher
from pulp_processor.consuming.partition_reader import PartitionReader

from tests.support.library_names import Source, calls_of, has_name, is_private

ROOT = Path(__file__).parents[2]
DOOR = ROOT / "services/processor/pulp_processor/consuming/internals"
PACKAGES = ("events", "projections", "services", "operations", "cli", "deploy", "benchmarks", "examples")

RELIED_ON = {
    "faust:App": {"_create_directories"},
    "faust.transport.drivers.aiokafka:Consumer": {
        *("_new_consumer_thread", "_thread", "_read_offset", "_getmany", "_to_message", "_commit"),
        *("on_partitions_assigned", "seek_to_committed", "force_commit"),
    },
    "faust.transport.drivers.aiokafka:Transport": {"Consumer"},
    "faust.transport.drivers.aiokafka:AIOKafkaConsumerThread": {
        *("_consumer", "_thread_keepalive", "call_thread", "on_stop", "wait_for_shutdown"),
        *("maybe_start", "start", "stop", "crash", "set_shutdown"),
    },
    "mode:Service": {"_stopped_set", "_stop_children", "_stop_futures", "_stop_exit_stacks"},
    "aiokafka:AIOKafkaConsumer": {"_coordinator"},
    "aiokafka.consumer.group_coordinator:GroupCoordinator": {
        "_coordination_task",
        "_group_instance_id",
        "check_errors",
        "member_id",
    },
    "aiokafka.consumer.fetcher:Fetcher": {"_get_actions_per_node", "_fetch_max_wait_ms", "_records"},
    "aiokafka.consumer.fetcher:FetchResult": {
        *("_partition_records", "_topic_partition", "_update_position", "check_assignment", "getall"),
    },
}
"""Class → its private names, and its public ones that are overridden, or called where its documentation is silent."""
REPLACED = {
    "aiokafka.consumer.consumer": {"Fetcher"},
    "aiokafka.consumer.fetcher": {"PartitionRecords", "FetchResult"},
}
"""Module → its global names in whose place the processor puts classes of its own."""
PROMISED_BY_NAME = {"check_errors", "member_id", "check_assignment"}
"""Public names of `RELIED_ON` that are called and not overridden: nothing in the source tells them from others."""
IN_TESTS = {
    "tests/support/foreign.py": {"_DefaultRecordBatchBuilderPy", "_builder"},
    "tests/integration/test_processor_group.py": {"_send_sync_group_request"},
    "tests/integration/test_kafka_acls.py": {"_asdict"},
    "tests/unit/test_fetcher.py": {"_records", "_get_actions_per_node"},
    "tests/unit/test_offset_out_of_range.py": {"_AUTO_OFFSET_RESET", "_consumer"},
    "tests/unit/test_group_membership.py": {"_thread", "_consumer", "_coordinator", "_group_offsets", "_commit"},
}
"""Test that imports one of the libraries → the private names that it uses, of whatever: to bring about what no other way
brings about, or to look behind the door itself."""


@pytest.mark.parametrize(
    ("owner", "name"), [(owner, name) for owner, names in RELIED_ON.items() for name in sorted(names)]
)
def test_the_installed_version_has_the_name(owner: str, name: str) -> None:
    module, cls = owner.split(":")
    assert has_name(getattr(import_module(module), cls), name)


@pytest.mark.parametrize("module", REPLACED)
def test_the_installed_version_calls_what_is_replaced(module: str) -> None:
    assert REPLACED[module] <= calls_of(module)


def test_the_list_is_complete_and_nothing_in_it_is_out_of_use() -> None:
    used, replaced = set(), set()
    for path in DOOR.glob("*.py"):
        source = Source(path)
        used |= source.private_imports() | source.private_of_others()
        used |= source.inherited_names(f"pulp_processor.consuming.internals.{path.stem}")
        replaced |= source.replaced()
    assert used == set().union(*RELIED_ON.values()) - PROMISED_BY_NAME
    assert replaced == set().union(*REPLACED.values())


def test_nothing_else_in_the_product_uses_a_private_name() -> None:
    found = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            source = Source(path)
            if not path.is_relative_to(DOOR) and source.imports_library:
                found[path.name] = source.private_imports() | source.private_of_others() | source.replaced()
    assert {name: names for name, names in found.items() if names} == {}


def test_no_class_outside_takes_a_private_name_of_the_library_class_that_it_inherits_from() -> None:
    for module in ("app", "aiokafka_settings"):
        source = Source(DOOR.parent / f"{module}.py")
        names = source.inherited_names(f"pulp_processor.consuming.{module}")
        assert {name for name in names if is_private(name)} == set()


def test_only_these_tests_use_private_names() -> None:
    found = {}
    for path in (ROOT / "tests").rglob("*.py"):
        source = Source(path)
        names = source.private_imports() | source.private_of_others()
        if names and source.imports_library:
            found[str(path.relative_to(ROOT))] = names
    assert found == IN_TESTS


def test_a_reader_refuses_to_work_in_a_process_that_did_not_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer, "Fetcher", fetcher.Fetcher)
    with pytest.raises(RuntimeError, match="when the process starts"):
        PartitionReader("nowhere", "events", 0, 0)
