"""TFLite metadata inside a file: name, normalisation of the input, labels of the output.

The TFLite Task library, MediaPipe and Android Studio read it. It is a flatbuffer ("M001", by
metadata_schema.fbs of MediaPipe) in one of the model's own buffers; labels are a zip archive behind
the model, where interpreters do not look. It is written with flatbuffers alone: tflite-support
needs protobuf below 4, and the wheels of MediaPipe lack a module that their writer imports
(`_pywrap_metadata_version`; 0.10.30, 1.0.0 and 1.2.2 were tried).
"""

import io
import zipfile

import flatbuffers
import numpy as np
from flatbuffers import number_types
from flatbuffers.table import Table

from keras_joslim.tflite.aligned_buffers import ALIGNMENT, aligned_vector

LABELS_FILE = "labels.txt"
_ENTRY = "TFLITE_METADATA"
# Numbers of the metadata's schema: members of unions and enums.
_FEATURE, _IMAGE = 1, 2
_RGB, _GRAYSCALE = 1, 2
_NORMALIZATION = 1
_AXIS_LABELS = 2


def embed(data, name, point, format, labels=None, preprocessing=None):  # noqa: A002
    """A TFLite file with metadata in it; what it computes stays as it is, to the bit.

    Only what is certain is written: a normalisation for a single input, labels for a single output
    with a number for each. An input of shape `(1, height, width, 3)` is an RGB image, with one
    channel a grey one, anything else a feature.

    Args:
        data: the file as bytes, without metadata.
        name: of the model.
        point, format: what the file is of it, for the description.
        labels: names of the classes in order of the outputs, tuple of str.
        preprocessing: `Preprocessing`, how the input is made of raw values. The metadata has
            `(raw - mean) / std` in its place, `mean = -offset / scale` and `std = 1 / scale`. Its
            readers have pixels from 0 to 255; for an image these are brought into `raw_range`.

    Returns:
        Bytes, always the same ones for the same arguments.

    Raises:
        ValueError: a preprocessing of another number of channels than the input.

    Example:

    >>> data = embed(data, "digits_cnn", "p00", "fp32", ("zero", "one"), preprocessing)
    >>> zipfile.ZipFile(io.BytesIO(data)).read("labels.txt")
    b'zero\\none\\n'
    """
    metadata, files = _written(data, name, point, format, labels, preprocessing)
    archive = io.BytesIO(_with_buffer(data, metadata))
    if files:
        with zipfile.ZipFile(archive, "a") as opened:
            for file, content in files.items():
                # All that depends on time and system is fixed: the same file for the same input.
                # Readers on phones take stored files only.
                entry = zipfile.ZipInfo(file)
                entry.create_system, entry.external_attr = 3, 0o644 << 16
                opened.writestr(entry, content, zipfile.ZIP_STORED)
    return archive.getvalue()


def is_embedded(data, point, format, labels=None, preprocessing=None):  # noqa: A002
    """Does a file hold what `embed` would write, whatever the name of the model?"""
    found = _found(data)
    if found is None:
        return False
    root = Table(found, Table(found, 0).Indirect(0))
    name = root.String(root.Pos + root.Offset(4)).decode()
    metadata, files = _written(data, name, point, format, labels, preprocessing)
    return found == metadata and _archived(data) == files


def has_metadata(data):
    """Does a file have TFLite metadata in it?"""
    return _found(data) is not None


def _found(data):
    """The metadata in a file as bytes, or None."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(data)
    for index in range(model.MetadataLength()):
        entry = model.Metadata(index)
        if entry.Name() == _ENTRY.encode():
            return model.Buffers(entry.Buffer()).DataAsNumpy().tobytes()
    return None


def _archived(data):
    """dict name -> bytes of the files behind the model."""
    if not zipfile.is_zipfile(io.BytesIO(data)):
        return {}
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def _written(data, name, point, number_format, labels, preprocessing):
    """The metadata as bytes, and dict name -> bytes of the files that go with it."""
    inputs, outputs = _ends(data)
    files = {}
    if labels and len(outputs) == 1 and outputs[0][1][-1:] == (len(labels),):
        files[LABELS_FILE] = "".join(f"{label}\n" for label in labels).encode()
    graph = {
        2: [_input(*end, preprocessing if len(inputs) == 1 else None) for end in inputs],
        3: [_output(end_name, files) for end_name, _ in outputs],
    }
    builder = flatbuffers.Builder(1024)
    description = f"Point {point} as {number_format}."
    # The last one: the version of the schema that a reader must know at least.
    root = _packed(builder, {0: name, 1: description, 3: [graph], 7: "1.0.0"})
    builder.Finish(root, file_identifier=b"M001")
    return bytes(builder.Output()), files


def _input(name, shape, preprocessing):
    content = {0: _FEATURE, 1: {}}
    if len(shape) == 4 and shape[-1] in (1, 3):
        content = {0: _IMAGE, 1: {0: _RGB if shape[-1] == 3 else _GRAYSCALE}}
    if preprocessing is None:
        return {0: name, 3: content}
    text = preprocessing.text
    scale, offset = np.array(preprocessing.scale), np.array(preprocessing.offset)
    if content[0] == _IMAGE and preprocessing.raw_range != (0, 255):
        lowest, highest = preprocessing.raw_range
        scale, offset = scale * ((highest - lowest) / 255), offset + scale * lowest
        text += " Mean and deviation here are for the same pixels from 0 to 255."
    if len(scale) not in (1, shape[-1]):
        raise ValueError(
            f"Expected a preprocessing with one scale and offset, or {shape[-1]} of them, for "
            f"input {name!r} of shape {shape}. Received: scale={preprocessing.scale}"
        )
    # (Plus 0: no negative zero.)
    units = [{0: _NORMALIZATION, 1: {0: -offset / scale + 0, 1: 1 / scale}}]
    return {0: name, 1: text, 3: content, 4: units}


def _output(name, files):
    labels = [{0: file, 2: _AXIS_LABELS} for file in files]
    return {0: name, 3: {0: _FEATURE, 1: {}}} | ({6: labels} if labels else {})


def _ends(data):
    """Inputs and outputs in the graph's own order: lists of (name in the signature, shape)."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(data)
    graph = model.Subgraphs(0)
    names = {}
    if model.SignatureDefsLength() == 1:
        signature = model.SignatureDefs(0)
        for which in ("Inputs", "Outputs"):
            for index in range(getattr(signature, f"{which}Length")()):
                one = getattr(signature, which)(index)
                names[which, one.TensorIndex()] = one.Name().decode()

    def end(which, tensor):
        facts = graph.Tensors(tensor)
        shape = tuple(facts.Shape(axis) for axis in range(facts.ShapeLength()))
        return names.get((which, tensor)) or facts.Name().decode(), shape

    return (
        [end("Inputs", graph.Inputs(index)) for index in range(graph.InputsLength())],
        [end("Outputs", graph.Outputs(index)) for index in range(graph.OutputsLength())],
    )


def _packed(builder, value):
    """Writes a text, an array of numbers, a list, or a table: dict number of the field -> value.

    Returns:
        Its offset. Integers stand in their table, a byte each.
    """
    if isinstance(value, str):
        return builder.CreateString(value)
    if isinstance(value, np.ndarray):
        return builder.CreateNumpyVector(value.astype("<f4"))
    if isinstance(value, list):
        return _vector(builder, [_packed(builder, item) for item in value])
    inner = {key: _packed(builder, v) for key, v in value.items() if not isinstance(v, int)}
    builder.StartObject(max(value, default=-1) + 1)
    for key, item in value.items():
        if isinstance(item, int):
            builder.PrependUint8Slot(key, item, 0)
        else:
            builder.PrependUOffsetTRelativeSlot(key, inner[key], 0)
    return builder.EndObject()


def _vector(builder, offsets):
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()


def _with_buffer(data, content):
    """The file with one more buffer, which an entry of its metadata names.

    A flatbuffer is written from its end: all that was in the file stays its end, byte for byte,
    and a new root before it points into it.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(data)
    # What is aligned counts from the end.
    data = data + bytes(-len(data) % ALIGNMENT)
    builder = flatbuffers.Builder(len(data) + len(content) + (1 << 16))
    builder.head -= len(data)
    builder.Bytes[builder.head :] = data
    buffers = [model.Buffers(index) for index in range(model.BuffersLength())]
    entries = [model.Metadata(index) for index in range(model.MetadataLength())]

    content = aligned_vector(builder, content)
    schema.BufferStart(builder)
    schema.BufferAddData(builder, content)
    buffer = schema.BufferEnd(builder)
    name = builder.CreateString(_ENTRY)
    schema.MetadataStart(builder)
    schema.MetadataAddName(builder, name)
    schema.MetadataAddBuffer(builder, len(buffers))
    entry = schema.MetadataEnd(builder)

    # The fields of the old root, but the first, which is a number; a builder's offsets count from
    # the end.
    root = model._tab
    vtable = root.Pos - root.Get(number_types.SOffsetTFlags, root.Pos)
    fields = {}
    for field in range(1, root.Get(number_types.VOffsetTFlags, vtable) // 2 - 2):
        at = root.Offset(4 + 2 * field)
        if at:
            fields[field] = len(data) - root.Indirect(root.Pos + at)
    fields[4] = _vector(builder, [len(data) - one._tab.Pos for one in buffers] + [buffer])
    fields[6] = _vector(builder, [len(data) - one._tab.Pos for one in entries] + [entry])
    builder.StartObject(max(fields) + 1)
    for field, offset in fields.items():
        builder.PrependUOffsetTRelativeSlot(field, offset, 0)
    schema.ModelAddVersion(builder, model.Version())
    builder.Finish(schema.ModelEnd(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())
