"""List columns: pairs of lengths, chats and kinds of items.  `pytest tests/units/processing/test_lists.py`"""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambdas.processing.lists import Lists, fault, wrong_chats
from lambdas.processing.report import Defect, Defects

CHAT = pa.list_(pa.struct({"role": pa.string(), "content": pa.string()}))


def checked(*batches: pa.RecordBatch) -> tuple[Lists, list[Defect]]:
    """What is found in batches whose rows count on."""
    defects, row = Defects(), 1
    lists = Lists(defects)
    for batch in batches:
        lists.add(batch, lambda index, first=row: f"row {first + index}")
        row += batch.num_rows
    return lists, defects.list()


def table(**columns: Any) -> pa.RecordBatch:
    return pa.record_batch(
        {name: values if isinstance(values, pa.Array) else pa.array(values) for name, values in columns.items()}
    )


def json_lists(*lists: list[str | None]) -> pa.Array:
    items = pa.array([item for each in lists for item in each], pa.string())
    ends = np.cumsum([0, *map(len, lists)])
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pa.ExtensionArray.from_storage(pa.json_(), items))


def test_lists_of_different_length_are_counted_over_batches():
    whole = table(
        tokens=[["a", "b"], ["a"], None, [], ["x"]],
        tags=[["O", "O"], ["O", "O"], ["O"], [], None],
        ids=[[1, 2], [1], [1], [2], [1]],
    )
    _, found = checked(whole.slice(0, 1), whole.slice(1, 2), whole.slice(3), *[whole.slice(1, 1)] * 5)
    assert [(each.code, each.columns, each.count, each.examples) for each in found] == [
        ("unequal_lengths", ["tokens", "tags"], 6, ["row 2", "row 6", "row 7", "row 8", "row 9"]),
        ("unequal_lengths", ["tags", "ids"], 7, ["row 2", "row 4", "row 6", "row 7", "row 8"]),
        ("unequal_lengths", ["tokens", "ids"], 1, ["row 4"]),
    ]


def test_only_the_first_eight_columns_of_plain_items_are_compared():
    columns = {f"list {number}": [["x"] * number] for number in range(10)}
    _, found = checked(table(objects=[[{"a": 1}] * 50], lists=[[[1]] * 60], text=["x"], **columns))
    assert len(found) == 28
    assert {name for each in found for name in each.columns} == {f"list {number}" for number in range(8)}


@pytest.mark.parametrize("type", [pa.list_(pa.string()), pa.large_list(pa.large_string()), pa.list_(pa.string_view())])
def test_every_list_type_is_one(type: pa.DataType):
    lists, found = checked(table(a=pa.array([["x"], None], type), b=pa.array([[1, 2]] * 2, pa.list_(pa.int8(), 2))))
    assert [(each.columns, each.examples) for each in found] == [(["a", "b"], ["row 1"])]
    assert (lists.items("a"), lists.items("b")) == ("text", "number")


@pytest.mark.parametrize(
    ("values", "items", "mixed"),
    [
        (pa.array([["a"], [], None]), "text", []),
        (pa.array([[1.5], [True and 1.0]]), "number", []),
        (pa.array([[True], [False]]), "number", []),
        (pa.array([[{"a": 1}]]), "object", []),
        (pa.array([[[1]], [[2]]]), None, []),
        (pa.array([[], []]), None, []),
        (pa.array([None], pa.list_(pa.null())), None, []),
        (pa.array([["a"], ["b", None]]), "text", ["row 2"]),
        (pa.array([[None]], pa.list_(pa.null())), None, ["row 1"]),
        (json_lists(['"a"', '"b"'], ["1"], [], ['"c"', "{}"]), "mixed", ["row 2", "row 4"]),
        (json_lists(["1", "-2.5", "true"], ["null"]), "number", ["row 2"]),
        (json_lists(['{"a":1}'], ["[]"]), "mixed", ["row 2"]),
        (json_lists(["[1]"], [None]), None, ["row 2"]),
    ],
)
def test_items_have_one_kind(values: pa.Array, items: str | None, mixed: list[str]):
    lists, found = checked(table(x=values))
    assert lists.items("x") == items
    assert [place for each in found if each.code == "mixed_items" for place in each.examples] == mixed
    assert not lists.is_messages("x")


def test_kinds_that_change_between_batches_are_mixed():
    lists, found = checked(table(x=[["a"]]), table(x=[[], [1, 2], None]), table(x=json_lists(["1", '"a"'])))
    assert lists.items("x") == "mixed"
    assert [(each.code, each.count, each.examples) for each in found] == [("mixed_items", 2, ["row 3", "row 5"])]


def chat(*messages: tuple[str | None, str | None] | None) -> list[Any]:
    return [message and {"role": message[0], "content": message[1]} for message in messages]


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        (chat(("user", "hi"), ("assistant", "hello")), None),
        (chat(("system", "be kind"), ("user", "hi"), ("assistant", "x"), ("tool", "1"), ("assistant", "y")), None),
        (chat(), "no messages"),
        (chat(("user", "hi"), ("bot", "hello")), "message 2 has the role 'bot'"),
        (chat(("user", "hi"), (None, "hello")), "message 2 has no role"),
        (chat(None), "message 1 has no role"),
        (chat(("user", " \n"), ("assistant", "x")), "message 1 has no text as content"),
        (chat(("user", "hi"), ("assistant", None)), "message 2 has no text as content"),
        (chat(("assistant", "hi")), "begins with assistant"),
        (chat(("tool", "hi"), ("assistant", "hi")), "begins with tool"),
        (chat(("system", "hi"), ("user", "hi")), "ends with user"),
    ],
)
def test_a_chat_that_cannot_be_trained_on_says_why(messages: list[Any], reason: str | None):
    values = pa.array([None, messages], CHAT)
    lists, found = checked(table(m=values))
    assert lists.is_messages("m") == bool(messages)
    assert fault(messages) == reason
    if messages:
        assert [each.examples for each in found] == ([[f"row 2: {reason}"]] if reason else [])
        assert [each.code for each in found] == (["invalid_messages"] if reason else [])


def test_a_chat_without_messages_is_named_once_chats_were_seen():
    good = chat(("user", "hi"), ("assistant", "hello"))
    lists, found = checked(table(m=pa.array([good, [], None, good], CHAT)), table(m=pa.array([[]], CHAT)))
    assert (lists.is_messages("m"), lists.items("m")) == (True, "object")
    assert [(each.code, each.count, each.examples) for each in found] == [
        ("invalid_messages", 2, ["row 2: no messages", "row 5: no messages"])
    ]


messages = st.none() | st.tuples(
    st.none() | st.sampled_from(["system", "user", "assistant", "tool", "bot"]),
    st.none() | st.sampled_from(["", " ", "hi", "\u3000", "\x1c", "é"]),
)


@settings(max_examples=200, deadline=None)
@given(
    chats=st.lists(st.none() | st.lists(messages, max_size=4).map(lambda each: chat(*each)), max_size=8),
    cut=st.integers(0, 8),
)
def test_whole_batches_are_judged_as_chat_by_chat(chats: list[Any], cut: int):
    values = pa.array(chats, CHAT).slice(cut)
    chats = chats[cut:]
    rows = np.repeat(np.arange(len(chats)), [len(each or []) for each in chats])
    expected = [index for index, each in enumerate(chats) if each is not None and fault(each)]
    assert wrong_chats(values, values.flatten(), rows).tolist() == expected
