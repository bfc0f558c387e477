"""Workers are killed at random moments of random pipelines: results are right, and what was written whole stays written once."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import defaultdict

import pytest
from dask.utils import key_split
from distributed.diagnostics.plugin import SchedulerPlugin

from penstock import DaskRunner, DataCatalog
from penstock.pipeline import node, pipeline
from penstock.testing import DiaryDataset
from tests.soak import TIMES

NODES = 200
ON_THE_NEWEST = [pytest.param(seed, marks=pytest.mark.newest) for seed in range(10)]
ON_THE_OLDEST = [pytest.param(seed, marks=pytest.mark.oldest) for seed in range(10, 20)]
"""Dask has changed how it recovers in between: half of the pipelines meet the newest release, and half the oldest."""
MORE = range(20, 10 + 10 * TIMES)


class SaveTimes(SchedulerPlugin):
    """Notes when the scheduler learns that a save is complete; a save that it does not know when the worker is killed is repeated."""

    name = "save-times"

    def __init__(self):
        self.known_at = {}

    def transition(self, key, start, finish, *args, **kwargs):
        if finish == "memory":
            self.known_at.setdefault(key_split(key), time.time())


def mixed(name, diary, *inputs):
    """A number that only these inputs give."""
    diary.note(f"call {name}")
    return hash((int(name), *inputs)) % 1_000_003


def random_pipeline(seed, diary):
    """200 nodes, each of which reads up to three earlier ones; about half of the datasets are stored."""
    chance = random.Random(seed)
    nodes, catalog, values = [], {}, {}
    for number in range(NODES):
        inputs = chance.sample(range(number), min(number, chance.randint(0, 3)))
        function = lambda *given, name=str(number): mixed(name, diary, *given)  # noqa: E731
        nodes.append(node(function, [f"d{each}" for each in inputs] or None, f"d{number}", name=f"n{number}"))
        values[number] = hash((number, *(values[each] for each in inputs))) % 1_000_003
        if chance.random() < 0.5:
            catalog[f"d{number}"] = DiaryDataset(f"d{number}", diary)
    return pipeline(nodes), catalog, values


class Killer(threading.Thread):
    """Kills both workers, each at a random moment, and notes when.

    Those that take their places are spared: a nanny does not replace a worker that dies while it starts, and Dask would come to
    suspect an innocent node.
    """

    def __init__(self, client, seed):
        super().__init__(daemon=True)
        chance = random.Random(seed)
        pids = list(client.run(os.getpid).values())
        self._victims = [(pid, chance.uniform(0.0, 1.2)) for pid in chance.sample(pids, len(pids))]
        self._over = threading.Event()
        self.killed = {}

    def run(self):
        for pid, seconds in self._victims:
            if self._over.wait(seconds):
                return
            self.killed[pid] = time.time()
            os.kill(pid, signal.SIGKILL)

    def stop(self):
        self._over.set()
        self.join()


@pytest.fixture
def save_times(mortal):
    plugin = SaveTimes()
    mortal.cluster.scheduler.add_plugin(plugin)
    yield plugin.known_at
    mortal.cluster.scheduler.remove_plugin(plugin.name)


# Dask tries for 30 seconds to reach a worker that dies while all workers are asked something, before the first task.
@pytest.mark.apart
@pytest.mark.soak
@pytest.mark.cluster
@pytest.mark.timeout(180)
@pytest.mark.parametrize("seed", [*ON_THE_NEWEST, *ON_THE_OLDEST, *MORE])
def test_a_run_survives_the_death_of_workers(mortal, diary, save_times, seed):
    mortal.wait_for_workers(2, timeout=60)
    nodes, catalog, values = random_pipeline(seed, diary)
    killer = Killer(mortal, seed)
    killer.start()

    try:
        result = DaskRunner(mortal).run(nodes, DataCatalog(catalog), policies={"n7": {"retries": 1}})
    finally:
        killer.stop()

    assert {name: dataset.load() for name, dataset in result.items()} == {
        name: values[int(name[1:])] for name in result
    }
    saves = defaultdict(list)
    for note in diary.notes(*(f"saved {name}" for name in catalog)):
        saves[note["kind"]].append(note)
    assert len(saves) == len(catalog)
    # In doubt is a save of a worker that was killed before the scheduler learned of the save.
    in_doubt = {
        note["kind"]
        for notes in saves.values()
        for note in notes[:-1]
        if killer.killed.get(note["process"], 0.0)
        < save_times.get(note["kind"].replace("saved ", "save:"), time.time())
        and note["process"] in killer.killed
    }
    assert {what for what, notes in saves.items() if len(notes) > 1} <= in_doubt
