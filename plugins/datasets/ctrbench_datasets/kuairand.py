"""KuaiRand-Pure: short videos that Kuaishou recommended, and a log in which the videos were drawn at random.

In: the files of KuaiRand-Pure, in a folder or downloaded. Out: splits with fields of users, videos and time, trained on
what the recommender showed and tested on what was shown at random later.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from ctrbench import (
    Coding,
    Context,
    Dataset,
    Field,
    Location,
    Queries,
    Register,
    Splits,
    UserError,
    encode_splits,
    hookimpl,
    with_ranking,
)

from ctrbench_datasets._origin import Origin, PublicLog
from ctrbench_datasets._tables import join, read_table, whole_numbers

if TYPE_CHECKING:
    import pandas as pd

STANDARD, RANDOM = "log_standard_4_08_to_4_21_pure.csv", "log_random_4_22_to_5_08_pure.csv"
USERS, VIDEOS = "user_features_pure.csv", "video_features_basic_pure.csv"
VALID_DAYS = 2

ORIGIN = Origin(
    "kuairand",
    "KuaiRand-Pure",
    {STANDARD: "", RANDOM: "", USERS: "", VIDEOS: ""},
    (("https://zenodo.org/records/10439422/files/KuaiRand-Pure.tar.gz",),),
    "KuaiRand (Gao et al. 2022, arXiv:2208.10696; Kuaishou): CC BY-SA 4.0, with acknowledgement",
    {"KuaiRand-Pure.tar.gz": "0820331067a3784d9691136f772b35a7"},
)

USER_FIELDS = (
    "user_active_degree", "is_lowactive_period", "is_live_streamer", "is_video_author", "follow_user_num_range",
    "fans_user_num_range", "friend_user_num_range", "register_days_range", *(f"onehot_feat{n}" for n in range(18)),
)  # fmt: skip
VIDEO_FIELDS = ("author_id", "video_type", "upload_type", "visible_status", "music_id", "music_type", "tag")
FIELDS = (
    *(Field(name, role="user") for name in ("user_id", *USER_FIELDS)),
    *(Field(name, role="item") for name in ("video_id", *VIDEO_FIELDS)),
    Field("video_duration", "numeric", "item"),
    *map(Field, ("tab", "hour", "weekday")),
)
"""`tag` is all tags of a video as one value, its duration is in twenty bins of equal size; counts of users' friends and
days are in the publisher's ranges."""


@dataclass(frozen=True)
class KuaiRand(PublicLog):
    """KuaiRand-Pure (Kuaishou): trained on what was recommended, tested on videos shown at random."""

    name: ClassVar[str] = "kuairand"
    path: Annotated[
        str, "folder of KuaiRand-Pure's files; else $CTRBENCH_DATA/KuaiRand-Pure, else a download", Location()
    ] = ""
    ranking: Queries = 0

    @property
    def origin(self) -> Origin:
        """KuaiRand-Pure's archive."""
        return ORIGIN

    def load(self, *, seed: int, context: Context) -> Splits:
        """The recommended log of 8 to 21 April 2022 as train, its last two days as valid, the random log as test.

        The recommended log of the test's own days is left out. The seed only chooses `ranking`.
        """
        folder = ORIGIN.bring(self.path, context.progress)
        source = f"kuairand ({folder})"
        recommended, shown_at_random = (_read(folder, name) for name in (STANDARD, RANDOM))
        days = sorted(recommended["date"].unique())
        if len(days) <= VALID_DAYS:
            raise UserError(f"{source}: {STANDARD} covers {len(days)} days; it takes {VALID_DAYS + 1} to split it")
        late = recommended["date"] >= days[-VALID_DAYS]
        splits = encode_splits(
            recommended[~late],
            recommended[late],
            shown_at_random,
            label="is_click",
            fields=FIELDS,
            codings={"video_duration": Coding(bins="quantiles:20")},
            source=source,
            notes=[*ORIGIN.notes(folder), *NOTES],
        )
        splits = with_ranking(splits, self.ranking, seed=seed, source=source)
        return replace(splits, apart="exposure")


NOTES = (
    "train is what was recommended from 8 to 19 April 2022, valid that of 20 and 21 April, test the log of videos that "
    "were shown at random from 22 April to 8 May",
    "left out: the counts of likes, views and the like of video_features_statistic, which include the days of test",
)


def _read(folder: Path, name: str) -> pd.DataFrame:
    """A log joined with what is known about its users and videos."""
    import pandas as pd

    log = read_table(folder / name, only=("user_id", "video_id", "date", "hourmin", "is_click", "tab"))
    users = read_table(folder / USERS, only=("user_id", *USER_FIELDS))
    videos = read_table(folder / VIDEOS, only=("video_id", "video_duration", *VIDEO_FIELDS))
    rows = join(join(log, users, "user_id", folder / USERS), videos, "video_id", folder / VIDEOS)
    days = pd.to_datetime(rows["date"], format="%Y%m%d", errors="coerce")
    if days.isna().any():
        bad = int(days.isna().to_numpy().argmax())
        raise UserError(
            f"{folder / name}: date={rows['date'].iloc[bad]} in row {bad + 1} is none; fetch the file again"
        )
    hours = whole_numbers(rows["hourmin"], folder / name) // 100
    return rows.assign(hour=hours.astype(str), weekday=days.dt.weekday.astype(str))


@hookimpl
def register_datasets(register: Register[type[Dataset]]) -> None:
    """Register the data set."""
    register(KuaiRand)
