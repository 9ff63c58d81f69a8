from __future__ import annotations

import pytest

from bot.probes.database.scram import Scram, ScramError

NONCE = "rOprNGfwEbeRWgbNEkqO"
FIRST = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"


def test_the_exchange_of_rfc_7677_comes_out_as_printed_there() -> None:
    exchange = Scram("pencil", NONCE, user="user")
    assert exchange.first() == b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    assert exchange.final(FIRST) == (
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    exchange.verify(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
    with pytest.raises(ScramError, match="does not know the password"):
        exchange.verify(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=")


@pytest.mark.parametrize(
    ("first", "says"),
    [
        (b"r=somebody-elses,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", "nonce"),
        (FIRST.replace(b"%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", b""), "nonce"),
        (FIRST.replace(b"4096", b"99999999"), "iteration"),
        (FIRST.replace(b"4096", b"0"), "iteration"),
        (FIRST.replace(b"W22Z", b"!!"), "salt"),
        (b"\xff\xfe", "nonce"),
    ],
)
def test_a_server_that_plays_tricks_gets_no_proof(first: bytes, says: str) -> None:
    with pytest.raises(ScramError, match=says):
        Scram("pencil", NONCE).final(first)


def test_passwords_are_prepared_as_the_server_prepares_them() -> None:
    spelled = [Scram(password, NONCE).final(FIRST) for password in ("I\u00adX", "IX", "\u2168", "a\u00a0b", "a b")]
    assert spelled[0] == spelled[1] == spelled[2]  # RFC 4013, section 3
    assert spelled[3] == spelled[4]
