"""Values for arguments and results of tools: cities, numbers, paths, codes …, listed ones and made-up ones."""

from __future__ import annotations

from random import Random

from tools.pico.tables import Lists, nonsense

CAPITALS = "ABCDEFGHKLMNPRSTXZ"


class Values:
    """Draws values by kind; with `unseen` from the lists that training never uses."""

    def __init__(self, lists: Lists, *, unseen: bool = False) -> None:
        self._lists, self._unseen = lists, unseen

    def list(self, kind: str) -> tuple[str, ...]:
        return self._lists[f"{kind}_unseen"] if self._unseen else self._lists[kind]

    def draw(self, rng: Random, kind: str) -> str:
        """A value of the kind; `number2` is another number."""
        match kind.rstrip("23"):
            case "city":
                return self.city(rng)
            case "person":
                return rng.choice(self.list("people")) if rng.random() < 0.75 else nonsense(rng).capitalize()
            case "company":
                return rng.choice(self.list("companies")) if rng.random() < 0.7 else nonsense(rng).capitalize()
            case "int":
                return str(rng.choice((rng.randint(1, 9), rng.randint(1, 99), rng.randint(100, 9999))))
            case "number":
                return number(rng)
            case "expression":
                return (
                    " ".join(f"{number(rng)} {rng.choice('+-*/')}" for _ in range(rng.choice((1, 1, 2))))
                    + f" {number(rng)}"
                )
            case "phrase":
                return self.phrase(rng)
            case "word":
                return rng.choice(self.list("nouns")) if rng.random() < 0.7 else nonsense(rng)
            case "list":
                return ", ".join(rng.choice(self._lists["nouns"]) for _ in range(rng.randint(1, 4)))
            case other:
                return self._technical(rng, other)

    def _technical(self, rng: Random, kind: str) -> str:
        match kind:
            case "currency" | "timezone":
                return rng.choice(self.list({"currency": "currencies", "timezone": "timezones"}[kind]))
            case "date":
                return rng.choice(
                    (iso_date(rng), f"{rng.choice(self._lists['months'])} {rng.randint(1, 28)}", "tomorrow", "Monday")
                )
            case "path":
                folders = [
                    rng.choice((rng.choice(self._lists["nouns"]), nonsense(rng))) for _ in range(rng.randint(1, 3))
                ]
                return rng.choice(("/", "", "./", "~/")) + "/".join(folders) + rng.choice(self._lists["endings"])
            case "url":
                page = rng.choice(("", "", f"/{rng.choice(self._lists['nouns'])}"))
                return (
                    rng.choice(("https://", "http://", "https://www."))
                    + nonsense(rng)
                    + rng.choice(self._lists["domains"])
                    + page
                )
            case "code":
                two = rng.choice(CAPITALS) + rng.choice(CAPITALS)
                return rng.choice(
                    (
                        f"{two}-{rng.randint(100, 9999)}",
                        f"{two[0]}{rng.randint(10, 999)}",
                        str(rng.randint(1000, 99999)),
                    )
                )
            case "country":
                return rng.choice(self._lists["countries"])
            case _:
                return rng.choice(self._lists[f"{kind}s"])  # languages, rooms, commands

    def city(self, rng: Random) -> str:
        if rng.random() < 0.3:
            return nonsense(rng).capitalize()
        return rng.choice(self._lists["accents"]) if rng.random() < 0.06 else rng.choice(self.list("cities"))

    def phrase(self, rng: Random) -> str:
        def word() -> str:
            known = rng.choice(self._lists["nouns"] if rng.random() < 0.6 else self._lists["verbs"])
            return known.replace("_", " ") if rng.random() < 0.8 else nonsense(rng)

        text = " ".join(word() for _ in range(rng.choice((1, 2, 2, 3, 3, 4))))
        text = rng.choice((text, text, rng.choice(self._lists["things"])))
        return text.capitalize() if rng.random() < 0.25 else text

    def sentence(self, rng: Random) -> str:
        verb = rng.choice(("is", "was", "costs", "has", "needs"))
        return f"The {rng.choice(self._lists['nouns'])} {verb} {self.phrase(rng)}."

    def of_results(self, rng: Random) -> dict[str, str]:
        """Values for what a tool may return."""
        return {
            "int": str(rng.randint(-9, 99)),
            "number": number(rng),
            "number3": number(rng),
            "clock": f"{rng.randint(0, 23):02}:{rng.randint(0, 59):02}",
            "date": iso_date(rng),
            "sentence": " ".join(self.sentence(rng) for _ in range(rng.choice((1, 1, 1, 2, 12)))),
            "phrase": self.phrase(rng),
            "word": rng.choice(self._lists["nouns"]),
            "city": self.city(rng),
            "person": rng.choice(self._lists["people"]),
            "path": self.draw(rng, "path"),
        }


def number(rng: Random) -> str:
    small, large = rng.randint(0, 99), rng.randint(100, 99999)
    return str(
        rng.choice(
            (rng.randint(0, 20), small, large, f"{small}.{rng.randint(1, 9)}", rng.randint(1, 999), -rng.randint(1, 50))
        )
    )


def iso_date(rng: Random) -> str:
    return f"{rng.randint(2024, 2031)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
