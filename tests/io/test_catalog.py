import logging
import pickle
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from penstock._typing import CatalogLike
from penstock.errors import CannotSendError
from penstock.io import (
    AbstractDataset,
    CachedDataset,
    DataCatalog,
    DatasetAlreadyExistsError,
    DatasetError,
    DatasetNotFoundError,
    MemoryDataset,
    SharedMemoryDataCatalog,
    TextDataset,
)

pytestmark = pytest.mark.smoke


class Foreign:
    """A dataset of a class that knows nothing of Penstock."""

    def __init__(self, data=None):
        self.data = data
        self.is_confirmed = False

    def load(self):
        return self.data

    def save(self, data):
        self.data = data

    def exists(self):
        return self.data is not None

    def release(self):
        self.data = None

    def confirm(self):
        self.is_confirmed = True


class Failing(AbstractDataset):
    def load(self):
        raise ZeroDivisionError("deep trouble")

    def save(self, data):
        raise ZeroDivisionError("deep trouble")

    def _exists(self):
        raise ZeroDivisionError("deep trouble")

    def _release(self):
        raise ZeroDivisionError("deep trouble")

    def confirm(self):
        raise DatasetError("deep trouble")

    def _describe(self):
        return {}


USES = {
    "load": lambda catalog, name: catalog.load(name),
    "save": lambda catalog, name: catalog.save(name, 1),
    "exists": lambda catalog, name: catalog.exists(name),
    "release": lambda catalog, name: catalog.release(name),
    "confirm": lambda catalog, name: catalog.confirm(name),
}


def test_a_dataset_is_registered_as_it_is_and_anything_else_becomes_a_memory_dataset():
    memory, foreign = MemoryDataset(1), Foreign(2)

    catalog = DataCatalog({"memory": memory, "foreign": foreign, "data": [3], "class": MemoryDataset})

    assert catalog["memory"] is memory
    assert catalog["foreign"] is foreign
    assert isinstance(catalog["data"], MemoryDataset)
    assert catalog.load("data") == [3]
    assert catalog.load("class") is MemoryDataset


def test_names_and_datasets_come_in_the_order_of_registration():
    first, second = MemoryDataset(1), MemoryDataset(2)
    catalog = DataCatalog({"z": first})

    catalog["a"] = second

    assert catalog.keys() == ["z", "a"]
    assert catalog.values() == [first, second]
    assert catalog.items() == [("z", first), ("a", second)]
    assert list(catalog) == ["z", "a"]
    assert len(catalog) == 2
    assert catalog._ipython_key_completions_() == ["z", "a"]


def test_an_empty_catalog_is_empty():
    assert len(DataCatalog()) == 0
    assert repr(DataCatalog()) == ""


def test_replacing_a_dataset_warns_and_registers_it_at_the_end(caplog):
    catalog = DataCatalog({"a": 1, "b": 2})

    catalog["a"] = 3

    assert catalog.keys() == ["b", "a"]
    assert catalog.load("a") == 3
    [record] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert record.getMessage() == "Replacing dataset 'a'"


def test_a_new_name_does_not_warn(caplog):
    DataCatalog()["a"] = 1

    assert not caplog.records


def test_in_is_true_for_registered_names():
    catalog = DataCatalog({"a": 1})

    assert "a" in catalog
    assert "b" not in catalog


def test_an_unknown_dataset_is_an_error_that_offers_similar_names():
    catalog = DataCatalog({"companies": 1})

    with pytest.raises(DatasetNotFoundError, match=r"'company'.*companies"):
        catalog["company"]


@pytest.mark.parametrize("use", [use for use in USES if use != "exists"])
def test_each_operation_with_an_unknown_name_is_an_error(use):
    with pytest.raises(DatasetNotFoundError, match="unknown"):
        USES[use](DataCatalog(), "unknown")


def test_an_unknown_name_does_not_exist():
    assert DataCatalog().exists("unknown") is False


def test_get_returns_none_for_an_unknown_name_unless_asked_to_make_a_dataset():
    catalog = DataCatalog()

    assert catalog.get("new") is None
    assert "new" not in catalog

    made = catalog.get("new", fallback_to_runtime_pattern=True)

    assert isinstance(made, MemoryDataset)
    assert not made.exists()
    assert catalog["new"] is catalog.get("new") is made


def test_add_registers_a_new_name_and_refuses_a_known_one():
    catalog = DataCatalog()

    catalog.add("a", 1)

    assert catalog.load("a") == 1
    with pytest.raises(DatasetAlreadyExistsError, match="'a'"):
        catalog.add("a", 2)
    assert catalog.load("a") == 1


def test_catalogs_are_equal_when_they_have_the_same_datasets():
    dataset = MemoryDataset(1)

    assert DataCatalog({"a": dataset}) == DataCatalog({"a": dataset})
    assert DataCatalog({"a": dataset}) != DataCatalog({"b": dataset})
    assert DataCatalog({"a": dataset}) != DataCatalog({"a": MemoryDataset(1)})
    assert DataCatalog() != {}


def test_a_name_cannot_be_deleted():
    catalog = DataCatalog({"a": 1})

    with pytest.raises((TypeError, AttributeError)):
        del catalog["a"]


def test_data_is_saved_and_loaded_by_name():
    catalog = DataCatalog({"a": MemoryDataset(), "foreign": Foreign()})

    for name in catalog:
        catalog.save(name, [1])

    assert [catalog.load(name) for name in catalog] == [[1], [1]]
    assert catalog.exists("a")
    catalog.release("a")
    assert not catalog.exists("a")


@pytest.mark.parametrize("use", USES)
def test_a_failure_begins_with_the_name_of_the_dataset(use):
    with pytest.raises(DatasetError, match=r"^bad: .*deep trouble") as caught:
        USES[use](DataCatalog({"bad": Failing()}), "bad")

    assert isinstance(caught.value.__cause__, DatasetError)


def test_a_dataset_error_of_another_library_becomes_ours():
    """Kedro's datasets raise Kedro's DatasetError; one except clause is enough for both."""
    foreign_error = type("DatasetError", (Exception,), {})

    class Kedroid(Foreign):
        def load(self):
            raise foreign_error("deep trouble")

    with pytest.raises(DatasetError, match=r"^a: deep trouble"):
        DataCatalog({"a": Kedroid()}).load("a")


def test_a_missing_folder_during_a_save_keeps_its_error_class():
    class Homeless(Failing):
        def save(self, data):
            raise FileNotFoundError("no folder")

    with pytest.raises(FileNotFoundError):
        DataCatalog({"a": Homeless()}).save("a", 1)


def test_confirm_calls_the_dataset_and_is_logged(caplog):
    caplog.set_level(logging.INFO)
    catalog = DataCatalog({"a": Foreign()})

    catalog.confirm("a")

    assert catalog["a"].is_confirmed
    assert "a" in caplog.text


def test_a_dataset_without_confirm_cannot_be_confirmed():
    with pytest.raises(DatasetError, match=r"a: .*confirm"):
        DataCatalog({"a": 1}).confirm("a")


def test_loads_and_saves_are_logged_with_the_name_and_the_class(caplog):
    caplog.set_level(logging.INFO, "penstock.io.catalog")
    catalog = DataCatalog({"numbers": 1})

    catalog.save("numbers", 2)
    catalog.load("numbers")

    texts = [record.getMessage() for record in caplog.records if record.name == "penstock.io.catalog"]
    assert len(texts) == 2
    assert all("numbers" in text and "MemoryDataset" in text for text in texts)


def test_loads_and_saves_obtain_the_dataset_through_get():
    """A subclass that makes datasets when asked for them works for every operation."""

    class Making(DataCatalog):
        def get(self, key, fallback_to_runtime_pattern=False):
            return super().get(key, fallback_to_runtime_pattern=True)

    catalog = Making()

    catalog.save("a", 1)

    assert catalog.load("a") == 1
    assert not catalog.exists("b")


@pytest.mark.parametrize(
    ("conditions", "names"),
    [
        ({}, ["b_raw", "a_raw", "a_cached", "text"]),
        ({"name_regex": "raw"}, ["b_raw", "a_raw"]),
        ({"name_regex": re.compile("^A", re.IGNORECASE)}, ["a_raw", "a_cached"]),
        ({"type_regex": r"io\.memory\.Memory"}, ["b_raw", "a_raw"]),
        ({"type_regex": re.compile("cached")}, ["a_cached"]),
        ({"by_type": CachedDataset}, ["a_cached"]),
        ({"by_type": [CachedDataset, TextDataset]}, ["a_cached", "text"]),
        ({"by_type": AbstractDataset}, []),
        ({"by_type": []}, []),
        ({"name_regex": "raw", "by_type": CachedDataset}, []),
    ],
    ids=str,
)
def test_filter_returns_the_names_that_meet_all_conditions(conditions, names):
    catalog = DataCatalog(
        {"b_raw": 1, "a_raw": 2, "a_cached": CachedDataset(MemoryDataset()), "text": TextDataset("x.txt")}
    )

    assert catalog.filter(**conditions) == names


def test_the_type_of_a_dataset_is_returned_without_registering_anything():
    catalog = DataCatalog({"a": 1})

    assert catalog.get_type("a") == "penstock.io.memory.MemoryDataset"
    assert catalog.get_type("b") is None
    assert catalog.keys() == ["a"]


def test_repr_lists_the_entries_without_credentials():
    catalog = DataCatalog(
        {"a": 1, "far": TextDataset("s3://user1:hunter22@bucket/x", credentials={"token": "pssst"})}
    )

    lines = repr(catalog).splitlines()

    assert lines[0] == "'a': penstock.io.memory.MemoryDataset(data='<int>')"
    assert "bucket/x" in lines[1]
    assert not re.search("user1|hunter22|pssst", repr(catalog))


def test_validation_enabled_is_accepted():
    assert DataCatalog(validation_enabled=False).validation_enabled is False


def test_a_pickled_catalog_keeps_its_datasets():
    arrived = pickle.loads(pickle.dumps(DataCatalog({"a": [1], "empty": MemoryDataset()})))

    arrived["new"] = 2

    assert arrived.load("a") == [1]
    assert not arrived.exists("empty")
    assert arrived.keys() == ["a", "empty", "new"]


def test_many_threads_get_one_dataset_for_one_new_name():
    catalog = DataCatalog()
    start = threading.Barrier(8)

    def ask(_):
        start.wait()
        return [catalog.get(f"name {number}", fallback_to_runtime_pattern=True) for number in range(200)]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(8)))

    assert all(answer == answers[0] for answer in answers)
    assert len(catalog) == 200


def test_many_threads_may_read_while_others_register_and_replace():
    catalog = DataCatalog({"stable": 0, "replaced": 0})
    stop = threading.Event()

    def read():
        while not stop.is_set():
            catalog.load("replaced")
            list(catalog)
            repr(catalog)

    with ThreadPoolExecutor(3) as pool:
        readers = [pool.submit(read) for _ in range(3)]
        for number in range(500):
            catalog["replaced"] = number
            catalog[f"new {number}"] = number
        stop.set()

    assert [reader.exception() for reader in readers] == [None] * 3
    assert catalog.load("replaced") == 499


def test_a_catalog_fits_the_protocol():
    catalog: CatalogLike = DataCatalog()

    assert all(callable(getattr(catalog, name)) for name in vars(CatalogLike) if not name.startswith("_"))


def test_a_shared_catalog_with_picklable_datasets_is_valid():
    """Lambdas and classes of the main module go by cloudpickle."""
    SharedMemoryDataCatalog(
        {
            "lambda": MemoryDataset(lambda: 1),
            "cached": CachedDataset(MemoryDataset([1])),
            "text": TextDataset("x"),
        }
    ).validate_catalog()


def test_a_shared_catalog_names_all_datasets_that_cannot_be_sent_and_why():
    stuck = MemoryDataset(1)
    stuck._SINGLE_PROCESS = True
    lock = MemoryDataset(threading.Lock(), copy_mode="assign")
    catalog = SharedMemoryDataCatalog({"stuck": stuck, "fine": 1, "lock": lock})

    with pytest.raises(AttributeError, match=r"(?s)lock: .*pickle.*stuck: .*_SINGLE_PROCESS") as caught:
        catalog.validate_catalog()

    assert isinstance(caught.value, CannotSendError)
    assert caught.value.reason_by_name.keys() == {"stuck", "lock"}


def test_validation_does_not_fetch_a_deferred_value():
    class Elsewhere:
        def fetch(self):
            raise AssertionError("fetched")

    dataset = MemoryDataset()
    dataset.defer(Elsewhere())

    SharedMemoryDataCatalog({"far": dataset}).validate_catalog()


def test_a_cannot_send_error_can_be_pickled():
    error = pickle.loads(pickle.dumps(CannotSendError({"b": "because", "a": "why not"})))

    assert error.reason_by_name == {"b": "because", "a": "why not"}
    assert str(error).splitlines()[1:3] == ["  a: why not", "  b: because"]


@pytest.mark.parametrize("kind", [DatasetNotFoundError, DatasetAlreadyExistsError])
def test_errors_of_names_are_dataset_errors_and_survive_pickling(kind):
    error = pickle.loads(pickle.dumps(kind("text")))

    assert isinstance(error, DatasetError)
    assert str(error) == "text"
