"""`diffusionad doctor` says what works here; its status tells whether `dvc repro` can run."""

import pytest

from pipelines import doctor
from pipelines.doctor import examine
from toys.checkout import Checkout
from toys.datasets import describe_dataset
from toys.plates import draw_category


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout with plates to train on, as the current folder."""
    for name in ("MLFLOW_TRACKING_URI", "PREFECT_API_URL", "DATA_MIRROR", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    draw_category(tmp_path / "parts" / "plate")
    made = Checkout(tmp_path / "checkout")
    made.lay_out(tmp_path / "parts")
    made.commit()
    monkeypatch.chdir(made.root)
    return made


def of(name):
    return [(finding.state, finding.text) for finding in examine() if finding.name == name]


def test_the_command_says_that_all_is_there(checkout):
    done = checkout.run("python", "-m", "pipelines.cli", "doctor")

    lines = done.stdout.splitlines()
    assert {line.split()[0] for line in lines} <= {"ok", "note"}
    assert any(line.startswith("ok       torch ") for line in lines)
    assert any("plates-plate: " in line for line in lines)


def test_data_that_are_nowhere_are_fatal_and_the_way_out_is_said(checkout, tmp_path):
    checkout.change(datasets__plates=describe_dataset("plates", tmp_path / "none"))

    done = checkout.run("python", "-m", "pipelines.cli", "doctor", check=False)

    assert done.returncode == 1
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("missing")]
    assert f"{tmp_path / 'none'}: no such folder or archive" in line
    assert "`diffusionad init FOLDER`" in line


def test_data_that_were_fetched_stay_usable_while_their_source_is_away(checkout, tmp_path):
    checkout.change(datasets__plates=describe_dataset("plates", "http://127.0.0.1:9/plates.zip"))
    manifest = checkout.root / "data" / "plates" / "plate" / "manifest.parquet"
    manifest.parent.mkdir(parents=True)
    manifest.touch()

    ((state, text),) = of("data")

    assert state == "note"
    assert "http://127.0.0.1:9/plates.zip: no answer" in text


def test_credentials_are_asked_for_only_where_s3_is_named(checkout, monkeypatch, tmp_path):
    assert of("S3") == []
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("DATA_MIRROR", "s3://factory/sets")

    ((state, text),) = of("S3")

    assert (state, "set AWS_ACCESS_KEY_ID" in text) == ("note", True)


@pytest.mark.parametrize("server", ["MLFLOW_TRACKING_URI", "PREFECT_API_URL"])
def test_a_server_that_is_named_and_does_not_answer_is_a_note(checkout, monkeypatch, server):
    monkeypatch.setenv(server, "http://127.0.0.1:9")

    ((state, text),) = of({"MLFLOW_TRACKING_URI": "MLflow", "PREFECT_API_URL": "Prefect"}[server])

    assert state == "note"
    assert text.startswith(f"{server}=http://127.0.0.1:9: no answer")


def test_the_remote_of_dvc_is_looked_for(checkout, tmp_path):
    assert of("DVC remote")[0][0] == "note"
    checkout.run("dvc", "remote", "add", "-d", "store", str(tmp_path / "store"))
    assert of("DVC remote") == [("note", f"{tmp_path / 'store'}: no such folder")]
    (tmp_path / "store").mkdir()

    assert of("DVC remote") == [("ok", str(tmp_path / "store"))]


def test_a_folder_that_is_no_checkout_is_fatal(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    fatal = {finding.name for finding in examine() if finding.is_fatal}

    assert {"git", "DVC", "data"} <= fatal


def test_a_full_disk_is_fatal(checkout, monkeypatch):
    monkeypatch.setattr(doctor, "LEAST_GIB", 10**9)

    assert of("disk")[0][0] == "missing"
