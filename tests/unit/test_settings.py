"""Settings come from defaults, the file, the environment and flags, in that order, and say where from."""

from pathlib import Path

import pytest

from config.settings import Settings, load_settings
from engine.errors import SettingsError


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [name for name in os.environ if name.startswith("DUECOURSE_")]:
        monkeypatch.delenv(name)


def write(folder: Path, text: str) -> Path:
    (folder / "duecourse.yaml").write_text(text, encoding="utf-8")
    return folder


def test_a_bare_folder_has_the_defaults(tmp_path: Path) -> None:
    """Without a file, every value is the default and nothing claims another origin."""
    settings, origins = load_settings(tmp_path)
    assert settings == Settings()
    assert origins == {}


def test_later_sources_win_and_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment beats the file, a flag beats both; each value says where it came from."""
    write(tmp_path, "zone: Asia/Shanghai\nlanguage: zh\nlender:\n  name: First\n  phone: '1'\n")
    monkeypatch.setenv("DUECOURSE_LENDER__NAME", "Second")
    settings, origins = load_settings(tmp_path, {"language": "en"})
    assert (settings.zone, settings.language, settings.lender.name, settings.lender.phone) == (
        "Asia/Shanghai",
        "en",
        "Second",
        "1",
    )
    assert origins["zone"] == "duecourse.yaml:1"
    assert origins["language"] == "flag"
    assert origins["lender.name"] == "DUECOURSE_LENDER__NAME"
    assert origins["lender.phone"] == "duecourse.yaml:5"


def test_every_problem_is_told_at_once_with_its_place(tmp_path: Path) -> None:
    """A wrong zone, an unknown key, a missing value and a number out of range come in one message."""
    folder = write(
        tmp_path, "zone: Asia/Shanghaix\nlendr: 3\nmail: {port: 99999999, host: mx}\ncountries: [CN, China]\n"
    )
    with pytest.raises(SettingsError) as refused:
        load_settings(folder)
    file = folder / "duecourse.yaml"
    assert str(refused.value) == (
        f"{file}:1:1: setting `zone` cannot be used: `Asia/Shanghaix` is no IANA time zone; one is `Asia/Shanghai`\n"
        "  mend: write a value of that kind\n"
        f"{file}:4:1: setting `countries` cannot be used: `China` is no country code; one is `CN`\n"
        "  mend: write a value of that kind\n"
        f"{file}:3:8: setting `mail.port` cannot be used: Input should be less than or equal to 65535\n"
        "  mend: write a value of that kind\n"
        f"{file}: setting `mail.from_address` is missing\n"
        "  mend: write it, or set DUECOURSE_MAIL__FROM_ADDRESS\n"
        f"{file}:2:1: unknown setting `lendr`\n"
        "  mend: `duecourse config show` lists the settings there are"
    )


def test_a_secret_is_not_shown(tmp_path: Path) -> None:
    """Printing the settings never prints a token."""
    write(tmp_path, "sms: {account_sid: AC1, auth_token: hush}\n")
    settings, _ = load_settings(tmp_path)
    assert settings.sms is not None
    assert settings.sms.auth_token.get_secret_value() == "hush"
    assert "hush" not in repr(settings)
