"""What the HTTP client sends, takes and refuses; and that it keeps secrets."""

from __future__ import annotations

import gzip
import http.server
import json
import logging
import pickle
import socket
import threading
import traceback
from collections.abc import Iterator
from typing import Any

import pytest

from stirbeat import errors
from stirbeat.domain import exchange, outcome, provider
from stirbeat.providers import graphapi
from stirbeat.providers import http as client_http

TOKEN = "EAAsecretTOKENsecretTOKEN123"


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen: list[dict[str, Any]]
    server: _Server

    def _answer(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        self.seen.append(
            {
                "method": self.command,
                "path": self.path,
                "headers": {name.lower(): value for name, value in self.headers.items()},
                "body": self.rfile.read(length),
            }
        )
        status, headers, body = 200, {}, b'{"a": 1}'
        if self.path.startswith("/redirect"):
            status, headers, body = 302, {"location": f"http://localhost:{self.server.server_port}/stolen"}, b""
        elif self.path.startswith("/gzip"):
            headers, body = {"content-encoding": "gzip"}, gzip.compress(b'{"zipped": true}')
        elif self.path.startswith("/broken-gzip"):
            headers, body = {"content-encoding": "gzip"}, b"this is no gzip at all"
        elif self.path.startswith("/bomb"):
            headers, body = {"content-encoding": "gzip"}, gzip.compress(b"\0" * (client_http.LARGEST_BODY + 1), 1)
        elif self.path.startswith("/cookie"):
            headers = {"set-cookie": "session=of-the-first-credential"}
        elif self.path.startswith("/busy"):
            status, headers = 503, {"retry-after": "21600"}
        elif self.path.startswith("/short"):
            headers = {"content-length": "9000"}
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "content-length" not in headers:
            self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        if self.path.startswith("/short"):
            self.close_connection = True

    do_GET = do_POST = _answer

    def log_message(self, *args: object) -> None:
        pass


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[_Server]:
    handler = type("Handler", (_Handler,), {"seen": []})
    running = _Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield running
    running.shutdown()
    running.server_close()


def _seen(server: _Server) -> list[dict[str, Any]]:
    return server.RequestHandlerClass.seen  # type: ignore[attr-defined,no-any-return]


def _vendor(server: _Server | str, *, secret_in: str = "query") -> provider.Provider:
    def authorise(call: exchange.Call, secret: Any) -> exchange.Call:
        if secret_in == "query":
            return exchange.Call(
                call.path, {**call.params, "access_token": secret["key"]}, call.headers, call.json, call.method
            )
        return exchange.Call(call.path, call.params, {"x-key": secret["key"]}, call.json, call.method)

    base = server if isinstance(server, str) else f"http://127.0.0.1:{server.server_port}"
    return provider.Provider("vendor", base, authorise, lambda _answer: outcome.OK, (), deadline_s=5)


def test_the_answer_has_status_lower_case_headers_body_and_its_time(server: _Server) -> None:
    answer = client_http.Client().fetch(_vendor(server), exchange.Call("/x", {"q": "a b&c"}), {"key": TOKEN})

    assert (answer.status, answer.json()) == (200, {"a": 1})
    assert answer.headers["content-length"] == "8"
    assert 0 < answer.elapsed_s < 5
    assert _seen(server)[0]["path"] == f"/x?q=a+b%26c&access_token={TOKEN}"


def test_a_call_with_json_is_posted(server: _Server) -> None:
    client_http.Client().fetch(_vendor(server), exchange.Call("/x", json={"id": 7}, method="POST"), {"key": TOKEN})

    seen = _seen(server)[0]
    assert (seen["method"], json.loads(seen["body"])) == ("POST", {"id": 7})


def test_an_error_status_is_an_answer_and_is_not_waited_for(server: _Server) -> None:
    answer = client_http.Client().fetch(_vendor(server), exchange.Call("/busy"), {"key": TOKEN})

    assert (answer.status, answer.headers["retry-after"]) == (503, "21600")
    assert answer.elapsed_s < 2
    assert len(_seen(server)) == 1


def test_a_redirect_is_not_followed_so_the_credential_stays_with_its_host(server: _Server) -> None:
    answer = client_http.Client().fetch(_vendor(server), exchange.Call("/redirect"), {"key": TOKEN})

    assert answer.status == 302
    assert [seen["path"].partition("?")[0] for seen in _seen(server)] == ["/redirect"]


def test_no_cookie_of_one_credential_is_sent_with_the_next(server: _Server) -> None:
    client = client_http.Client()
    client.fetch(_vendor(server), exchange.Call("/cookie"), {"key": "first"})
    client.fetch(_vendor(server), exchange.Call("/x"), {"key": "second"})

    assert "cookie" not in _seen(server)[1]["headers"]


def test_the_environment_sets_neither_proxy_nor_authorisation(
    server: _Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    client_http.Client().fetch(_vendor(server), exchange.Call("/x"), {"key": TOKEN})

    assert "authorization" not in _seen(server)[0]["headers"]


def test_a_compressed_body_is_opened(server: _Server) -> None:
    answer = client_http.Client().fetch(_vendor(server), exchange.Call("/gzip"), {"key": TOKEN})

    assert answer.json() == {"zipped": True}


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/broken-gzip", "cannot be decompressed"),
        ("/bomb", "larger than"),
        ("/short", "broke before the answer was whole"),
    ],
)
def test_a_body_that_cannot_be_used_is_an_upstream_failure(server: _Server, path: str, reason: str) -> None:
    client = client_http.Client()
    with pytest.raises(client_http.NoAnswer, match=reason) as caught:
        client.fetch(_vendor(server), exchange.Call(path), {"key": TOKEN})

    assert caught.value.outcome.kind is outcome.Kind.UPSTREAM
    assert caught.value.outcome.try_next_provider
    # and the client goes on to work
    assert client.fetch(_vendor(server), exchange.Call("/x"), {"key": TOKEN}).status == 200


def test_the_simulator_stands_in_for_every_vendor_under_its_name(server: _Server) -> None:
    client = client_http.Client(f"http://127.0.0.1:{server.server_port}/")

    client.fetch(graphapi.PROVIDER, exchange.Call("/v23.0/17"), {"access_token": TOKEN})

    assert _seen(server)[0]["path"].startswith("/graphapi/v23.0/17?access_token=")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _everything_said(caught: pytest.ExceptionInfo[client_http.NoAnswer]) -> str:
    error: BaseException | None = caught.value
    said = "".join(traceback.format_exception(caught.value))
    while error is not None:
        said += f"{error!r} {error} {error.args!r}"
        error = error.__cause__ or error.__context__
    return said


@pytest.mark.parametrize("secret_in", ["query", "header"])
def test_no_failure_tells_the_secret(server: _Server, secret_in: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    client = client_http.Client()
    dead = f"http://127.0.0.1:{_free_port()}"
    tls = f"https://127.0.0.1:{server.server_port}"
    cases = [
        (_vendor(dead, secret_in=secret_in), "/x", TOKEN),
        (_vendor(tls, secret_in=secret_in), "/x", TOKEN),
        (_vendor(server, secret_in=secret_in), "/short", TOKEN),
        (_vendor(server, secret_in=secret_in), "/bomb", TOKEN),
        (_vendor(server, secret_in=secret_in), "/x", f"{TOKEN}\r\nx-injected: 1"),
        (_vendor(server, secret_in=secret_in), "/x", f"{TOKEN}\u2713"),
        (_vendor("http://[not-a-host", secret_in=secret_in), "/x", TOKEN),
    ]
    for vendor, path, secret in cases:
        with pytest.raises(client_http.NoAnswer) as caught:
            client.fetch(vendor, exchange.Call(path), {"key": secret})
        assert "TOKEN" not in _everything_said(caught)
    client.fetch(_vendor(server, secret_in=secret_in), exchange.Call("/x"), {"key": TOKEN})

    assert "urllib3" in {record.name.partition(".")[0] for record in caplog.records}
    assert "TOKEN" not in caplog.text


def test_a_refused_connection_says_so() -> None:
    with pytest.raises(client_http.NoAnswer, match="no connection to the host"):
        client_http.Client().fetch(_vendor(f"http://127.0.0.1:{_free_port()}"), exchange.Call("/x"), {"key": TOKEN})


@pytest.mark.parametrize("secret", [{}, {"key": ""}, {"key": "a\nb"}, {"key": "caf\u00e9"}])
def test_a_credential_without_a_usable_secret_is_disabled_until_a_person_acts(secret: dict[str, str]) -> None:
    with pytest.raises(client_http.NoAnswer) as caught:
        client_http.Client().fetch(_vendor("http://127.0.0.1:9"), exchange.Call("/x"), secret)

    found = caught.value.outcome
    assert (found.kind, found.charge_to) == (outcome.Kind.TOKEN_INVALID, outcome.ChargeTo.CREDENTIAL)
    assert found.disable_credential


@pytest.mark.parametrize("path", ["x", "http://elsewhere.example/x", "@elsewhere.example/x"])
def test_a_path_cannot_lead_to_another_host(path: str) -> None:
    with pytest.raises(client_http.NoAnswer) as caught:
        client_http.Client().fetch(_vendor("http://127.0.0.1:9"), exchange.Call(path), {"key": TOKEN})

    assert caught.value.outcome.kind is outcome.Kind.BAD_REQUEST


def test_the_error_survives_pickling_and_tells_the_caller_to_try_the_next_provider() -> None:
    error = client_http.NoAnswer(outcome.Outcome(outcome.Kind.UPSTREAM, reason="no answer within 20 s"))

    again = pickle.loads(pickle.dumps(error))

    assert isinstance(again, client_http.NoAnswer)
    assert issubclass(client_http.NoAnswer, errors.TryNextProvider)
    assert (again.outcome, str(again)) == (error.outcome, "no answer within 20 s")
