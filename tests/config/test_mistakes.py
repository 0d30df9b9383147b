"""What users get wrong, and the line that tells them. One test a mistake, as `edgetool targets validate` shows it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgetool.config.load import inspect, load
from edgetool.config.overrides import parse_override
from edgetool.errors import ConfigError

HEAD = "schema = 1\n"


def refused(path: Path, *overrides: str, known_backends: tuple[str, ...] = ("onnxruntime", "openvino")) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(path, overrides=overrides, known_backends=known_backends)
    assert caught.value.exit_code == 2
    return caught.value


@pytest.fixture(autouse=True)
def in_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def target(text: str) -> str:
    return f'{HEAD}[targets.x]\nbackend = "onnxruntime"\n{text}\n'


@pytest.mark.parametrize(
    ("text", "code", "expected"),
    [
        (target("budgt = 1"), "unknown-key", "targets.toml:4 [targets.x] budgt: unknown key, did you mean budget?"),
        (
            target("[targets.x.budget]\nmax_dorp = '1%'"),
            "unknown-key",
            "targets.toml:5 [targets.x.budget] max_dorp: unknown key, did you mean max_drop?",
        ),
        (
            target("latency_p99 = '12ms'"),
            "unknown-key",
            "targets.toml:4 [targets.x] latency_p99: unknown key, it belongs into [targets.x.budget]",
        ),
        (
            target("[targets.x.onnxruntim]\na = 1"),
            "unknown-key",
            "targets.toml:4 [targets.x] onnxruntim: unknown key, did you mean onnxruntime?",
        ),
        (
            target("onnxruntime = 3"),
            "invalid-value",
            "targets.toml:4 [targets.x] onnxruntime: wants a table of the backend's options, "
            "write its options into [targets.x.onnxruntime]",
        ),
        (
            target("unverified = 'alow'"),
            "invalid-value",
            'targets.toml:4 [targets.x] unverified: wants one of fail, allow, got "alow", did you mean allow?',
        ),
        (
            target("budget.size = 20"),
            "invalid-value",
            "targets.toml:4 [targets.x.budget] size: wants a number with a unit (B, KB, kB, MB, GB, KiB, MiB, GiB), "
            'such as "20MiB", got 20',
        ),
        (
            target("budget.latency_p99 = '12 parsecs'"),
            "invalid-value",
            "targets.toml:4 [targets.x.budget] latency_p99: wants a number with a unit (ns, us, µs, ms, s, min, m, h), "
            "such as \"12ms\", got '12 parsecs'",
        ),
        (
            target("budget.max_drop = 5"),
            "invalid-value",
            'targets.toml:4 [targets.x.budget] max_drop: wants a share of 1 or a percentage such as "1%", got 5',
        ),
        (
            target("budget.max_drop = nan"),
            "invalid-value",
            "targets.toml:4 [targets.x.budget] max_drop: must be a finite number, got nan",
        ),
        (
            target("threads = true"),
            "invalid-value",
            "targets.toml:4 [targets.x] threads: wants a whole number, got true",
        ),
        (
            target("threads = '4'"),
            "invalid-value",
            'targets.toml:4 [targets.x] threads: wants a whole number, got "4"',
        ),
        (
            target("threads = 0"),
            "invalid-value",
            "targets.toml:4 [targets.x] threads: must be greater than or equal to 1, got 0",
        ),
        (
            target("package.when = 2024-01-01"),
            "invalid-value",
            "targets.toml:4 [targets.x.package] when: wants no date, got 2024-01-01, write it in quotes",
        ),
        (
            target("onnxruntime.scale = inf"),
            "invalid-value",
            "targets.toml:4 [targets.x.onnxruntime] scale: wants a finite number, got inf",
        ),
        (
            target("recipe = 'fp61'\n[recipes.fp16]"),
            "unknown-recipe",
            "targets.toml:4 [targets.x] recipe: there is no recipe 'fp61', did you mean fp16?",
        ),
        (
            target("recipe = 'fp16'"),
            "unknown-recipe",
            "targets.toml:4 [targets.x] recipe: there is no recipe 'fp16', no other recipes are defined",
        ),
        (
            target("stands_in_for = [\n'y',\n]\n[targets.xy]\nextends = 'x'"),
            "unknown-target",
            "targets.toml:5 [targets.x] stands_in_for[0]: there is no target 'y', did you mean xy?",
        ),
        (
            target("stands_in_for = ['x']"),
            "unknown-target",
            "targets.toml:4 [targets.x] stands_in_for[0]: stands in for itself, no other targets are defined",
        ),
        (
            target("fallback = ['onnxruntime']"),
            "invalid-value",
            "targets.toml:4 [targets.x] fallback[0]: 'onnxruntime' was tried before it gets to this fallback, "
            "list other backends, each once",
        ),
        (
            f"{HEAD}[targets.x]\n",
            "target-without-backend",
            "targets.toml:2 [targets.x]: the target has no backend, "
            'write one, such as backend = "onnxruntime", or extend a board that has one',
        ),
        (
            f"{HEAD}[targets.x]\nextends = 'y'",
            "unknown-target",
            "targets.toml:3 [targets.x] extends: there is no target 'y', no other targets are defined",
        ),
        (
            f"{HEAD}[targets.x]\nextends = '@generic/cpuu'",
            "unknown-board",
            "targets.toml:3 [targets.x] extends: there is no board '@generic/cpuu', did you mean @generic/cpu?",
        ),
        (
            f"{HEAD}[targets.b]\nextends = 'a'\n[targets.a]\nextends = 'c'\n[targets.c]\nextends = 'b'",
            "extends-cycle",
            "extends itself: a -> c -> b -> a, break the circle",
        ),
        (
            f"{HEAD}[recipes.r]\npasses = [\n{{ use = 'simplify' }},\n{{ uses = 'cast' }},\n]",
            "missing-key",
            "targets.toml:5 [recipes.r] passes[1].use: the key is missing, is it misspelt as uses?",
        ),
        (
            f"{HEAD}[model.dims.batch]\nmin = 1",
            "missing-key",
            "targets.toml:2 [model.dims.batch] max: the key is missing, it is for: Largest size that must work.",
        ),
        (
            f"{HEAD}[model.dims.batch]\nmin = 4\nmax = 2",
            "invalid-value",
            "targets.toml:2 [model.dims.batch]: wants min <= opt <= max, got min=4, opt=None, max=2",
        ),
        (
            f"{HEAD}[model.inputs.x]\nshape = ['n', -1]",
            "invalid-value",
            "targets.toml:3 [model.inputs.x] shape[1]: must be greater than or equal to 1, got -1",
        ),
        (
            f"{HEAD}[model.inputs.x]\nshape = [1.5]",
            "invalid-value",
            'targets.toml:3 [model.inputs.x] shape[0]: wants a whole number or text in "quotes", got 1.5',
        ),
        (
            f"{HEAD}[data.preprocess]\ncrop = [1, 2, 3]",
            "invalid-value",
            "targets.toml:3 [data.preprocess] crop: wants a size, or [height, width], got 3 values",
        ),
        (
            f"{HEAD}model = 'net.onnx'",
            "invalid-value",
            'targets.toml:2 model: wants a table, got "net.onnx"',
        ),
        (
            f"{HEAD}[modle]",
            "unknown-key",
            "targets.toml:2 modle: unknown key, did you mean model?",
        ),
        (
            f"{HEAD}[model.torhc]\nx = 1",
            "unknown-key",
            "targets.toml:2 [model] torhc: unknown key",
        ),
    ],
)
def test_one_mistake(write, text: str, code: str, expected: str) -> None:
    path = write(text)
    error = refused(path)
    (mistake,) = inspect(path, known_backends=("onnxruntime", "openvino")).mistakes
    assert error.code == mistake.code == code
    assert str(mistake).endswith(expected) if code == "extends-cycle" else str(mistake) == expected
    assert f"{error}" + (f", {error.hint}" if error.hint else "") == str(mistake)


def test_names_that_cannot_be_file_names(write) -> None:
    for name in ("a b", "../x", "ä", "", "-x", "x" * 81):
        error = refused(write(f'{HEAD}[targets."{name}"]\nbackend = "onnxruntime"\n'))
        assert error.code == "invalid-name", name


def test_all_mistakes_at_once_in_the_order_of_the_lines(write) -> None:
    path = write(
        """
        schema = 1
        [targets.b]
        backend = "onnxruntime"
        recipe = "none"
        threads = 0
        [targets.a]
        extends = "@no/board"
        [targets.a.budget]
        sise = "1MiB"
        """
    )
    error = refused(path)
    assert error.code == "invalid-targets-file"
    lines = error.message.splitlines()
    assert lines[0] == "4 mistakes"
    assert [line.split()[0] for line in lines[1:]] == [f"targets.toml:{n}" for n in (4, 5, 7, 9)]


def test_a_broken_base_is_reported_once(write) -> None:
    text = f"{HEAD}[targets.a]\nextends = '@no/board'\n[targets.b]\nextends = 'a'\n[targets.c]\nextends = 'a'\n"
    assert refused(write(text)).code == "unknown-board"


def test_two_targets_with_the_same_unknown_board_are_two_mistakes(write) -> None:
    text = f"{HEAD}[targets.a]\nextends = '@no/board'\n[targets.b]\nextends = '@no/board'\n"
    assert len(inspect(write(text)).mistakes) == 2


@pytest.mark.parametrize(
    ("text", "where", "column"),
    [
        ("schema = 1\nname = net\n", "targets.toml:2:8", 7),
        ("schema = 1\n[targets.x\n", "targets.toml:2:11", 10),
        ("schema = 1\nschema = 2\n", "targets.toml:2:11", 10),
        ('schema = 1\nx = "', "targets.toml:2:6", 5),
    ],
)
def test_syntax_errors_point_at_the_place(write, text: str, where: str, column: int) -> None:
    path = write("")
    path.write_text(text)
    error = refused(path)
    assert (error.code, error.where) == ("invalid-toml", where)
    assert error.message.splitlines()[2] == "  " + " " * column + "^"


@pytest.mark.parametrize(
    "deep", ["[[" * 5000, "a = " + "[" * 50 + "]" * 50, "a." * 20_000 + "a = 1", "a = " + "{a=" * 90 + "1" + "}" * 90]
)
def test_nesting_without_end(write, deep: str) -> None:
    path = write("")
    path.write_text("schema = 1\n[model.metadata]\n" + deep)
    assert refused(path).code == "invalid-toml"


def test_a_number_of_thousands_of_digits(write) -> None:
    path = write("")
    path.write_text("schema = " + "1" * 5000)
    assert refused(path).code == "invalid-toml"


@pytest.mark.parametrize("value", ["1" * 5000, "[" * 5000])
def test_an_override_that_python_cannot_read_is_text(value: str) -> None:
    assert parse_override(f"model.name={value}").value == value


def test_missing_file(tmp_path: Path) -> None:
    error = refused(tmp_path / "targets.toml")
    assert (error.code, error.where) == ("targets-file-not-found", "targets.toml")
    assert "edgetool init" in (error.hint or "")


def test_files_that_are_no_text(write, tmp_path: Path) -> None:
    path = write("")
    path.write_bytes(b"schema = 1\n\xff\xfe")
    assert "UTF-8" in refused(path).message
    path.write_bytes(b"#" * (2**20 + 1))
    assert "1 MiB" in refused(path).message
    assert refused(tmp_path).code == "unreadable-targets-file"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file(write) -> None:
    path = write(HEAD)
    path.chmod(0)
    assert "Permission denied" in refused(path).message


def test_a_byte_order_mark_does_no_harm(write) -> None:
    path = write("")
    path.write_bytes(b"\xef\xbb\xbfschema = 1\r\n[targets.x]\r\nbackend = 'onnxruntime'\r\n")
    assert "x" in load(path).targets


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("", "does not say which version", "begin it with: schema = 1"),
        ("schema = 2\nwhatever = 1", "schema 2 is not known here", "install a newer edgetool"),
        ("schema = '1'", "schema '1' is not known here", "write: schema = 1"),
        ("schema = true", "schema True is not known here", "write: schema = 1"),
    ],
)
def test_schema_versions(write, text: str, message: str, hint: str) -> None:
    error = refused(write(text))
    assert error.code == "unsupported-schema"
    assert message in error.message
    assert error.hint == hint


@pytest.mark.parametrize(
    ("include", "message"),
    [
        ("none.toml", "no such file"),
        ("/etc/hostname", "absolute path"),
        ("targets.toml", "includes itself"),
        ("./sub/../targets.toml", "includes itself"),
    ],
)
def test_includes_that_are_refused(write, include: str, message: str) -> None:
    write("", "sub/x")
    error = refused(write(f'{HEAD}include = ["{include}"]\n'))
    assert error.code == "invalid-include"
    assert message in error.message
    assert error.where == "targets.toml:2 include[0]"


def test_includes_in_a_circle_through_another_file_and_a_link(write, tmp_path: Path) -> None:
    write(f'{HEAD}include = ["link.toml"]\n', "boards.toml")
    main = write(f'{HEAD}include = ["boards.toml"]\n')
    (tmp_path / "link.toml").symlink_to(main)
    assert "includes itself" in refused(main).message


def test_an_included_file_shares_targets_and_recipes_only(write) -> None:
    write(f"{HEAD}[model]\nname = 'x'\n", "boards.toml")
    error = refused(write(f'{HEAD}include = ["boards.toml"]\n'))
    assert (error.code, error.where) == ("invalid-include", "boards.toml:2 model")


def test_mistakes_in_an_included_file_name_that_file(write) -> None:
    write(f"{HEAD}[targets.x]\nbackend = 'onnxruntime'\nthreads = 0\n", "boards.toml")
    assert (refused(write(f'{HEAD}include = ["boards.toml"]\n')).where or "").startswith("boards.toml:4 ")


@pytest.mark.parametrize(
    ("override", "code", "message"),
    [
        ("targets.x.threads", "invalid-override", "no key or no ="),
        ("=3", "invalid-override", "not a key"),
        ("a b=3", "invalid-override", "not a key"),
        ("targets.y.threads=3", "unknown-target", "there is no target 'y'"),
        ("recipes.y.passes=[]", "unknown-recipe", "there is no recipe 'y'"),
        ("recipes.r.passes.1.use=simplify", "invalid-override", "'1' is no position in a list of 1"),
        ("recipes.r.passes.first.use=simplify", "invalid-override", "'first' is no position"),
        ("targets.x.backend.name=y", "invalid-override", "single value"),
        ("targets.x.budget.sise=1MiB", "unknown-key", "unknown key"),
        ("targets.x.budget.size=1", "invalid-value", "wants a number with a unit"),
        ("targets.x.threads=4 # four\nschema=2", "invalid-value", "whole number"),
    ],
)
def test_overrides_that_are_refused(write, override: str, code: str, message: str) -> None:
    path = write(target("[recipes.r]\npasses = [ { use = 'simplify' } ]"))
    error = refused(path, override)
    assert error.code == code
    assert message in error.message
    assert (error.where or "").startswith("--set ")
