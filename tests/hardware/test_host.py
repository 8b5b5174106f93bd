"""Processor, memory and control groups on constructed /proc and /sys trees."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kto_tui.hardware.cgroup import oom_kills
from kto_tui.hardware.cpu import detect_cpu
from kto_tui.hardware.memory import detect_memory
from kto_tui.hardware.model import Cpu, Memory
from tests.hardware.answers import GIB, LAPTOP, arm_cpuinfo, linux, mac, macos, meminfo, x86_cpuinfo

NONE = dict.fromkeys(("bf16", "avx512", "amx", "neon"))
NO = dict.fromkeys(NONE, False)


@pytest.mark.parametrize(
    ("text", "model", "features"),
    [
        (x86_cpuinfo("AMD EPYC 9354", "avx512f avx512_bf16"), "AMD EPYC 9354", NO | {"bf16": True, "avx512": True}),
        (
            x86_cpuinfo("Xeon 8480+", "avx512f amx_bf16 amx_tile"),
            "Xeon 8480+",
            dict.fromkeys(NO, True) | {"neon": False},
        ),
        (x86_cpuinfo("Intel Core i5-7200U", ""), "Intel Core i5-7200U", NO),
        (arm_cpuinfo("asimd i8mm bf16"), None, NO | {"neon": True, "bf16": True}),
        (arm_cpuinfo("asimd i8mm"), None, NO | {"neon": True}),
        (arm_cpuinfo("half thumb neon vfpv4"), None, NO | {"neon": True}),
        ("processor\t: 0\nhart\t: 0\nisa\t: rv64imafdc\n", None, NONE),
        ("", None, NONE),
    ],
    ids=["avx512_bf16", "amx", "old-laptop", "arm-bf16", "arm-plain", "armv7", "riscv", "empty"],
)
def test_model_and_features(text: str, model: str | None, features: dict[str, bool | None], tmp_path: Path) -> None:
    cpu = detect_cpu(linux(tmp_path, {"proc/cpuinfo": text}))
    assert cpu.model == model
    assert {name: getattr(cpu, name) for name in features} == features


def test_a_laptop_with_two_threads_a_core(tmp_path: Path) -> None:
    cpu = detect_cpu(linux(tmp_path, LAPTOP))
    assert (cpu.physical_cores, cpu.logical_cores, cpu.usable_cores, cpu.quota_cores) == (2, 4, 4, None)


def test_cores_of_an_arm_server_come_from_the_topology(tmp_path: Path) -> None:
    files = {
        f"sys/devices/system/cpu/cpu{n}/topology/thread_siblings_list": f"{n // 2 * 2}-{n // 2 * 2 + 1}"
        for n in range(4)
    }
    cpu = detect_cpu(linux(tmp_path, {"proc/cpuinfo": arm_cpuinfo("asimd")} | files))
    assert (cpu.physical_cores, cpu.logical_cores) == (2, 4)


def test_nothing_readable_is_all_unknown(tmp_path: Path) -> None:
    sources = linux(tmp_path, {})
    assert detect_cpu(sources) == Cpu(None, None, None, None, None)
    assert detect_memory(sources) == Memory(None, None)


@pytest.mark.parametrize(
    ("listed", "usable"), [("0-3", 4), ("0", 1), ("0-1,3", 3), ("2,4,6", 3), ("nonsense", 8), ("", 8)]
)
def test_affinity(listed: str, usable: int, tmp_path: Path) -> None:
    """proc(5), /proc/pid/status, Cpus_allowed_list."""
    files = {"proc/cpuinfo": x86_cpuinfo("x", "", cores=8), "proc/self/status": f"Cpus_allowed_list:\t{listed}\n"}
    assert detect_cpu(linux(tmp_path, files)).usable_cores == usable


V1 = "sys/fs/cgroup/cpu/docker/ab"
QUOTAS = {
    "none": ({"sys/fs/cgroup/cpu.max": "max 100000\n"}, None, 8),
    "v2": ({"sys/fs/cgroup/a/b/cpu.max": "150000 100000\n"}, 1.5, 2),
    "v2 parent is tighter": (
        {"sys/fs/cgroup/a/b/cpu.max": "400000 100000\n", "sys/fs/cgroup/a/cpu.max": "200000 100000\n"}, 2.0, 2,
    ),
    "v2 as the container sees itself": ({"sys/fs/cgroup/cpu.max": "300000 100000\n"}, 3.0, 3),
    "v2 less than a core": ({"sys/fs/cgroup/a/b/cpu.max": "20000 100000\n"}, 0.2, 1),
    "v2 more than there is": ({"sys/fs/cgroup/a/b/cpu.max": "6400000 100000\n"}, 64.0, 8),
    "v1": ({f"{V1}/cpu.cfs_quota_us": "250000\n", f"{V1}/cpu.cfs_period_us": "100000\n"}, 2.5, 3),
    "v1 none": ({f"{V1}/cpu.cfs_quota_us": "-1\n", f"{V1}/cpu.cfs_period_us": "100000\n"}, None, 8),
    "hybrid": ({"sys/fs/cgroup/unified/a/b/cpu.max": "200000 100000\n"}, 2.0, 2),
    "broken": ({"sys/fs/cgroup/a/b/cpu.max": "lots\n"}, None, 8),
}  # fmt: skip


@pytest.mark.parametrize("name", QUOTAS)
def test_cpu_bandwidth_of_the_own_group_and_those_above(name: str, tmp_path: Path) -> None:
    """Linux kernel, Documentation/admin-guide/cgroup-v2 (cpu.max) and scheduler/sched-bwc (cpu.cfs_quota_us)."""
    files, quota, usable = QUOTAS[name]
    own = {"proc/self/cgroup": "4:cpu,cpuacct:/docker/ab\n0::/a/b\n", "proc/cpuinfo": x86_cpuinfo("x", "", cores=8)}
    cpu = detect_cpu(linux(tmp_path, own | files))
    assert (cpu.quota_cores, cpu.usable_cores) == (quota, usable)


HOST = {"proc/meminfo": meminfo(16 * GIB, 12 * GIB, 4 * GIB, 3 * GIB)}
GROUP = {"proc/self/cgroup": "9:memory:/docker/ab\n0::/pod/box\n"}
V1_NAMES = ("memory.limit_in_bytes", "memory.usage_in_bytes")
V2_NAMES = ("memory.max", "memory.current")
FOLDERS = {
    "v2 own group": ("sys/fs/cgroup/pod/box", V2_NAMES),
    "v2 group above": ("sys/fs/cgroup/pod", V2_NAMES),
    "v2 root of the container": ("sys/fs/cgroup", V2_NAMES),
    "v1 own group": ("sys/fs/cgroup/memory/docker/ab", V1_NAMES),
    "v1 root of the container": ("sys/fs/cgroup/memory", V1_NAMES),
}


def test_a_host_without_limit(tmp_path: Path) -> None:
    files = {
        "sys/fs/cgroup/pod/box/memory.max": "max\n",
        "sys/fs/cgroup/pod/box/memory.current": f"{4 * GIB}\n",
        "sys/fs/cgroup/memory/docker/ab/memory.limit_in_bytes": "9223372036854771712\n",  # version 1's "none"
        "sys/fs/cgroup/memory/docker/ab/memory.memsw.limit_in_bytes": "9223372036854771712\n",
    }
    memory = detect_memory(linux(tmp_path, HOST | GROUP | files))
    assert memory == Memory(16 * GIB, 12 * GIB, False, 4 * GIB, 3 * GIB)


@pytest.mark.parametrize("where", FOLDERS)
def test_a_container_of_4_gib(where: str, tmp_path: Path) -> None:
    """cgroup-v2 (memory.max, memory.current) and cgroup-v1/memory (memory.limit_in_bytes, memory.usage_in_bytes)."""
    folder, (limit, used) = FOLDERS[where]
    files = {f"{folder}/{limit}": f"{4 * GIB}\n", f"{folder}/{used}": f"{1 * GIB}\n"}
    memory = detect_memory(linux(tmp_path, HOST | GROUP | files))
    assert (memory.total_bytes, memory.available_bytes, memory.limited_by_cgroup) == (4 * GIB, 3 * GIB, True)


@pytest.mark.parametrize("where", FOLDERS)
def test_file_cache_of_a_container_counts_as_available(where: str, tmp_path: Path) -> None:
    folder, (limit, used) = FOLDERS[where]
    stat = "anon 1\ninactive_file {}\n" if limit == "memory.max" else "inactive_file 0\ntotal_inactive_file {}\n"
    files = {
        f"{folder}/{limit}": f"{4 * GIB}\n",
        f"{folder}/{used}": f"{4 * GIB}\n",
        f"{folder}/memory.stat": stat.format(3 * GIB),
    }
    assert detect_memory(linux(tmp_path, HOST | GROUP | files)).available_bytes == 3 * GIB


def test_the_tightest_group_decides(tmp_path: Path) -> None:
    files = {
        "sys/fs/cgroup/pod/box/memory.max": f"{8 * GIB}\n",
        "sys/fs/cgroup/pod/box/memory.current": f"{1 * GIB}\n",
        "sys/fs/cgroup/pod/memory.max": f"{10 * GIB}\n",
        "sys/fs/cgroup/pod/memory.current": f"{9 * GIB}\n",
    }
    memory = detect_memory(linux(tmp_path, HOST | GROUP | files))
    assert (memory.total_bytes, memory.available_bytes) == (8 * GIB, 1 * GIB)


KILLS = {
    "v2": ("memory.events", "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n"),
    "v1": ("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"),
}


@pytest.mark.parametrize("where", FOLDERS)
def test_kills_for_lack_of_memory_are_those_of_the_nearest_group(where: str, tmp_path: Path) -> None:
    """cgroup-v2 (memory.events) and cgroup-v1/memory (memory.oom_control); not /proc/vmstat, which is the host's."""
    folder, _ = FOLDERS[where]
    file, content = KILLS[where[:2]]
    host = {"proc/vmstat": "oom_kill 99\n"}
    assert oom_kills(linux(tmp_path, HOST | GROUP | host | {f"{folder}/{file}": content})) == 2


@pytest.mark.parametrize("content", [None, "", "oom 3\n", "oom_kill many\n"])
def test_kills_that_nothing_counts_are_unknown(content: str | None, tmp_path: Path) -> None:
    files = {} if content is None else {"sys/fs/cgroup/pod/box/memory.events": content}
    assert oom_kills(linux(tmp_path, HOST | GROUP | files)) is None


def test_a_group_above_the_containers_root_is_not_followed(tmp_path: Path) -> None:
    """cgroup_namespaces(7): a process outside the namespace's root shows a path that begins with /.."""
    files = {
        "proc/self/cgroup": "0::/../other\n",
        "sys/fs/cgroup/memory.max": f"{4 * GIB}\n",
        "sys/fs/other/memory.max": "1\n",
    }
    assert detect_memory(linux(tmp_path, HOST | files)).total_bytes == 4 * GIB


def test_available_never_exceeds_the_limit(tmp_path: Path) -> None:
    memory = detect_memory(linux(tmp_path, HOST | GROUP | {"sys/fs/cgroup/pod/memory.max": f"{4 * GIB}\n"}))
    assert (memory.total_bytes, memory.available_bytes) == (4 * GIB, 4 * GIB)


@pytest.mark.parametrize(
    ("files", "swap"),
    [
        ({"sys/fs/cgroup/pod/memory.swap.max": "0\n"}, (0, 0)),
        ({"sys/fs/cgroup/pod/memory.swap.max": "max\n"}, (4 * GIB, 3 * GIB)),
        (
            {
                "sys/fs/cgroup/memory/docker/ab/memory.limit_in_bytes": f"{2 * GIB}\n",
                "sys/fs/cgroup/memory/docker/ab/memory.memsw.limit_in_bytes": f"{3 * GIB}\n",
            },
            (1 * GIB, 1 * GIB),
        ),
    ],
    ids=["v2 none", "v2 all", "v1"],
)
def test_swap_of_a_container(files: dict[str, str], swap: tuple[int, int], tmp_path: Path) -> None:
    memory = detect_memory(linux(tmp_path, HOST | GROUP | files))
    assert (memory.swap_total_bytes, memory.swap_free_bytes) == swap


@given(
    proc=st.dictionaries(st.sampled_from(sorted(LAPTOP)), st.text(max_size=60)),
    lost=st.sets(st.sampled_from(sorted(LAPTOP))),
)
def test_whatever_proc_says_nothing_is_raised_and_nothing_unknown_is_0(
    proc: dict[str, str], lost: set[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    files = {path: text for path, text in (LAPTOP | proc).items() if path not in lost}
    root = tmp_path_factory.mktemp("root")
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(text.encode("utf-8", "surrogatepass"))
    sources = linux(root, {})
    cpu, memory = detect_cpu(sources), detect_memory(sources)
    counts = (cpu.physical_cores, cpu.logical_cores, cpu.usable_cores)
    assert all(count is None or count >= 1 for count in counts)
    if "proc/meminfo" in lost:
        assert (memory.total_bytes, memory.swap_total_bytes) == (None, None)


@pytest.mark.parametrize("lost", ["sysctl", "vm_stat", "ioreg"])
def test_a_mac_command_that_fails_leaves_its_facts_unknown(lost: str) -> None:
    answers = mac("Apple M4", 24, 10, 4, 10)
    del answers[lost]
    cpu, memory = detect_cpu(macos(answers)), detect_memory(macos(answers))
    assert (cpu.model is None) == (cpu.usable_cores is None) == (memory.total_bytes is None) == (lost == "sysctl")
    assert (memory.available_bytes is None) == (lost == "vm_stat")
