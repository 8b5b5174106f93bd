"""run.toml: written and read back without loss; whatever a person writes gives a request or a sentence."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kto_tui.errors import UserError
from kto_tui.recipe import Recipe
from kto_tui.runs.config import RunConfig, load_config, read_request, to_toml

SOUND = 'model = "org/name"\ndata = "starter"\n'


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file that every generated example overwrites."""
    return tmp_path_factory.mktemp("config") / "run.toml"


def put(folder: Path, text: str) -> Path:
    file = folder / "wish.toml"
    file.write_text(text, encoding="utf-8")
    return file


def complaint(file: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_request(file)
    assert str(file) in str(caught.value)
    return str(caught.value)


WORDS = st.text(max_size=20)
RECIPES = st.builds(
    Recipe,
    beta=st.floats(1e-6, 10),
    desirable_weight=st.none() | st.floats(1e-6, 1000),
    learning_rate=st.floats(1e-12, 0.1),
    steps=st.none() | st.integers(1, 10**6),
    micro_batch=st.sampled_from([1, 2, 3, 8]),
    effective_batch=st.sampled_from([8, 16, 64]),
    schedule=st.sampled_from(["cosine", "linear", "constant"]),
    gradient_checkpointing=st.booleans(),
    seed=st.integers(0, 2**31 - 1),
)
CONFIGS = st.builds(
    RunConfig,
    model=WORDS,
    data=WORDS,
    recipe=RECIPES,
    heldout=st.none() | WORDS,
    trial=st.booleans(),
    because=st.dictionaries(WORDS, WORDS, max_size=4),
    data_fingerprint=st.none() | WORDS,
)


@given(CONFIGS)
def test_a_configuration_reads_back(scratch: Path, config: RunConfig) -> None:
    scratch.write_bytes(to_toml(config).encode())
    assert load_config(scratch) == config


@given(CONFIGS.map(lambda config: msgspec.structs.replace(config, model="org/name", data="/no/such", heldout=None)))
def test_a_run_file_kto_tui_wrote_is_a_request(scratch: Path, config: RunConfig) -> None:
    scratch.write_bytes(to_toml(config).encode())
    request = read_request(scratch)
    assert (request.model, request.data, request.trial) == (config.model, config.data, config.trial)
    assert request.because == config.because
    chosen = {name: value for name, value in msgspec.structs.asdict(config.recipe).items() if value is not None}
    assert request.overrides == chosen


def test_what_is_automatic_is_left_out() -> None:
    text = to_toml(RunConfig(model="m", data="d", recipe=Recipe()))
    for name in ("steps =", "heldout =", "data_fingerprint", "because", "eval_every"):
        assert f"\n{name}" not in text


def test_the_smallest_request(tmp_path: Path) -> None:
    request = read_request(put(tmp_path, SOUND))
    assert (request.model, request.data, request.heldout) == ("org/name", "starter", None)
    assert (request.trial, request.backend, request.overrides) == (False, None, {})


def test_a_full_request(tmp_path: Path) -> None:
    text = f'{SOUND}trial = true\nbackend = "hf"\nversion = 1\n[recipe]\nbeta = 1\nsteps = 5\nschedule = "linear"\n'
    request = read_request(put(tmp_path, text))
    assert request.trial
    assert request.overrides == {"beta": 1.0, "steps": 5, "schedule": "linear"}


# Paths


def test_relative_names_are_beside_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("elsewhere", "wishes/model"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("rows.jsonl", "wishes/rows.jsonl", "wishes/held.jsonl"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path / "elsewhere")
    text = 'model = "./model"\ndata = "../rows.jsonl"\nheldout = "held.jsonl"\n'
    put(tmp_path / "wishes", text)
    request = read_request(Path("../wishes/wish.toml"))
    assert request.model == str(tmp_path / "wishes" / "model")
    assert request.data == str(tmp_path / "rows.jsonl")
    assert request.heldout == str(tmp_path / "wishes" / "held.jsonl")


def test_absolute_names_and_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    request = read_request(put(tmp_path, 'model = "~/models/m"\ndata = "/data/rows.jsonl"\nheldout = "~/h.jsonl"\n'))
    assert request.model == str(tmp_path / "me" / "models" / "m")
    assert request.data == "/data/rows.jsonl"
    assert request.heldout == str(tmp_path / "me" / "h.jsonl")


def test_the_starter_set_is_no_file_name(tmp_path: Path) -> None:
    (tmp_path / "starter").mkdir()
    assert read_request(put(tmp_path, SOUND)).data == "starter"


@pytest.mark.parametrize("name", ["x" * 5000, "~no-such-user-here/rows.jsonl", "org/" + "y" * 300])
def test_names_no_file_can_have_stay_as_they_are(tmp_path: Path, name: str) -> None:
    request = read_request(put(tmp_path, f'model = "{name}"\ndata = "{name}"\n'))
    assert (request.model, request.data) == (name, name)


# What can be wrong


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    assert "no such run file" in complaint(tmp_path / "none.toml")
    assert "not a file" in complaint(tmp_path)


@pytest.mark.parametrize(
    "text", ["model = ", "model", '= "x"', SOUND + 'model = "twice"', "a = " + "[" * 5000, "[recipe\n", "\x00"]
)
def test_broken_toml(tmp_path: Path, text: str) -> None:
    assert "not TOML" in complaint(put(tmp_path, text))


def test_broken_encoding(tmp_path: Path) -> None:
    file = tmp_path / "wish.toml"
    file.write_bytes(b'model = "\xff"\n')
    assert "not TOML" in complaint(file)


@pytest.mark.parametrize("key", ["model", "data"])
def test_a_missing_key(tmp_path: Path, key: str) -> None:
    kept = [line for line in SOUND.splitlines() if not line.startswith(key)]
    assert f"names no {key}" in complaint(put(tmp_path, "\n".join(kept)))


def test_an_unknown_key_lists_the_known_ones(tmp_path: Path) -> None:
    text = complaint(put(tmp_path, SOUND + "colour = 3\n"))
    assert "'colour'" in text
    assert all(name in text for name in ("model", "data", "heldout", "trial", "backend", "recipe"))


def test_a_recipe_key_in_the_wrong_place(tmp_path: Path) -> None:
    text = complaint(put(tmp_path, SOUND + "beta = 0.2\n"))
    assert "'beta' belongs into the recipe" in text
    assert "[recipe]" in text


def test_an_unknown_recipe_key_names_the_nearest(tmp_path: Path) -> None:
    text = complaint(put(tmp_path, SOUND + "[recipe]\nlearning_rat = 1e-4\n"))
    assert "'learning_rat'" in text
    assert "Did you mean learning_rate?" in text


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("beta = 0", "beta"),
        ("beta = nan", "beta"),
        ("micro_batch = 0", "micro_batch"),
        ("max_length = 15", "max_length"),
        ('learning_rate = "fast"', "learning_rate"),
        ("steps = 2.5", "steps"),
        ("seed = 99999999999999999999999", "seed"),
        ('schedule = "square"', "schedule"),
        ("gradient_checkpointing = 1", "gradient_checkpointing"),
        ("beta = 1979-05-27", "beta"),
        ("beta = {a = 1}", "beta"),
    ],
)
def test_a_recipe_value_out_of_bounds(tmp_path: Path, line: str, name: str) -> None:
    assert f"[recipe] {name}" in complaint(put(tmp_path, f"{SOUND}[recipe]\n{line}\n"))


@pytest.mark.parametrize(
    "text",
    [
        'model = 3\ndata = "d"\n',
        'model = "m"\ndata = ["d"]\n',
        SOUND + "heldout = 1\n",
        SOUND + 'trial = "yes"\n',
        SOUND + "trial = 1\n",
        SOUND + "backend = 1\n",
        SOUND + "[because]\nbeta = 1\n",
        'model = 1979-05-27\ndata = "d"\n',
    ],
)
def test_a_value_of_the_wrong_type(tmp_path: Path, text: str) -> None:
    assert "wrong type" in complaint(put(tmp_path, text))


def test_a_recipe_that_is_no_table(tmp_path: Path) -> None:
    assert "not a table" in complaint(put(tmp_path, SOUND + "recipe = 3\n"))
    assert "not a table" in complaint(put(tmp_path, SOUND + "[[recipe]]\nbeta = 1\n"))


@pytest.mark.parametrize("version", ["2", "0", '"1"', "-1"])
def test_another_version(tmp_path: Path, version: str) -> None:
    assert "version" in complaint(put(tmp_path, f"{SOUND}version = {version}\n"))


def test_an_unknown_backend(tmp_path: Path) -> None:
    text = complaint(put(tmp_path, SOUND + 'backend = "tpu"\n'))
    assert "'tpu'" in text
    assert "hf" in text


TOML_VALUES = st.sampled_from(['"x"', "1", "-1", "0.5", "nan", "true", "[]", "{}", "1979-05-27", '"starter"'])
KEYS = ["model", "data", "heldout", "trial", "backend", "because", "version", "data_fingerprint", "recipe", "x", "beta"]


@given(
    st.dictionaries(st.sampled_from(KEYS), TOML_VALUES),
    st.dictionaries(st.sampled_from([*Recipe.__struct_fields__, "x"]), TOML_VALUES, max_size=3),
    st.booleans(),
)
def test_whatever_is_written_gives_a_request_or_a_sentence(
    scratch: Path, top: dict[str, str], recipe: dict[str, str], with_sound: bool
) -> None:
    top = {**top, **({"model": '"m"', "data": '"starter"'} if with_sound else {})}
    lines = [f"{key} = {value}" for key, value in top.items()]
    if recipe and "recipe" not in top:
        lines += ["[recipe]", *(f"{key} = {value}" for key, value in recipe.items())]
    scratch.write_text("\n".join(lines), encoding="utf-8")
    try:
        request = read_request(scratch)
    except UserError as error:
        assert str(scratch) in str(error)  # noqa: PT017 - either outcome is right
    else:
        assert set(request.overrides) <= set(Recipe.__struct_fields__)
        assert request.backend in {None, "hf", "mlx"}


# Frozen configurations


def test_a_frozen_configuration_that_cannot_be_read(tmp_path: Path) -> None:
    good = to_toml(RunConfig(model="m", data="d", recipe=Recipe()))
    for bad in (
        good.replace('model = "m"', "model = 3"),
        good.replace("beta = 0.1", "beta = 100"),
        good.replace("beta = 0.1", "betta = 0.1"),
        good.replace("[recipe]", "[recipes]"),
        good.replace("micro_batch = 4", "micro_batch = 17"),
        "broken",
    ):
        file = put(tmp_path, bad)
        assert bad != good
        with pytest.raises(UserError) as caught:
            load_config(file)
        assert str(file) in str(caught.value)
    with pytest.raises(UserError, match="no such run file"):
        load_config(tmp_path / "none.toml")


def test_a_frozen_configuration_of_a_newer_version(tmp_path: Path) -> None:
    good = to_toml(RunConfig(model="m", data="d", recipe=Recipe()))
    assert load_config(put(tmp_path, 'colour = "blue"\n' + good)).model == "m", "added fields are passed over"
