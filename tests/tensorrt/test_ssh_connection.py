"""Logging in to a device: what works, and what is refused in which words."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from edgetool.errors import ConfigError, DeviceError, HostError, UnavailableError
from edgetool_tensorrt.ssh import Host, connect
from edgetool_tensorrt.ssh import connection as connection_module
from tests.tensorrt.ssh_device import ALIAS, SshDevice


def test_a_script_gets_its_arguments_and_input_and_returns_code_and_words(ssh_device: SshDevice) -> None:
    with connect(ALIAS) as connection:
        done = connection.run(
            'printf "%s|" "$@"; cat; echo oh >&2; exit 7',
            "a b",
            "it's; $(x)",
            feed=lambda pipe: void(pipe.write(b"in")),
        )
    assert (done.code, done.stdout, done.stderr.strip()) == (7, b"a b|it's; $(x)|in", "oh")


def void(_: object) -> None:
    """Makes an expression a statement."""


def test_what_the_login_shell_says_to_everybody_is_left_out(ssh_device: SshDevice) -> None:
    ssh_device.stop()
    ssh_device.settings["ForceCommand"] = "printf 'welcome to the lab'; eval \"$SSH_ORIGINAL_COMMAND\""
    ssh_device.start()
    with connect(ALIAS) as connection:
        assert connection.run("echo hello").text == "hello\n"


@pytest.mark.parametrize("sessions", ["10", "1"])
def test_commands_share_one_login_where_the_server_lets_them(ssh_device: SshDevice, sessions: str) -> None:
    ssh_device.stop()
    ssh_device.settings |= {"MaxSessions": sessions, "LogLevel": "VERBOSE"}
    ssh_device.start()
    with connect(ALIAS) as connection:
        assert [connection.run("echo $1", str(index)).text for index in range(3)] == ["0\n", "1\n", "2\n"]
    logins = (ssh_device.folder / "sshd.log").read_text().count("Accepted publickey")
    assert logins == (1 if sessions == "10" else 4)


def test_without_a_place_for_a_socket_each_command_logs_in(
    ssh_device: SshDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgetool_tensorrt.ssh.connection.socket_folder", lambda: None)
    with connect(ALIAS) as connection:
        assert connection.run("echo here").text == "here\n"


def test_nothing_stays_after_the_logout(ssh_device: SshDevice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = Path("/tmp") / f"e{os.getpid()}"
    runtime.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    try:
        with connect(ALIAS) as connection:
            connection.run("true")
            assert list(runtime.iterdir())
    finally:
        left = list(runtime.iterdir())
        runtime.rmdir()
    assert left == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-oProxyCommand=touch x",
        "a b",
        "a;b",
        "$(x)",
        "host:22",
        "user@",
        "@host",
        "ssh://host:99999",
        "a@-b",
        "h\n",
    ],
)
def test_a_host_that_could_be_an_option_or_a_command_is_refused(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Host.parse(text)
    assert caught.value.code == "invalid-host"


def test_hosts_are_written_in_three_ways() -> None:
    assert Host.parse("jetson") == Host("jetson")
    assert Host.parse("nvidia@10.0.0.7") == Host("10.0.0.7", "nvidia")
    assert Host.parse("ssh://nvidia@jetson.local:2222") == Host("jetson.local", "nvidia", 2222)
    assert Host.parse("ssh://[fe80::1]:22") == Host("fe80::1", None, 22)


def refusal(host: str = ALIAS, *, timeout: float = 5.0) -> DeviceError:
    with pytest.raises(DeviceError) as caught:
        connect(host, timeout=timeout)
    assert caught.value.exit_code == 6
    assert caught.value.where
    assert caught.value.hint
    return caught.value


def test_an_unknown_host_key_is_refused(ssh_device: SshDevice) -> None:
    ssh_device.known_hosts.write_text("")
    assert refusal().code == "host-key-unknown"


@pytest.mark.parametrize("policy", ["yes", "no"])
def test_another_host_key_than_before_is_refused_even_if_the_user_checks_none(
    ssh_device: SshDevice, policy: str
) -> None:
    ssh_device.stop()
    ssh_device.start(host_key=ssh_device.keys.other_host)
    config = ssh_device.config.read_text().replace("StrictHostKeyChecking yes", f"StrictHostKeyChecking {policy}")
    ssh_device.config.write_text(config)
    error = refusal()
    assert error.code == "host-key-changed"
    assert "ssh-keygen -R" in str(error.hint)


def test_a_host_that_does_not_answer_is_unreachable(ssh_device: SshDevice) -> None:
    ssh_device.stop()
    assert refusal().code == "host-unreachable"


def test_a_host_that_hangs_is_unreachable_in_time(ssh_device: SshDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        began = time.monotonic()
        assert refusal(f"ssh://127.0.0.1:{silent.getsockname()[1]}", timeout=1).code == "host-unreachable"
    assert time.monotonic() - began < 5


def test_a_name_that_nobody_knows_is_unreachable(ssh_device: SshDevice) -> None:
    assert refusal("no-such-board.invalid").code == "host-unreachable"


def test_a_key_that_the_device_does_not_know_is_refused(ssh_device: SshDevice) -> None:
    (ssh_device.folder / "authorized_keys").write_text("")
    error = refusal()
    assert error.code == "login-refused"
    assert "ssh-copy-id" in str(error.hint)


@pytest.mark.parametrize("shared", [True, False])
def test_a_login_that_runs_no_command_is_told_from_one_that_fails(
    shared: bool, ssh_device: SshDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not shared:
        monkeypatch.setattr(connection_module, "socket_folder", lambda: None)
    ssh_device.stop()
    ssh_device.settings["ForceCommand"] = "echo This account is currently not available.; exit 1"
    ssh_device.start()
    error = refusal()
    assert error.code == "device-command-failed"
    assert "not available" in error.message


def test_a_broken_configuration_is_the_users_mistake(ssh_device: SshDevice) -> None:
    ssh_device.config.write_text("Host board\n  NoSuchSetting yes\n")
    with pytest.raises(ConfigError) as caught:
        connect(ALIAS)
    assert caught.value.code == "ssh-config-invalid"


def test_without_ssh_the_hint_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnavailableError) as caught:
        connect(ALIAS)
    assert caught.value.code == "ssh-missing"


def test_a_broken_connection_comes_back_and_the_script_is_repeated(ssh_device: SshDevice) -> None:
    notes: list[str] = []
    once = "echo x >>runs; cd; [ -e once ] || { : >once; sleep 30; }; echo through"
    with connect(ALIAS, note=notes.append) as connection:
        from threading import Thread

        def drop() -> None:
            while not (ssh_device.home / "once").exists():
                time.sleep(0.05)
            ssh_device.drop_connections()

        dropper = Thread(target=drop)
        dropper.start()
        assert connection.run(f"cd; {once}").text == "through\n"
        dropper.join()
    assert len(notes) == 2
    assert (ssh_device.home / "runs").read_text() == "x\nx\n"


def test_a_connection_that_stays_away_ends_in_an_error(ssh_device: SshDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "PATIENCE", 1.5)
    with connect(ALIAS) as connection:
        ssh_device.stop()
        with pytest.raises(HostError) as caught:
            connection.run("true")
    assert caught.value.code == "connection-lost"
    assert caught.value.exit_code == 10
