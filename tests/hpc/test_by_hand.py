"""DaskRunner on a scheduler that the user has started."""

from __future__ import annotations

import importlib
import json
import logging
import os
import subprocess
import sys
import threading
import time

import pytest
from distributed import Client, LocalCluster, Security

from penstock import DaskRunner, DataCatalog, JSONDataset, MemoryDataset
from penstock.errors import ClusterError, NoWorkersError, RunnerError, UnfitWorkersError
from penstock.hooks import create_hook_manager
from penstock.pipeline import node, pipeline

ADD = pipeline([node(lambda x: x + 1, "x", "y", name="add")])


def run(runner, pipe=ADD, **datasets):
    catalog = DataCatalog({"x": 1, **datasets})
    return runner.run(pipe, catalog)


def schedulers_file(path, seconds=20):
    end = time.monotonic() + seconds
    while not path.exists() and time.monotonic() < end:
        time.sleep(0.1)
    return path


pytestmark = [pytest.mark.apart, pytest.mark.cluster]


@pytest.fixture(scope="module")
def by_hand(dask_commands, tmp_path_factory):
    """The file of a scheduler on loopback, without workers."""
    file = tmp_path_factory.mktemp("scheduler") / "scheduler.json"
    fixed = ["--host=127.0.0.1", "--port=0", "--dashboard-address=127.0.0.1:0"]
    dask_commands("scheduler", *fixed, "--scheduler-file", file)
    return schedulers_file(file)


@pytest.fixture
def worker(by_hand, dask_command):
    def start(*arguments, **options):
        fixed = ["--no-nanny", "--scheduler-file", by_hand, "--nthreads=1", "--host=127.0.0.1"]
        return dask_command("worker", *fixed, *arguments, **options)

    return start


class TestSchedulerFile:
    def test_a_run_finds_the_scheduler_by_its_file(self, by_hand, worker):
        worker()

        result = run(DaskRunner(scheduler_file=str(by_hand)))

        assert result["y"].load() == 2

    def test_a_run_waits_for_the_file(self, tmp_path, dask_command, caplog):
        """In a batch job, scheduler and driver start at the same time; Dask alone waits for ever and says nothing."""
        with pytest.raises(ClusterError, match=r"Waited 0\.5 s for the scheduler's file .*never\.json"):
            run(DaskRunner(scheduler_file=str(tmp_path / "never.json"), worker_timeout_seconds=0.5))

    def test_a_run_waits_for_the_first_worker(self, by_hand, worker, caplog):
        caplog.set_level(logging.INFO, "penstock")
        late = threading.Timer(3, worker)
        late.start()

        result = run(DaskRunner(scheduler_file=str(by_hand)))

        assert result["y"].load() == 2
        assert "Still waiting for a worker (2 s so far, at most 3600 s)" in caplog.text
        late.join()

    def test_a_run_without_workers_ends_in_time(self, by_hand):
        with pytest.raises(
            NoWorkersError, match=r"Waited 1 s for a worker; worker_timeout_seconds sets how long"
        ):
            run(DaskRunner(scheduler_file=str(by_hand), worker_timeout_seconds=1))

    def test_a_run_whose_workers_all_leave_ends_in_time(self, by_hand, worker, tmp_path):
        """Dask alone keeps the tasks, and waits for ever."""
        process = worker()
        run(DaskRunner(scheduler_file=str(by_hand)))
        started = tmp_path / "started"
        leave = threading.Thread(target=lambda: (schedulers_file(started), process.kill()))
        leave.start()

        def begin(x):
            started.touch()
            time.sleep(60)

        with pytest.raises(NoWorkersError, match="Waited 2 s for a worker"):
            run(
                DaskRunner(scheduler_file=str(by_hand), worker_timeout_seconds=2),
                pipeline([node(begin, "x", "y")]),
            )
        leave.join()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    key, cert = folder / "key.pem", folder / "cert.pem"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names]
    subprocess.run([*command, "-keyout", key, "-out", cert], check=True, capture_output=True)
    return {"ca_file": str(cert), "cert": str(cert), "key": str(key)}


@pytest.fixture(scope="module")
def secured(certificates, dask_commands, tmp_path_factory):
    """The file of a scheduler with TLS, with one worker."""
    file = tmp_path_factory.mktemp("secured") / "scheduler.json"
    tls = [f"--tls-{name.replace('_', '-')}={path}" for name, path in certificates.items()]
    at = ["--host=tls://127.0.0.1", "--scheduler-file", file, *tls]
    dask_commands("scheduler", "--port=0", "--dashboard-address=127.0.0.1:0", *at)
    dask_commands("worker", "--no-nanny", "--nthreads=1", *at)
    return schedulers_file(file)


@pytest.fixture
def security(certificates):
    ca_file, cert, key = certificates.values()
    return {
        "tls_ca_file": ca_file,
        "tls_client_cert": cert,
        "tls_client_key": key,
        "require_encryption": True,
    }


class TestTLS:
    def test_a_run_with_a_security_object(self, secured, security):
        result = run(DaskRunner(scheduler_file=str(secured), security=Security(**security)))

        assert result["y"].load() == 2

    def test_a_run_with_what_a_command_line_can_say(self, secured, security):
        address = json.loads(secured.read_text())["address"]

        result = run(DaskRunner(address=address, security=security))

        assert result["y"].load() == 2

    def test_a_client_without_security_gets_an_error_that_names_it(self, secured):
        """Dask alone raises a TypeError about an ssl_context."""
        with pytest.raises(
            ClusterError, match="uses TLS, and the client has no certificates: give security="
        ):
            run(DaskRunner(scheduler_file=str(secured)))

    def test_an_address_without_tls_gets_an_error_that_says_it_may_need_it(self, secured):
        address = json.loads(secured.read_text())["address"].replace("tls://", "tcp://")

        with pytest.raises(
            ClusterError, match=r"The address of a scheduler that uses TLS begins with tls://"
        ):
            run(DaskRunner(address=address, timeout=5))

    def test_a_certificate_that_is_not_there_is_no_matter_of_the_address(self, secured, security):
        with pytest.raises(ClusterError, match="A file that security or scheduler_file names does not exist"):
            run(DaskRunner(scheduler_file=str(secured), security={**security, "tls_ca_file": "/nowhere.pem"}))


def test_arguments_that_a_client_does_not_take_are_refused_in_our_words(by_hand):
    with pytest.raises(RunnerError, match=r"distributed\.Client does not take these arguments"):
        run(DaskRunner(scheduler_file=str(by_hand), security={"tls_nonsense": 1}))


class TestPreflight:
    def test_a_module_that_workers_cannot_import_is_named(self, by_hand, worker, tmp_path, monkeypatch):
        """The project is on the driver's path only, which is how most first runs on a cluster fail."""
        (tmp_path / "riverbed.py").write_text("def flow(x):\n    return x\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        flow = importlib.import_module("riverbed").flow
        worker(cwd="/")

        with pytest.raises(UnfitWorkersError) as raised:
            run(DaskRunner(scheduler_file=str(by_hand)), pipeline([node(flow, "x", "y")]))
        text = str(raised.value)
        assert "worker tcp://127.0.0.1:" in text
        assert "cannot import riverbed (ModuleNotFoundError: No module named 'riverbed')" in text

    def test_the_scheduler_needs_no_module_of_the_nodes(self, by_hand, worker, tmp_path, monkeypatch):
        (tmp_path / "lakebed.py").write_text(
            "import penstock\n"
            "class Depth(int): ...\n"
            "class Depths(penstock.JSONDataset): ...\n"
            "class Hooks:\n"
            "    @penstock.hook_impl\n"
            "    def before_node_run(self): ...\n"
            "def flow(x):\n"
            "    return Depth(x + 1)\n"
        )
        monkeypatch.syspath_prepend(str(tmp_path))
        lakebed = importlib.import_module("lakebed")
        worker(PYTHONPATH=str(tmp_path))
        catalog = DataCatalog(
            {"x": MemoryDataset(lakebed.Depth(1)), "y": lakebed.Depths(tmp_path / "y.json")}
        )
        nodes = pipeline([node(lakebed.flow, "x", "y"), node(lakebed.flow, "y", "z")])

        result = DaskRunner(scheduler_file=str(by_hand)).run(
            nodes, catalog, create_hook_manager([lakebed.Hooks()])
        )

        assert result["z"].load() == 3
        with Client(scheduler_file=str(by_hand)) as client:
            assert not client.run_on_scheduler(lambda: "lakebed" in sys.modules)

    def test_another_version_of_ours_is_named(self, by_hand, worker, tmp_path):
        package = tmp_path / "older" / "penstock"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("__version__ = '0.0.1'\n")
        worker(PYTHONPATH=str(package.parent))

        with pytest.raises(
            UnfitWorkersError, match=r"worker tcp://127\.0\.0\.1:\d+ has penstock 0\.0\.1, the driver \d"
        ):
            run(DaskRunner(scheduler_file=str(by_hand)))

    def test_a_folder_that_workers_do_not_see_is_pointed_out(self, by_hand, worker, tmp_path, caplog):
        """The worker has a file system of its own where the driver has this folder."""
        folder = tmp_path / "local"
        folder.mkdir()
        (folder / "x.json").write_text("1")
        hidden = ["unshare", "--mount", "sh", "-c", f'mount -t tmpfs none {folder} && exec "$@"', "sh"]
        if subprocess.run([*hidden, "true"], capture_output=True, check=False).returncode:
            pytest.skip("this machine does not allow mounts")
        worker(before=hidden)

        run(DaskRunner(scheduler_file=str(by_hand)), x=3, y=JSONDataset(folder / "y.json"))

        assert f"dataset 'y', {folder / 'y.json'}, is not seen by worker tcp://127.0.0.1:" in caplog.text
        assert not list(folder.glob(".penstock-*"))

    def test_files_that_all_see_are_not_pointed_out(self, by_hand, worker, tmp_path, caplog):
        worker()

        run(DaskRunner(scheduler_file=str(by_hand)), y=JSONDataset(tmp_path / "new" / "y.json"))

        assert "see these files" not in caplog.text
        assert [path.name for path in (tmp_path / "new").iterdir()] == ["y.json"]

    def test_a_relative_path_that_starts_elsewhere_is_pointed_out(
        self, by_hand, worker, tmp_path, monkeypatch, caplog
    ):
        class Relative:
            """As those of `kedro-datasets` are."""

            _protocol, _filepath = "file", "y.txt"

            def load(self):
                raise NotImplementedError

            def save(self, data):
                pass

            def exists(self):
                return False

            def release(self):
                pass

        monkeypatch.chdir(tmp_path)
        worker(cwd="/")

        run(DaskRunner(scheduler_file=str(by_hand)), y=Relative())

        assert "dataset 'y', y.txt, is not seen by worker tcp://127.0.0.1:" in caplog.text
        assert f"relative paths start at {tmp_path} here, and at / there" in caplog.text

    def test_a_resource_that_no_worker_has_is_refused(self, by_hand, worker):
        """Dask alone waits for it for ever, and says nothing."""
        worker("--resources", "GPU=1")

        with pytest.raises(UnfitWorkersError, match="node 'add' needs GPU=2, which no worker has"):
            run(DaskRunner(scheduler_file=str(by_hand), policies={"add": {"resources": {"GPU": 2}}}))

    def test_a_resource_that_a_worker_has_is_taken(self, by_hand, worker):
        worker("--resources", "GPU=1")

        result = run(DaskRunner(scheduler_file=str(by_hand), policies={"add": {"resources": {"GPU": 1}}}))

        assert result["y"].load() == 2

    def test_a_resource_on_its_way_is_waited_for(self):
        """The worker with the GPU may be the one that still stands in the queue."""
        with LocalCluster(n_workers=1, dashboard_address="127.0.0.1:0", processes=False) as cluster:
            cluster.new_spec["options"]["resources"] = {"GPU": 1}
            with Client(cluster, set_as_default=False) as client:
                late = threading.Timer(0.5, cluster.scale, [2])
                cluster.adapt(minimum=1, maximum=2)
                late.start()

                result = run(DaskRunner(client, policies={"add": {"resources": {"GPU": 1}}}))

                assert result["y"].load() == 2
                late.join()


LOOK = """
import os, sys
from penstock.runner.cluster.checks import _Question, _report
os.seteuid(65534)
print(_report(_Question(["no_such_module"], {}, ("", 0)), [sys.argv[1]]))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_folder_that_a_workers_user_may_not_enter_is_not_seen_there(tmp_path):
    """Workers that run as another user may not enter the home folder of the driver's user."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)

    done = subprocess.run(
        [sys.executable, "-c", LOOK, home / "x.csv"], capture_output=True, text=True, check=True
    )

    assert "missing_files=frozenset({" in done.stdout
    assert "ModuleNotFoundError: No module named 'no_such_module'" in done.stdout
