"""What is said of certificates and keys, compared with the library that made them."""

import getpass
import stat
import time
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from agent.certificate import CertificateError, install, load, shown_time
from tests.support.certificates import Authority, PrivateKey, key_pem

RSA = rsa.generate_private_key(65537, 2048)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def problems(certificate: Path, key: Path) -> tuple[str, ...]:
    with pytest.raises(CertificateError) as refused:
        load(certificate, key)
    return refused.value.problems


@pytest.mark.parametrize("key", [None, RSA], ids=["ec", "rsa"])
@pytest.mark.parametrize("days", [1, 90, 9000, 14000], ids=lambda days: f"{days} days")  # the last: after 2049
def test_the_time_of_a_certificate_is_that_of_its_maker(
    authority: Authority, days: int, key: PrivateKey | None
) -> None:
    pair = authority.pair(days=days, key=key)
    found = load(pair.certificate, pair.key)
    made = pair.made
    assert (found.begins_s, found.ends_s) == (
        made.not_valid_before_utc.timestamp(),
        made.not_valid_after_utc.timestamp(),
    )
    assert found.problem(time.time()) is None


def test_the_first_of_a_chain_counts_and_both_may_be_in_one_file(authority: Authority) -> None:
    pair = authority.pair()
    whole = authority.folder / "whole.pem"
    texts = (pair.key.read_text(), "# the server's\n", pair.certificate.read_text(), authority.file.read_text())
    whole.write_text("".join(texts))
    assert load(whole, whole).ends_s == pair.made.not_valid_after_utc.timestamp()


def test_a_certificate_that_no_client_takes_is_told_with_its_time(authority: Authority) -> None:
    old, early = authority.pair("old", days=-1), authority.pair("early", begins=2)
    ended, begins = old.made.not_valid_after_utc, early.made.not_valid_before_utc
    assert load(old.certificate, old.key).problem(time.time()) == (
        f"{old.certificate}: the certificate expired at {ended:%Y-%m-%d %H:%M} UTC. Renew it."
    )
    assert load(early.certificate, early.key).problem(time.time()) == (
        f"{early.certificate}: the certificate is not valid before {begins:%Y-%m-%d %H:%M} UTC. Look at the clock."
    )
    just = (ended - timedelta(seconds=1)).timestamp()
    assert load(old.certificate, old.key).problem(just) is None
    assert shown_time(0) == "1970-01-01 00:00 UTC"


def test_what_is_missing_or_no_pem_is_named_all_at_once(authority: Authority, tmp_path: Path) -> None:
    gone, folder, pair = tmp_path / "gone", tmp_path, authority.pair()
    assert problems(gone, tmp_path / "gone.key") == (
        f"{gone}: cannot be read: No such file or directory. Give a file in PEM.",
        f"{gone}.key: cannot be read: No such file or directory. Give a file in PEM.",
    )
    assert problems(folder, pair.key) == (f"{folder}: cannot be read: Is a directory. Give a file in PEM.",)
    assert problems(pair.key, pair.certificate) == (
        f"{pair.key}: no certificate in PEM. Give the server's own, and behind it those that sign it.",
        f"{pair.certificate}: no private key in PEM. Give the one of {pair.key}.",
    )
    der = tmp_path / "server.der"
    der.write_bytes(bytes(range(256)))
    assert problems(der, der)[0].startswith(f"{der}: no certificate in PEM.")


def test_a_key_that_does_not_fit_or_asks_for_a_passphrase_is_refused(authority: Authority, tmp_path: Path) -> None:
    pair, other = authority.pair(), authority.pair("other")
    belongs = "Give the two that belong together, the server's certificate first."
    assert problems(pair.certificate, other.key) == (f"{other.key}: not the key of {pair.certificate}. {belongs}",)
    wrong_kind = authority.pair("rsa", key=RSA)
    assert problems(pair.certificate, wrong_kind.key) == (
        f"{wrong_kind.key}: not the key of {pair.certificate}. {belongs}",
    )
    reversed_chain = tmp_path / "reversed.pem"
    reversed_chain.write_text(authority.file.read_text() + pair.certificate.read_text())
    assert problems(reversed_chain, pair.key) == (f"{pair.key}: not the key of {reversed_chain}. {belongs}",)
    hidden = tmp_path / "hidden.key"
    hidden.write_bytes(key_pem(ec.generate_private_key(ec.SECP256R1()), "secret"))
    assert problems(pair.certificate, hidden) == (
        f"{hidden}: has a passphrase, which nobody types at a start. Give one without: `openssl pkey`.",
    )


@pytest.mark.parametrize("cut", [60, 400])
def test_half_a_certificate_is_refused_in_a_sentence(authority: Authority, cut: int) -> None:
    pair = authority.pair()
    lines = pair.certificate.read_text().splitlines()
    pair.certificate.write_text("\n".join((*lines[: cut // 60], lines[-1])) + "\n")
    (problem,) = problems(pair.certificate, pair.key)
    assert problem.startswith(f"{pair.certificate}: cannot be ")
    assert problem.endswith("in PEM.")


def test_a_copy_is_for_one_user_alone_and_nothing_unusable_replaces_it(
    authority: Authority, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, other, old = authority.pair(), authority.pair("other"), authority.pair("old", days=-1)
    copy, user = tmp_path / "run" / "tls.pem", getpass.getuser()
    install(old.certificate, old.key, copy, user)  # nothing better is there
    assert "the certificate expired at" in capsys.readouterr().err
    install(first.certificate, first.key, copy, user)
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert load(copy, copy).ends_s == first.made.not_valid_after_utc.timestamp()
    kept = copy.read_bytes()
    for certificate, key, why in (
        (other.certificate, first.key, "not the key of"),
        (old.certificate, old.key, "Renew it. The one of before stays."),
        (tmp_path / "gone", first.key, "cannot be read: No such file"),
    ):
        with pytest.raises(SystemExit) as refused:
            install(certificate, key, copy, user)
        assert why in str(refused.value)
    with pytest.raises(SystemExit, match="nobody-at-all: no such account"):
        install(first.certificate, first.key, copy, "nobody-at-all")
    assert copy.read_bytes() == kept
    assert [path.name for path in copy.parent.iterdir()] == ["tls.pem"]
