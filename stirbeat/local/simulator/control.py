"""The simulator's own API, under /_sim/: health, credentials, fault plan, counted calls."""

from __future__ import annotations

import pydantic
from tornado.httputil import HTTPServerRequest

from stirbeat.local.simulator import calls, credentials, face, plan


class Control:
    """Answers /_sim/health, /_sim/credentials, /_sim/plan and /_sim/calls."""

    def __init__(
        self, book: credentials.Book, faults: plan.Plan, counted: calls.Calls, providers: frozenset[str]
    ) -> None:
        self._book = book
        self._plan = faults
        self._calls = counted
        self._providers = providers

    def answer(self, request: HTTPServerRequest) -> tuple[int, bytes]:
        """Status and body."""
        asked = (request.method, request.path)
        try:
            if asked == ("GET", "/_sim/health"):
                return 200, face.dump({"status": "ok", "providers": sorted(self._providers)})
            if asked == ("GET", "/_sim/calls"):
                return 200, face.dump(self._calls.report())
            if asked == ("DELETE", "/_sim/calls"):
                self._calls.clear()
                return 200, face.dump({"status": "ok"})
            if asked == ("PUT", "/_sim/credentials"):
                given = credentials.GIVEN.validate_json(request.body)
                self._known(set(given))
                self._book.put(given)
                return 200, face.dump({"status": "ok", "credentials": sum(map(len, given.values()))})
            if asked == ("PUT", "/_sim/plan"):
                faults = plan.GIVEN.validate_json(request.body)
                self._known({fault.provider for fault in faults})
                self._plan.put(faults)
                return 200, face.dump({"status": "ok", "faults": len(faults)})
        except pydantic.ValidationError as error:
            return 400, face.dump({"error": _plain(error, with_secrets=request.path == "/_sim/credentials")})
        except ValueError as error:
            return 400, face.dump({"error": str(error)})
        return 404, face.dump({"error": "no such path; see /_sim/health, /_sim/credentials, /_sim/plan, /_sim/calls"})

    def _known(self, named: set[str]) -> None:
        unknown = sorted(named - self._providers)
        if unknown:
            raise ValueError(f"no provider {', '.join(unknown)} here; there are {', '.join(sorted(self._providers))}")


def _plain(error: pydantic.ValidationError, *, with_secrets: bool) -> str:
    """What is wrong and where. Of credentials, the second part of a place is the secret itself and is left out."""
    sentences = []
    for detail in error.errors(include_input=False, include_url=False, include_context=False):
        place = [str(part) for position, part in enumerate(detail["loc"]) if not (with_secrets and position == 1)]
        sentences.append(": ".join([*([".".join(place)] if place else []), detail["msg"]]))
    return "; ".join(sentences)
