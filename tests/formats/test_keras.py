"""Keras: a saved model is a zip archive around HDF5, weights alone are HDF5; bfloat16 is told by an attribute."""

import io
import zipfile

from tests.formats.files import FILES, by_name, index_of, read_as_told


def test_a_saved_model_and_its_weights_as_the_library_says() -> None:
    for file, container in (("model.keras", "keras"), ("model.weights.h5", "hdf5")):
        read_as_told(file)
        found = index_of(FILES[file])
        assert found
        assert found.container == container


def archive(weights: bytes, method: int, name: str = "model.weights.h5") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as written:
        written.writestr("config.json", "{}")
        written.writestr(name, weights)
    return file.getvalue()


def test_weights_are_found_wherever_they_lie_in_the_archive() -> None:
    weights = FILES["model.weights.h5"]
    data = archive(weights, zipfile.ZIP_STORED)
    start = data.index(weights)
    assert {name: tensor.offset - start for name, tensor in by_name(data).items()} == {
        name: tensor.offset for name, tensor in by_name(weights).items()
    }


def test_compressed_weights_other_members_and_rubbish_are_no_container() -> None:
    weights = FILES["model.weights.h5"]
    assert index_of(archive(weights, zipfile.ZIP_DEFLATED)) is None
    assert index_of(archive(weights, zipfile.ZIP_STORED, "other.h5")) is None
    assert index_of(archive(b"rubbish", zipfile.ZIP_STORED)) is None
    assert index_of(archive(b"", zipfile.ZIP_STORED)) is None


def test_opaque_pairs_of_bytes_are_numbers_only_where_an_attribute_says_so() -> None:
    data = FILES["model.weights.h5"]
    assert by_name(data.replace(b"bfloat16", b"bfloat17")).keys() == {"layers/dense/vars/0", "layers/dense/vars/1"}
