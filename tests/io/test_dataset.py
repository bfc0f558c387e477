import logging
import pickle
from unittest.mock import MagicMock

import dask
import pytest

from penstock._typing import DatasetLike
from penstock.io import AbstractDataset, DatasetError
from penstock.io.dataset import is_dataset

pytestmark = pytest.mark.smoke


class Broken(AbstractDataset):
    """Raises what it was given, wherever it is used."""

    def __init__(self, error=None):
        self.error = error

    def load(self):
        raise self.error

    def save(self, data):
        raise self.error

    def _exists(self):
        raise self.error

    def _release(self):
        raise self.error

    def _describe(self):
        return {"path": "here", "nothing": None}


class Older(AbstractDataset):
    """Written with the older names."""

    def _load(self):
        return "older"

    def _save(self, data):
        raise KeyError(data)

    def _describe(self):
        return {}


USES = {
    "load": lambda dataset: dataset.load(),
    "save": lambda dataset: dataset.save(1),
    "exists": lambda dataset: dataset.exists(),
    "release": lambda dataset: dataset.release(),
}


@pytest.mark.parametrize("use", USES)
def test_any_error_of_a_dataset_becomes_a_dataset_error(use):
    original = ZeroDivisionError("the original text")

    with pytest.raises(
        DatasetError, match=r"test_dataset.Broken\(path='here'\).*the original text"
    ) as caught:
        USES[use](Broken(original))

    assert caught.value.__cause__ is original


@pytest.mark.parametrize("use", USES)
def test_a_dataset_error_is_passed_on_unchanged(use):
    original = DatasetError("said already")

    with pytest.raises(DatasetError) as caught:
        USES[use](Broken(original))

    if use in {"load", "save"}:
        assert caught.value is original
    assert "said already" in str(caught.value)


@pytest.mark.parametrize("error", [FileNotFoundError("x"), NotADirectoryError("x")])
def test_a_missing_folder_during_a_save_keeps_its_error_class(error):
    with pytest.raises(type(error)) as caught:
        Broken(error).save(1)

    assert caught.value is error


def test_a_missing_file_is_a_dataset_error_when_loaded():
    with pytest.raises(DatasetError):
        Broken(FileNotFoundError("x")).load()


def test_an_interruption_is_not_an_error_of_the_dataset():
    with pytest.raises(KeyboardInterrupt):
        Broken(KeyboardInterrupt()).load()


@pytest.mark.parametrize(
    "save", [lambda d: d.save(None), lambda d: d.save(data=None)], ids=["position", "keyword"]
)
def test_none_is_never_saved(save):
    with pytest.raises(DatasetError, match="None"):
        save(Broken(AssertionError("the dataset was reached")))


def test_a_class_written_with_the_older_names_is_a_dataset():
    dataset = Older()

    assert dataset.load() == "older"
    with pytest.raises(DatasetError, match="KeyError"):
        dataset.save(1)


def test_errors_are_wrapped_once_however_deep_the_inheritance():
    class Middle(Broken):
        def load(self):
            return super().load()

    class Deep(Middle):
        def load(self):
            return super().load()

    original = ZeroDivisionError("deep down")

    with pytest.raises(DatasetError) as caught:
        Deep(original).load()

    assert caught.value.__cause__ is original
    assert str(caught.value).count("Cannot load") == 1


def test_an_inherited_method_is_not_wrapped_again():
    class Alias(Broken):
        load = Broken.load

    assert Alias.load is Broken.load


def test_a_subclass_can_override_one_older_method_and_call_its_base():
    class Louder(Older):
        def _load(self):
            return super().load().upper()

    assert Louder().load() == "OLDER"


@pytest.mark.parametrize("missing", ["load", "save", "_describe"])
def test_a_class_without_one_of_the_three_methods_cannot_be_made(missing):
    methods = {"load": lambda self: 1, "save": lambda self, data: None, "_describe": lambda self: {}}
    del methods[missing]
    incomplete = type("Incomplete", (AbstractDataset,), methods)

    with pytest.raises(TypeError, match=missing):
        incomplete()


def test_a_dataset_without_an_exists_method_is_missing_and_warns(caplog):
    assert Older().exists() is False

    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert "Older" in record.getMessage()
    assert "has no _exists method: its data is treated as missing" in record.getMessage()


def test_a_dataset_with_nothing_to_release_is_released():
    assert Older().release() is None


def test_repr_shows_the_described_arguments_that_are_not_none():
    assert repr(Broken()).endswith("test_dataset.Broken(path='here')")


def test_repr_omits_a_malformed_description_with_a_warning(caplog):
    class Vague(Older):
        def _describe(self):
            return "a text"

    assert repr(Vague()).endswith("Vague()")
    assert "_describe" in caplog.text


def test_repr_hides_the_password_of_a_url():
    class Remote(Older):
        def _describe(self):
            return {"url": "postgresql://me:hunter22@host/db"}

    assert "hunter22" not in repr(Remote())
    assert "host/db" in repr(Remote())


def test_an_error_of_a_dataset_does_not_show_the_password_of_a_url():
    with pytest.raises(DatasetError) as caught:
        Broken(OSError(5, "no answer", "ftp://me:hunter22@host/x")).load()

    assert "hunter22" not in f"{caught.value} {caught.value.__cause__!s} {caught.value.__cause__!r}"
    assert "host/x" in str(caught.value)


def test_an_error_that_cannot_be_cleaned_is_not_shown_at_all():
    """An error that makes its text from its own attributes; the traceback would print it as the cause."""

    class TalkativeError(Exception):
        def __str__(self):
            return "ftp://me:hunter22@host"

    with pytest.raises(DatasetError, match="TalkativeError") as caught:
        Broken(TalkativeError()).load()

    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert "hunter22" not in str(caught.value)


def test_a_dataset_error_takes_any_text_and_survives_pickling():
    error = pickle.loads(pickle.dumps(DatasetError("any text")))

    assert str(error) == "any text"


class Structural:
    load = save = exists = release = lambda self, *_: None


@pytest.mark.parametrize(
    ("thing", "answer"),
    [
        (Older(), True),
        (Structural(), True),
        (Structural, False),
        (Older, False),
        ({}, False),
        (None, False),
        ("x", False),
        # Things that have whatever attribute they are asked for.
        (MagicMock(), False),
        (dask.delayed(sum)([1, 2]), False),
    ],
    ids=repr,
)
def test_an_object_with_the_four_methods_is_a_dataset_and_a_class_is_not(thing, answer):
    assert is_dataset(thing) is answer


def test_our_datasets_fit_the_protocol():
    assert isinstance(Older(), DatasetLike)
