"""Makes the vectors of newer Milvus releases: schemas as a source stores them, and messages of its topics.

  python make_newer.py FOLDER    with the pymilvus release of that folder's name installed (pip install
                                 --no-deps pymilvus==2.5.10 protobuf grpcio), whose message classes it uses

The vectors are committed, so the tests need none of these releases. Each file is one message:

  head            schema.CollectionSchema as it stands in the collection's key: without fields and functions
  field-<id>      schema.FieldSchema of a key fields/<collection>/<id>
  function-<id>   schema.FunctionSchema of a key functions/<collection>/<id>
  struct-<id>     schema.StructArrayFieldSchema (2.6)
  insert          msg.InsertRequest with a column of every field, int64 key 100
  insert-varchar  the same with a varchar key
  delete          msg.DeleteRequest of the insert's keys
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from pathlib import Path

ROWS, TS, COLLECTION, PARTITION = 4, 470648418537308162, 449, 450


def classes():
    """The generated modules alone: the package itself needs much more than protobuf."""
    folder = Path(importlib.util.find_spec("pymilvus").origin).parent
    package = types.ModuleType("pymilvus")
    package.__path__ = [str(folder)]
    sys.modules["pymilvus"] = package
    generated = types.ModuleType("pymilvus.grpc_gen")
    generated.__path__ = [str(folder / "grpc_gen")]
    sys.modules["pymilvus.grpc_gen"] = generated
    return tuple(importlib.import_module(f"pymilvus.grpc_gen.{n}_pb2") for n in ("common", "schema", "msg"))


common, schema, msg = classes()
TYPES = dict(schema.DataType.items())


def known(message, **values):
    """Sets what this release's message has."""
    for name, value in values.items():
        if name in message.DESCRIPTOR.fields_by_name:
            setattr(message, name, value)
    return message


def field(number: int, name: str, kind: str, params: dict | None = None, **more):
    f = known(schema.FieldSchema(fieldID=number, name=name, data_type=TYPES[kind], description=f"a {kind}"), **more)
    for key, value in (params or {}).items():
        f.type_params.add(key=key, value=value)
    return f


def fields(varchar_key: bool = False):
    kind = "VarChar" if varchar_key else "Int64"
    rows = [field(100, "id", kind, {"max_length": "64"} if varchar_key else None, is_primary_key=True)]
    rows.append(field(101, "maybe", "Int32", nullable=True))
    rows.append(field(102, "given", "Int64"))
    rows[-1].default_value.long_data = 7
    rows.append(field(103, "cluster", "Int64", is_clustering_key=True))
    rows.append(field(104, "text", "VarChar", {"max_length": "1000", "enable_analyzer": "true"}))
    rows.append(field(105, "f16", "Float16Vector", {"dim": "4"}))
    rows.append(field(106, "bf16", "BFloat16Vector", {"dim": "4"}))
    rows.append(field(107, "sparse", "SparseFloatVector", is_function_output=True))
    rows.append(field(108, "tags", "Array", {"max_capacity": "8"}, element_type=TYPES["Int32"], nullable=True))
    if "Int8Vector" in TYPES:
        rows.append(field(109, "i8", "Int8Vector", {"dim": "4"}))
    return rows


def function():
    f = schema.FunctionSchema(name="bm25", id=100, description="words to weights", type=1)
    f.input_field_names.append("text")
    f.input_field_ids.append(104)
    f.output_field_names.append("sparse")
    f.output_field_ids.append(107)
    f.params.add(key="k1", value="1.2")
    return f


def struct():
    s = schema.StructArrayFieldSchema(fieldID=110, name="chunks", description="a struct array")
    s.fields.add(fieldID=111, name="chunk_text", data_type=TYPES["Array"], element_type=TYPES["VarChar"])
    s.fields.add(fieldID=112, name="chunk_vector", data_type=TYPES["ArrayOfVector"],
                 element_type=TYPES["FloatVector"])
    return s


def column(f):
    """A FieldData of ROWS rows."""
    d = schema.FieldData(type=f.data_type, field_name=f.name, field_id=f.fieldID)
    kind, s, v = schema.DataType.Name(f.data_type), d.scalars, d.vectors
    if kind == "Int64":
        s.long_data.data.extend(-1 + n for n in range(ROWS))
    elif kind == "Int32":
        s.int_data.data.extend([5, 6])  # only the rows that are not null
    elif kind == "VarChar":
        s.string_data.data.extend(f"row {n} \u00e4\u4e2d"[: 4 + n] for n in range(ROWS))
    elif kind == "Array":
        s.array_data.element_type = f.element_type
        for n in range(ROWS):
            s.array_data.data.add().int_data.data.extend(range(n))
    else:
        v.dim = 4
        if kind == "SparseFloatVector":
            v.sparse_float_vector.dim = 9
            v.sparse_float_vector.contents.extend(bytes([n, 0, 0, 0, 0, 0, 128, 63]) for n in range(ROWS))
        else:
            width = {"Float16Vector": 8, "BFloat16Vector": 8, "Int8Vector": 4}[kind]
            name = {"Float16Vector": "float16_vector", "BFloat16Vector": "bfloat16_vector",
                    "Int8Vector": "int8_vector"}[kind]
            setattr(v, name, bytes(range(ROWS * width)))
    if getattr(f, "nullable", False) and "valid_data" in d.DESCRIPTOR.fields_by_name:
        d.valid_data.extend([True, False, True, False])
    return d


def insert(varchar_key: bool):
    m = msg.InsertRequest(shardName=f"src-rootcoord-dml_0_{COLLECTION}v0", collection_name="c",
                          partition_name="_default", collectionID=COLLECTION, partitionID=PARTITION, segmentID=9,
                          num_rows=ROWS, version=1)
    m.base.CopyFrom(common.MsgBase(msg_type=400, msgID=77, timestamp=TS, sourceID=1))
    m.timestamps.extend([TS] * ROWS)
    m.rowIDs.extend(range(1000, 1000 + ROWS))
    for f in fields(varchar_key):
        m.fields_data.add().CopyFrom(column(f))
    return m


def delete():
    m = msg.DeleteRequest(shardName=f"src-rootcoord-dml_0_{COLLECTION}v0", collection_name="c",
                          collectionID=COLLECTION, partitionID=-1, num_rows=ROWS)
    m.base.CopyFrom(common.MsgBase(msg_type=401, msgID=78, timestamp=TS + 1, sourceID=1))
    m.timestamps.extend([TS + 1] * ROWS)
    m.primary_keys.int_id.data.extend(-1 + n for n in range(ROWS))
    known(m, segment_id=12)
    return m


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)

    def write(name: str, message) -> None:
        (folder / name).write_bytes(message.SerializeToString(deterministic=True))

    head = schema.CollectionSchema(name="c", description="newer", enable_dynamic_field=True)
    if "properties" in head.DESCRIPTOR.fields_by_name:
        head.properties.add(key="mmap.enabled", value="true")
    write("head", known(head, dbName="default"))
    for f in fields():
        write(f"field-{f.fieldID}", f)
    write("field-0", field(0, "RowID", "Int64"))
    write("field-113", field(113, "$meta", "JSON", is_dynamic=True))
    if "functions" in head.DESCRIPTOR.fields_by_name:
        write("function-100", function())
    if hasattr(schema, "StructArrayFieldSchema"):
        write("struct-110", struct())
    write("insert", insert(False))
    write("insert-varchar", insert(True))
    write("delete", delete())


if __name__ == "__main__":
    main()
