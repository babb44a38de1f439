"""MovieLens: ratings of films as timelines, the stars as the strength of what a user did."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

from rosa_ray.errors import InputError
from rosa_ray.sources.named import NamedLog, read_text
from rosa_ray.sources.protocol import RawBatch, SourceFile
from rosa_ray.sources.text_files import TextForm

COLUMNS = {
    "event_id": "#row",
    "user_id": "userId",
    "item_id": "movieId",
    "behavior": "rating",
    "event_time": "timestamp",
}
FILE_COLUMNS = ("userId", "movieId", "rating", "timestamp")
STARS = ("view", "view", "click", "cart", "purchase")
BEHAVIORS_OF = {
    text: STARS[max(0, int(stars / 2 + 0.5) - 1)]
    for stars in range(1, 11)
    for text in {f"{stars / 2:g}", f"{stars / 2}"}
}
_LOG_FILES = ("ratings", "u.data")


@dataclass(frozen=True)
class MovieLensSource(NamedLog):
    """Reads `ratings.csv`, `ratings.dat` or `u.data` as events; other files are passed over.

    One and two stars are a view, three a click, four a cart, five a purchase; half stars count upwards. So a model can
    be tried on the timelines, but no behaviour is what its name says. There are no categories and no prices.
    """

    def files(self) -> list[SourceFile]:
        """List the files of `config.path` that hold ratings."""
        files = [file for file in super().files() if os.path.basename(file.path).startswith(_LOG_FILES)]
        if not files:
            raise InputError(f"{self.config.path}: no ratings.csv, ratings.dat or u.data is there")
        return files

    def read(self, file: SourceFile) -> Iterator[RawBatch]:
        """Stream one file."""
        config = self.known(columns={"events": COLUMNS}, behaviors=BEHAVIORS_OF, time_unit="s")
        yield from read_text(config, file, _form(os.path.basename(file.path)), own=self.own)


def _form(name: str) -> TextForm:
    if name.startswith("u.data"):
        return TextForm("\t", header=FILE_COLUMNS)
    if ".dat" in name:  # fields lie between two colons, so every second field is empty
        user, item, rating, time = FILE_COLUMNS
        return TextForm(":", header=(user, "1", item, "2", rating, "3", time))
    return TextForm()


SOURCES = {"movielens": MovieLensSource}
