"""What MLX needs of a machine and its packages: one sentence for each machine that lacks it."""

import tomllib
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement

from kto_tui import environment, mlx_needs
from kto_tui.environment import backends, examine, require_training
from kto_tui.errors import UserError
from kto_tui.mlx_needs import Facts, numbers, oldest_allowed, refusal

ROOT = Path(__file__).parents[1]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
VERSIONS = {
    "mlx": "0.32.4", "mlx-lm": "0.32.2", "transformers": "5.23.0", "safetensors": "0.8.0", "huggingface-hub": "2.4.0",
}  # fmt: skip
MINIMUM = {"mlx": "0.32.4", "mlx-lm": "0.32.2"}


def mac(machine: str = "arm64", **facts: object) -> Facts:
    return Facts(
        **{"system": "Darwin", "machine": machine, "macos": "14.5", "versions": VERSIONS, "minimum": MINIMUM, **facts}
    )


def linux(glibc: str | None = "2.36", **facts: object) -> Facts:
    return Facts(
        **{"system": "Linux", "machine": "x86_64", "glibc": glibc, "versions": VERSIONS, "minimum": MINIMUM, **facts}
    )


SENTENCES = {
    "Intel Mac": (mac("x86_64"), "There are no wheels of MLX for Intel Macs", 'backend = "hf", on the processor'),
    "Rosetta": (mac("x86_64", translated=True), "runs under Rosetta", "a Python built for arm64"),
    "old macOS": (mac(macos="13.6.1"), "MLX needs macOS 14 or newer, this is 13.6.1", "Update macOS"),
    "old glibc": (linux("2.31"), "MLX needs glibc 2.35 or newer, this Linux has 2.31", 'backend = "hf"'),
    "none": (mac(versions={}), "Training with MLX needs mlx, mlx-lm, transformers,", "pip install 'kto-tui[mlx]'"),
    "no mlx-lm": (mac(versions=VERSIONS | {"mlx-lm": None}), "Training with MLX needs mlx-lm", "kto-tui[mlx]"),
    "on Linux": (linux(versions=VERSIONS | {"mlx": None}), "Training with MLX needs mlx", "'mlx-lm[cpu]'"),
    "old mlx": (
        mac(versions=VERSIONS | {"mlx": "0.29.3"}),
        "mlx 0.29.3 is too old, training with MLX needs 0.32.4 or newer",
        "install --upgrade 'kto-tui[mlx]'",
    ),
    "old mlx-lm": (mac(versions=VERSIONS | {"mlx-lm": "0.32.1"}), "mlx-lm 0.32.1 is too old", "--upgrade"),
}


@pytest.mark.parametrize(("facts", "what", "mend"), SENTENCES.values(), ids=SENTENCES)
def test_each_lack_has_its_sentence(facts: Facts, what: str, mend: str) -> None:
    found = refusal(facts)
    assert found is not None
    assert what in found.what
    assert mend in found.mend


@pytest.mark.parametrize(
    "facts",
    [
        mac(),
        mac(macos=None),
        mac(macos="26.1"),
        linux(),
        linux("2.35"),
        linux(None),
        mac(minimum={}, versions=VERSIONS | {"mlx": "0.1"}),
        mac(versions=VERSIONS | {"mlx": "0.33.0.dev20261101"}),
    ],
)
def test_what_suffices_or_is_unknown_is_not_refused(facts: Facts) -> None:
    assert refusal(facts) is None


def test_a_machine_that_cannot_have_mlx_is_not_told_to_install_it() -> None:
    for facts in (mac("x86_64", versions={}), linux("2.31", versions={})):
        found = refusal(facts)
        assert found is not None
        assert "install" not in found.mend


def test_versions_are_compared_by_number() -> None:
    assert numbers("0.32.10") > numbers("0.32.4.dev3")
    assert numbers("nightly") == ()
    assert oldest_allowed(["mlx[cpu]<0.33,>=0.32.4; extra == 'mlx'", "torch==2.13"]) == {"mlx": "0.32.4"}


def test_the_minimum_is_that_of_the_project() -> None:
    assert oldest_allowed(EXTRAS["mlx"]).items() >= MINIMUM.items()
    assert environment.mlx_facts().minimum.keys() >= MINIMUM.keys()


def test_a_mac_without_a_gpu_in_reach_is_refused_and_linux_needs_none() -> None:
    pytest.importorskip("mlx.core")
    from kto_tui.backends.mlx.device import check_metal

    with pytest.raises(UserError, match="no Metal device"):
        check_metal("Darwin", "arm64", metal_available=False)
    check_metal("Darwin", "arm64", metal_available=True)
    check_metal("Linux", "x86_64", metal_available=False)


def take(monkeypatch: pytest.MonkeyPatch, facts: Facts) -> None:
    monkeypatch.setattr(environment, "mlx_facts", lambda: facts)
    monkeypatch.setattr(environment, "mlx_refusal", lambda: mlx_needs.refusal(facts))


def test_training_with_mlx_asks_nothing_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    take(monkeypatch, mac())
    monkeypatch.setattr(environment, "installed", VERSIONS.get)
    require_training("mlx")
    with pytest.raises(UserError, match="Training needs torch, trl, peft"):
        require_training("hf")
    take(monkeypatch, mac("x86_64"))
    with pytest.raises(UserError, match="Intel Macs"):
        require_training("mlx")


def test_a_mac_shows_mlx_first_where_it_can_train(monkeypatch: pytest.MonkeyPatch) -> None:
    take(monkeypatch, mac())
    assert backends("mps")[0] == ("Apple · MLX on Metal", "READY")
    take(monkeypatch, mac(versions=VERSIONS | {"mlx": "0.29.3"}))
    first, second, _ = backends("mps")
    assert "TRL" in first[0]
    assert second == ("Apple · MLX on Metal", "mlx 0.29.3 is too old, training with MLX needs 0.32.4 or newer")
    assert backends("mps", planned=True)[0][0] == "Apple · MLX on Metal"


def test_doctor_tells_of_mlx_where_it_has_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "installed", VERSIONS.get)
    take(monkeypatch, linux(versions={}))
    assert not {"mlx", "MLX"} & {one.what for one in examine()}
    take(monkeypatch, mac())
    told = {one.what: one for one in examine()}
    assert (told["mlx"].state, told["MLX"].mend) == ("0.32.4", None)
    assert (told["torch"].state, told["torch"].mend) == ("not installed; only TRL needs it", None)
    take(monkeypatch, mac(versions=VERSIONS | {"mlx-lm": None}))
    told = {one.what: one for one in examine()}
    assert told["mlx-lm"].mend == (told["MLX"].mend or "").removeprefix("Install with: ") == mlx_needs.INSTALL
    take(monkeypatch, mac("x86_64", versions={}))
    told = {one.what: one for one in examine()}
    assert "mlx" not in told
    assert "Intel" in told["MLX"].state


MACHINES = {"Mac": ("darwin", "arm64"), "Intel Mac": ("darwin", "x86_64"), "Linux": ("linux", "x86_64")}


@pytest.mark.parametrize("name", MACHINES)
def test_the_extra_brings_mlx_to_apple_silicon_alone_and_torch_nowhere(name: str) -> None:
    system, machine = MACHINES[name]
    there = {**default_environment(), "sys_platform": system, "platform_machine": machine}
    wanted = [Requirement(one) for one in EXTRAS["mlx"]]
    brought = {one.name for one in wanted if one.marker is None or one.marker.evaluate(there)}
    assert ({"mlx", "mlx-lm"} <= brought) == (name == "Mac")
    assert not brought & {"torch", "trl", "peft", "accelerate", "bitsandbytes"}
    assert {one.name for one in wanted} >= set(mlx_needs.PACKAGES)


def test_the_extras_agree_on_what_they_share() -> None:
    mlx, train = ({Requirement(one).name: one for one in EXTRAS[name]} for name in ("mlx", "train"))
    shared = mlx.keys() & train.keys()
    assert {name: mlx[name] for name in shared} == {name: train[name] for name in shared}
