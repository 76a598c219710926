"""Wrong settings end a command with lines that name them; the reference is what the settings say."""

from pathlib import Path

import pytest

from codecove import __version__
from codecove.cli.reference import settings_markdown
from tests.cli.cove import cove, invoke

DOCS = Path(__file__).parents[2] / "docs"


def test_reference_is_up_to_date() -> None:
    assert (DOCS / "settings.md").read_text() == settings_markdown(), "cove settings --markdown > docs/settings.md"


def test_version_is_printed() -> None:
    done = cove("version")
    assert (done.returncode, done.stdout) == (0, f"codecove {__version__}\n")


def test_help_lists_every_verb() -> None:
    shown = invoke("--help").stdout
    assert all(verb in shown for verb in ("serve", "keys", "doctor", "settings", "image", "version"))


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"COVE_PORT": "99999"}, "COVE_PORT"),
        ({"COVE_PORT": "http"}, "COVE_PORT"),
        ({"COVE_MEMORY": "lots"}, "COVE_MEMORY"),
        ({"COVE_LOG_LEVEL": "loud"}, "COVE_LOG_LEVEL"),
        ({"COVE_ROUTES": "[{"}, "routes"),
        ({"COVE_ROUTES": '[{"model": "x"}]'}, "COVE_ROUTES.0.upstream_url"),
        ({"COVE_CONFIG": "/nowhere/codecove.toml"}, "COVE_CONFIG"),
    ],
)
def test_wrong_setting_is_named(
    settings: dict[str, str], named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = invoke("serve", "--data-dir", str(tmp_path / "data"), settings=settings)
    assert done.exit_code == 3
    assert named in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("prot = 1\n", "prot"),
        ("[[routes]]\nmodle = 1\n", "routes.0.modle"),
        ("port = \n", "not valid TOML"),
        ('port = "x"\n', "COVE_PORT"),
    ],
)
def test_wrong_config_file_is_named(text: str, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "codecove.toml").write_text(text)
    done = invoke("settings")
    assert done.exit_code == 3
    assert named in done.stderr
    assert "Traceback" not in done.stderr


def test_secret_of_a_wrong_setting_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    route = '[[routes]]\nmodel = "m"\nupstream_api_key = "sesame"\n'
    (tmp_path / "codecove.toml").write_text('api_key = ["sesame"]\n' + route)
    done = invoke("settings")
    assert done.exit_code == 3
    assert "sesame" not in done.stderr + done.stdout


def test_typing_error_in_a_variable_is_reported() -> None:
    done = invoke("settings", settings={"COVE_UPSTREAM_ULR": "http://127.0.0.1:1"})
    assert done.exit_code == 0
    assert "COVE_UPSTREAM_ULR" in done.stderr
    assert "did you mean COVE_UPSTREAM_URL?" in done.stderr


def test_settings_are_listed_with_where_they_stand_but_secrets_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "codecove.toml").write_text("port = 4321\nmax_turns = 7\n")
    done = invoke("settings", settings={"COVE_API_KEY": "sesame", "COVE_PORT": "1234"})
    assert done.exit_code == 0
    assert "1234" in done.stdout
    assert "4321" not in done.stdout
    assert "sesame" not in done.stdout
    assert done.stderr == ""


def test_other_programs_variables_change_nothing() -> None:
    foreign = {"ANTHROPIC_API_KEY": "x", "ANTHROPIC_BASE_URL": "http://127.0.0.1:1", "PORT": "1"}
    assert invoke("settings", settings=foreign).stdout == invoke("settings").stdout
