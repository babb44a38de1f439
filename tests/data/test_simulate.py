"""Log directories written through Ray Data."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rosa_ray.data.simulate import expose, simulate
from rosa_ray.errors import InputError
from rosa_ray.schema import CONTRACTS
from rosa_ray.simulation import ExposureConfig, SimulationConfig, build_world, chunk_tables, simulate_chunk
from rosa_ray.sources import SourceConfig
from rosa_ray.sources.log import LogSource
from rosa_ray.sources.rees46 import Rees46Source
from rosa_ray.sources.taobao import TaobaoSource

pytestmark = pytest.mark.integration

CONFIG = SimulationConfig(
    users=90, chunk_users=40, days=4, items=400, ads=120, events_per_user=20, requests_per_user=10, partitions=2
)


def _read(log_dir: Path, name: str) -> pa.Table:
    files = sorted((log_dir / name).glob("*.parquet"))
    return pa.concat_tables([pq.ParquetFile(file, page_checksum_verification=True).read() for file in files])


def test_the_log_is_that_of_its_chunks_and_replaces_an_earlier_one(ray_cluster, tmp_path):
    stale = tmp_path / "impressions" / "part-00099.parquet"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"stale")
    summary = simulate(CONFIG, str(tmp_path))
    world = build_world(CONFIG)
    chunks = [chunk_tables(CONFIG, world, simulate_chunk(CONFIG, world, chunk)) for chunk in range(3)]
    for name in chunks[0]:
        assert _read(tmp_path, name).equals(pa.concat_tables([chunk[name] for chunk in chunks])), name
    assert summary == json.loads((tmp_path / "log.json").read_text())
    assert summary["impressions"] == _read(tmp_path, "impressions").num_rows
    assert summary["policy_start"] == "2026-01-07T19:12:00+00:00"


def test_the_log_reads_back_as_a_source(ray_cluster, tmp_path):
    simulate(CONFIG, str(tmp_path))
    source = LogSource(SourceConfig(kind="log", path=str(tmp_path)))
    files = source.files()
    assert {file.contract_name for file in files} == {"events", "impressions", "ads", "candidates"}
    for file in files:
        for batch in source.read(file):
            assert CONTRACTS[file.contract_name].check(batch.table, file.path)[1] == []


def test_exposure_on_taobao_timelines(ray_cluster, tmp_path, shared_data):
    source = TaobaoSource(SourceConfig(kind="taobao", path=str(shared_data / "taobao" / "UserBehavior.csv.gz")))
    summary, report = expose(source, ExposureConfig(), str(tmp_path))
    assert not report.partial
    assert summary["users"] == 660
    assert summary["ctr"] == 0.2
    assert summary["impressions"] == 5 * summary["clicks"] == _read(tmp_path, "impressions").num_rows
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ads", "events", "impressions", "log.json"]


def test_a_broken_file_among_good_ones_is_named(ray_cluster, tmp_path):
    rows = [
        f"2019-10-01 00:{n:02d}:00 UTC,view,{100 + 10 * user + n},{n % 3},,x,{5 + n}.50,{user},s"
        for user in range(3)
        for n in range(9)
    ]
    header = "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session"
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "good.csv").write_text("\n".join([header, *rows]) + "\n")
    (tmp_path / "in" / "broken.csv.gz").write_bytes(b"\x1f\x8b\x08 no gzip")
    source = Rees46Source(SourceConfig(kind="rees46", path=str(tmp_path / "in")))
    summary, report = expose(source, ExposureConfig(), str(tmp_path / "log"))
    assert [Path(file.path).name for file in report.set_aside] == ["broken.csv.gz"]
    assert summary["files_set_aside"] == 1
    assert summary["clicks"] == 12


def test_no_requests_is_one_clear_error(ray_cluster, tmp_path):
    header = "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session"
    (tmp_path / "one.csv").write_text(f"{header}\n2019-10-01 00:00:00 UTC,view,1,2,,x,3.0,4,s\n")
    with pytest.raises(InputError, match="no request can be built"):
        expose(
            Rees46Source(SourceConfig(kind="rees46", path=str(tmp_path / "one.csv"))), ExposureConfig(), str(tmp_path)
        )
