"""Start and end of the server, as a process and in its parts."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from server.serving import BindFailed, bind
from tests.fakes.waiting import eventually
from tools.server_process import ROOT, clean_environment, puna_server

LIMIT_S = 30


def run(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """A server that is expected to end by itself."""
    env = clean_environment() | {"HOME": str(folder), "OLLAMA_HOST": "127.0.0.1:0"} | settings
    command = [sys.executable, "-m", "server", *arguments]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=LIMIT_S, check=False)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_without_error(tmp_path: Path, number: signal.Signals) -> None:
    with puna_server(tmp_path) as server:
        idle = socket.create_connection(("127.0.0.1", int(server.host.partition(":")[2])))
        os.kill(server.pid, number)
        idle.settimeout(LIMIT_S)
        assert idle.recv(1) == b"", "open connections are closed"
        idle.close()
        assert server._process is not None and server._process.wait(LIMIT_S) == 0
    assert f'msg="Listening on {server.host} (version ' in server.log.read_text()


def test_a_signal_during_the_start_is_obeyed(tmp_path: Path) -> None:
    env = clean_environment() | {"HOME": str(tmp_path), "OLLAMA_HOST": "127.0.0.1:0"}
    command = [sys.executable, "-m", "server"]
    with subprocess.Popen(command, cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "Listening on" in line:
                process.terminate()
                break
        assert process.wait(LIMIT_S) in (0, -signal.SIGTERM)


def test_a_busy_address_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ended = run(tmp_path, OLLAMA_HOST=f"127.0.0.1:{port}")
    assert ended.returncode == 1
    assert f"Error: listen tcp 127.0.0.1:{port}: bind: address already in use\n" in ended.stderr


def test_a_bad_origin_keeps_the_server_from_starting(tmp_path: Path) -> None:
    ended = run(tmp_path, OLLAMA_ORIGINS="null")
    assert ended.returncode == 2
    assert "panic: bad origin: origins must contain '*' or include http://,https://," in ended.stderr


def test_a_store_that_cannot_be_made_ends_the_server(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ended = run(tmp_path, OLLAMA_MODELS=str(tmp_path / "file" / "models"))
    assert ended.returncode == 1
    assert "Error: " in ended.stderr
    assert "Traceback" not in ended.stderr


def test_who_waits_for_a_start_that_fails_is_let_go(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings = {"HOME": str(tmp_path), "OLLAMA_HOST": "127.0.0.1:0", "OLLAMA_MODELS": str(tmp_path / "file" / "models")}
    command = [sys.executable, "-m", "server"]
    env = clean_environment() | settings
    with subprocess.Popen(command, cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        listening = next(line for line in process.stderr if "Listening on" in line)
        port = int(listening.partition("127.0.0.1:")[2].split()[0])
        with socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S) as waiting:
            waiting.sendall(b"GET /api/tags HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert waiting.recv(1) == b""
        assert process.wait(LIMIT_S) == 1
        assert "Traceback" not in process.stderr.read()


@pytest.mark.skipif(sys.platform != "linux", reason="asks for the limits of another process")
def test_as_many_files_may_be_open_as_the_system_allows(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, hard - 1), hard))  # what the server starts with
    try:
        with puna_server(tmp_path) as server:
            assert resource.prlimit(server.pid, resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.skipif(sys.platform != "linux", reason="sets the limits of another process")
def test_a_server_without_file_descriptors_says_so_now_and_then_and_comes_back(tmp_path: Path) -> None:
    with puna_server(tmp_path) as server, contextlib.ExitStack() as clients:
        urllib.request.urlopen(f"{server.url}/api/tags", timeout=LIMIT_S).close()  # now all of it has been imported
        n_open = len(os.listdir(f"/proc/{server.pid}/fd"))
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (n_open + 3, n_open + 3))
        address = ("127.0.0.1", int(server.host.partition(":")[2]))
        for _ in range(10):
            clients.enter_context(socket.create_connection(address))
        complaint = "socket.accept() out of system resource"
        assert eventually(lambda: server.log.read_text().count(complaint) >= 2)
        assert server.log.read_text().count(complaint) < 10
        clients.close()
        with urllib.request.urlopen(f"{server.url}/api/version", timeout=LIMIT_S) as answer:
            assert answer.status == 200


def test_bad_settings_are_reported_and_serve_all_the_same(tmp_path: Path) -> None:
    with puna_server(tmp_path, settings={"OLLAMA_MAX_QUEUE": "many"}) as server:
        pass
    assert "level=WARN source=serving.py:" in server.log.read_text()
    assert "OLLAMA_MAX_QUEUE=many" in server.log.read_text()


def test_unknown_arguments_are_refused(tmp_path: Path) -> None:
    assert run(tmp_path, "--nope").returncode == 2


@pytest.mark.parametrize(
    ("host", "text"),
    [
        ("203.0.113.7", "listen tcp 203.0.113.7:0: bind: cannot assign requested address"),
        ("no-such-host.invalid", "listen tcp: lookup no-such-host.invalid: no such host"),
    ],
)
def test_an_address_that_is_not_ours_is_told(host: str, text: str) -> None:
    with pytest.raises(BindFailed) as caught:
        bind(host, 0)
    assert str(caught.value) == text


def test_no_host_means_all_interfaces() -> None:
    with bind("", 0) as listener:
        port = listener.getsockname()[1]
        socket.create_connection(("127.0.0.1", port)).close()
        if listener.family == socket.AF_INET6:
            socket.create_connection(("::1", port)).close()


@pytest.mark.parametrize(
    ("level", "option"),
    [
        pytest.param(socket.SOL_SOCKET, socket.SO_KEEPALIVE, id="a client whose machine is gone is noticed"),
        pytest.param(socket.IPPROTO_TCP, socket.TCP_NODELAY, id="nothing waits for the client to acknowledge"),
    ],
)
@pytest.mark.parametrize("host", ["127.0.0.1", ""])
def test_accepted_connections_have(host: str, level: int, option: int) -> None:
    with bind(host, 0) as listener, socket.create_connection(("127.0.0.1", listener.getsockname()[1])):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(level, option)
