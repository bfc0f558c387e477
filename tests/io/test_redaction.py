import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.io.redaction import (
    hide_in_error,
    secret_texts,
    secret_values,
    without_secret_options,
    without_url_secrets,
)

pytestmark = pytest.mark.smoke


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3://key:secret@bucket/x.csv", "s3://***@bucket/x.csv"),
        ("s3://key:se/cr+et@bucket/x.csv", "s3://***@bucket/x.csv"),
        ("s3://key:se@cret@bucket/x.csv", "s3://***@bucket/x.csv"),
        ("https://ghp_token@github.com/x", "https://***@github.com/x"),
        ("https://host/x?sig=secret&sv=1", "https://host/x?***"),
        ("simplecache::s3://key:secret@bucket/x", "simplecache::s3://***@bucket/x"),
        ("no answer from 'ftp://me:secret@host:21/x', sorry", "no answer from 'ftp://***@host:21/x', sorry"),
        (
            "abfs://container@account.dfs.core.windows.net/x",
            "abfs://container@account.dfs.core.windows.net/x",
        ),
        ("sftp://user@host/x", "sftp://user@host/x"),
        ("sftp://user:secret@host/x", "sftp://***@host/x"),
        ("http://host:8080/data@v1/x", "http://host:8080/data@v1/x"),
        ("s3://bucket/data@v1/x", "s3://bucket/data@v1/x"),
        ("me:secret@home", "me:secret@home"),
    ],
)
def test_only_the_secrets_of_a_url_are_hidden(text, shown):
    assert without_url_secrets(text) == shown


@given(
    key=st.text("abcXYZ123", min_size=1),
    secret=st.text("abcXYZ123/+=@:%", min_size=1).filter(lambda text: not text.split("/")[0].isdigit()),
)
def test_users_and_passwords_of_any_shape_are_hidden(key, secret):
    shown = without_url_secrets(f"cannot open s3://{key}:{secret}@bucket.example/file: no answer")

    assert shown == "cannot open s3://***@bucket.example/file: no answer"


def test_hiding_a_second_time_changes_nothing():
    text = "s3://key:secret@bucket/x?y=z"

    assert without_url_secrets(without_url_secrets(text)) == without_url_secrets(text)


def test_the_secrets_are_all_texts_in_the_options_the_longest_first():
    found = secret_texts(
        "s3://user1:pass/word@b",
        {"a": "longest secret", "b": {"c": ["inner"]}, "n": 3, "flag": True, "d": b"bytes"},
    )

    assert {"user1", "pass/word", "longest secret", "inner", "bytes"} <= set(found)
    assert [len(secret) for secret in found] == sorted(map(len, found), reverse=True)


def test_a_secret_is_found_quoted_unquoted_and_escaped():
    """A URL in an error has it quoted, a repr has it escaped."""
    found = secret_texts("", {"password": "a b\\c@d"})

    assert {"a b\\c@d", "a%20b%5Cc%40d", "a+b%5Cc%40d", "a b\\\\c@d"} <= set(found)


def test_texts_too_short_to_be_secret_are_not_hidden():
    assert secret_texts("", {"a": "", "b": "us"}) == []


def test_options_with_secret_names_are_secret_at_any_depth():
    options = {"token": "t", "client": {"aws_secret_access_key": "s", "region": "r"}, "key": "k", "mode": "w"}

    assert sorted(secret_values(options)) == ["k", "s", "t"]
    assert without_secret_options(options) == {
        "token": "***",
        "client": {"aws_secret_access_key": "***", "region": "r"},
        "key": "***",
        "mode": "w",
    }


def test_options_with_secret_names_are_secret_in_lists_too():
    options = {
        "clients": [{"password": "hunter22", "host": "h"}, 3],
        "pair": ({"private_key": "hunter33"},),
        "mode": ["w"],
    }

    assert {"hunter22", "hunter33"} <= set(secret_texts("", secret_values(options)))
    assert "host" not in str(secret_values(options))
    assert without_secret_options(options) == {
        "clients": [{"password": "***", "host": "h"}, 3],
        "pair": ({"private_key": "***"},),
        "mode": ["w"],
    }


@pytest.mark.parametrize("name", ["passphrase", "private_key", "privateKey", "sas_token", "sas", "signature"])
def test_a_secret_option_is_recognised_by_its_name(name):
    assert without_secret_options({name: "hunter22"}) == {name: "***"}


def hide(text):
    return text.replace("secret", "***")


def test_the_texts_of_an_error_and_its_causes_are_cleaned():
    outer, cause, context = (
        RuntimeError("secret 1"),
        OSError(2, "secret 2", "/secret/3"),
        KeyError("secret 4"),
    )
    outer.__cause__, cause.__context__ = cause, context

    assert hide_in_error(outer, hide)

    assert not any("secret" in f"{error!s} {error!r}" for error in (outer, cause, context))
    assert cause.filename == "/***/3"


def test_errors_that_are_each_others_context_are_cleaned_once():
    first, second = ValueError("secret"), ValueError("b")
    first.__context__, second.__context__ = second, first

    assert hide_in_error(first, hide)


@pytest.mark.parametrize("arguments", [({"password": "secret"},), (ValueError("secret"),)], ids=repr)
def test_an_error_with_a_secret_in_a_nested_object_is_not_clean(arguments):
    assert not hide_in_error(RuntimeError(*arguments), hide)


def test_the_content_of_a_file_in_an_error_is_not_searched():
    """It may be gigabytes, and shows in no traceback."""
    error = UnicodeDecodeError("utf-8", b"\x80" * 10, 0, 1, "invalid start byte")

    assert hide_in_error(error, hide)
    assert error.object == b"\x80" * 10
