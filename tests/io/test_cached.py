import pickle

import pytest

from penstock.io import AbstractDataset, CachedDataset, DatasetError, MemoryDataset

pytestmark = pytest.mark.smoke


class Counting(AbstractDataset):
    """A dataset that counts its calls."""

    def __init__(self, data=None):
        self.data, self.loads, self.is_released = data, 0, False

    def load(self):
        self.loads += 1
        return self.data

    def save(self, data):
        if data == "bad":
            raise ValueError(data)
        self.data = data

    def _exists(self):
        return self.data is not None

    def _release(self):
        self.is_released = True

    def _describe(self):
        return {}


def test_a_dataset_is_loaded_once():
    cached = CachedDataset(Counting([1]))

    assert cached.load() == cached.load() == [1]
    assert cached.dataset.loads == 1


def test_each_reader_gets_its_own_copy():
    cached = CachedDataset(Counting([1]))

    cached.load().append("mine")
    cached.load().append("mine")

    assert cached.load() == [1]


def test_none_is_cached_too():
    cached = CachedDataset(Counting(None))

    assert cached.load() is cached.load() is None
    assert cached.dataset.loads == 1


def test_saved_data_is_written_to_the_dataset_and_cached():
    cached = CachedDataset(Counting())

    cached.save([1])

    assert cached.dataset.data == [1]
    assert cached.load() == [1]
    assert cached.dataset.loads == 0


def test_a_failed_save_leaves_the_cached_value():
    cached = CachedDataset(Counting("good"))
    cached.load()

    with pytest.raises(DatasetError):
        cached.save("bad")

    assert cached.load() == "good"


def test_it_exists_if_the_cache_or_the_dataset_has_data():
    empty, stored, remembered = (CachedDataset(Counting(data)) for data in (None, 1, 1))
    remembered.load()
    remembered.dataset.data = None

    assert [empty.exists(), stored.exists(), remembered.exists()] == [False, True, True]


def test_release_clears_cache_and_dataset():
    cached = CachedDataset(Counting(1))
    cached.load()

    cached.release()
    cached.load()

    assert cached.dataset.is_released
    assert cached.dataset.loads == 2


def test_pickling_drops_the_cached_data_and_logs_it(caplog):
    cached = CachedDataset(Counting([1]))
    cached.load()

    arrived = pickle.loads(pickle.dumps(cached))
    arrived.load()
    cached.load()

    assert "CachedDataset" in caplog.text
    assert arrived.dataset.loads == 2, "the one that arrived loads again"
    assert cached.dataset.loads == 1, "the one that stayed remembers"


def test_pickling_an_empty_cache_logs_nothing(caplog):
    pickle.dumps(CachedDataset(Counting()))

    assert not caplog.records


def test_the_copy_mode_applies_to_the_cached_value():
    cached = CachedDataset(Counting([1]), copy_mode="assign")

    assert cached.load() is cached.load()


@pytest.mark.parametrize("thing", [3, {"type": "pandas.CSVDataset"}, Counting, None])
def test_only_a_dataset_can_be_wrapped(thing):
    with pytest.raises(ValueError, match="dataset"):
        CachedDataset(thing)


def test_it_is_ephemeral_and_can_be_sent_if_its_dataset_can():
    stuck = MemoryDataset(1)
    stuck._SINGLE_PROCESS = True

    assert CachedDataset._EPHEMERAL is True
    assert CachedDataset(Counting())._SINGLE_PROCESS is False
    assert CachedDataset(stuck)._SINGLE_PROCESS is True


def test_repr_shows_the_dataset_and_the_cached_data():
    cached = CachedDataset(MemoryDataset([1]))

    assert repr(cached) == (
        "penstock.io.cached.CachedDataset(dataset=penstock.io.memory.MemoryDataset(data='<list>'), "
        "cache=penstock.io.memory.MemoryDataset())"
    )


@pytest.mark.parametrize(("meanwhile", "held"), [("save", "new"), ("release", None)])
def test_a_load_does_not_undo_a_save_or_release_of_another_thread(meanwhile, held):
    """Another thread saves or releases while the store is read."""

    class Slow(Counting):
        def load(self):
            data = super().load()
            if self.loads == 1:
                cached.save("new") if meanwhile == "save" else cached.release()
            return data

    cached = CachedDataset(Slow("old"))

    assert cached.load() == "old"
    assert cached._cache.exists() == (held is not None)
    assert cached.load() == (held or "old")
