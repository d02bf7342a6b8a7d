"""The Arrow types that tables of examples have: few, so that every file of a dataset and every check agrees on them."""

import pyarrow as pa


def plain(kind: pa.DataType) -> pa.DataType | None:
    """Return what a column of Arrow type `kind` is cast to; None for what no training reads, such as bytes."""
    types = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        return plain(kind.storage_type)
    if types.is_dictionary(kind):
        return plain(kind.value_type)
    if types.is_null(kind) or types.is_boolean(kind) or types.is_timestamp(kind):
        return kind
    if types.is_date(kind):
        return pa.timestamp("ms")
    if types.is_integer(kind):
        return kind if kind == pa.uint64() else pa.int64()
    if types.is_floating(kind) or types.is_decimal(kind):
        return pa.float64()
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind) or types.is_time(kind):
        return pa.string()
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        items = plain(kind.value_type)
        return None if items is None else pa.list_(items)
    if types.is_struct(kind):
        inner = [(field.name, plain(field.type)) for field in kind]
        if any(field is None for _, field in inner) or not inner:
            return None
        return pa.struct([(name, field) for name, field in inner if field is not None])
    return None
