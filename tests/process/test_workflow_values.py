"""What steps give each other: any text arrives as it was, and any key can be asked for."""

from __future__ import annotations

from typing import Any

import pytest

from conftest import Project
from process.flows import Flow, dumped

ODD = [
    "a{{b}}c",
    "{{ run }}.txt",
    "{{",
    "}}",
    "{{{{ $HOME }}",
    "{% raw %}",
    '{{ "{{" }}',
    "$HOME `id` 'q' \"d\" \\u0041",
    "tab\tline\nend",
    "é漢😀",
    " 08 ",
    "null",
    "[1, 2]",
]


def payloads(flow: Flow) -> dict[str, Any]:
    """What each step gave."""
    return {run["step"]: run["payload"] for run in flow.history()}


def test_what_a_step_gave_is_taken_as_it_is(flow: Flow) -> None:
    """B3: braces in a result are text: they are not substituted again, in no step after, nor within other text."""
    (flow.folder / "odd.py").write_text(
        "from lute import Executor, task\n@task\ndef odd() -> list:\n"
        f"    return [{ODD!r}, {{'a.b': {{'{{{{ run }}}}': 'in'}}}}]\nOdd = Executor('Odd')\n"
    )
    flow.project.config("{}", "").write_text(
        (flow.folder / "config.yaml").read_text().replace("[tasks.py]", "[tasks.py, odd.py]")
    )
    flow.steps(
        """
        odd: Odd
        all: { task: Giver, needs: odd, parameters: { value: "{{ steps.odd.result }}" } }
        each: { task: Giver, needs: odd, foreach: "{{ steps.odd.result[0] }}", parameters: { value: "{{ item }}" } }
        within: { task: Giver, needs: odd, foreach: "{{ steps.odd.result[0] }}", parameters: { value: "<{{ item }}>" } }
        join: { task: Giver, needs: each, parameters: { value: "{{ steps.each.result }}" } }
        key: { task: Giver, needs: odd, parameters: { value: "{{ steps.odd.result[1]['a.b'] }}" } }
        """
    )
    flow.run("-j", "2")
    given = payloads(flow)
    assert given["all"] == [ODD, {"a.b": {"{{ run }}": "in"}}]
    assert [given[f"each[{number}]"] for number in range(len(ODD))] == ODD
    assert [given[f"within[{number}]"] for number in range(len(ODD))] == [f"<{text}>" for text in ODD]
    assert given["join"] == ODD
    assert given["key"] == {"{{ run }}": "in"}


def test_files_with_braces_in_their_names(flow: Flow) -> None:
    """B3: `foreach` over files gives each program its file, whatever its name."""
    names = sorted(f"in/{name}.txt" for name in ["a{{b}}c", "{{ run }}", "{{", "😀", "a'b\"c", "two\nlines"])
    for name in names:
        flow.project.write(name, name)
    flow.steps(
        """
        copy:
          task: Writer
          foreach: { files: in/*.txt }
          parameters: { in_file: "{{ item }}", out_file: "{{ item }}.out" }
        """
    )
    row = flow.run()
    assert set(row["states"].values()) == {"COMPLETED"}
    assert [flow.text(f"{name}.out") for name in names] == [f"{flow.text(name)}text\n" for name in names]


def test_a_file_with_braces_in_a_tasklet(project: Project) -> None:
    """A4: a parameter's value goes into a tasklet's arguments as it is."""
    project.write(
        "tasks.py",
        """
        from lute import Executor, ThirdPartyParameters
        def tell(text): print("told", text)
        class NothingParameters(ThirdPartyParameters):
            executable: str = "true"
            name: str = ""
        Nothing = Executor("Nothing")
        Nothing.add_tasklet(tell, ["{{ name }}"], when="after")
        """,
    )
    project.config("""Nothing: { name: 'a{{ "{{" }}b}}' }""")
    row = project.run_task("Nothing")
    assert row["status"] == "COMPLETED", row


@pytest.mark.parametrize("key", ["a.b", "my-key", "two words", "{{ x }}", "it's", "['q']", "0", ""])
def test_any_key_of_a_result_can_be_asked_for(flow: Flow, key: str) -> None:
    """B3: in parameters and conditions a key of any text stands in quotes, as Python has them."""
    quoted = repr(key).replace("{", r"\x7b").replace("}", r"\x7d")
    path = f"steps.give.result[{quoted}]"
    value = dumped({key: 3}).replace("{{", '{{ \\"{{\\" }}')
    flow.steps(
        f"""
        give: {{ task: Giver, parameters: {{ value: {value} }} }}
        take: {{ task: Giver, needs: give, parameters: {{ value: {dumped("{{ " + path + " }}")} }} }}
        when: {{ task: Giver, needs: give, when: {dumped(path + " == 3")}, parameters: {{ value: 1 }} }}
        braces: {{ task: Giver, needs: give, when: {dumped("{{ " + path + " }} == 3")}, parameters: {{ value: 1 }} }}
        never: {{ task: Giver, needs: give, when: {dumped(path + " > 3")} }}
        """
    )
    row = flow.run()
    assert row["states"] == {
        "give": "COMPLETED",
        "take": "COMPLETED",
        "when": "COMPLETED",
        "braces": "COMPLETED",
        "never": "SKIPPED",
    }
    assert payloads(flow)["take"] == 3


def test_no_secret_is_kept_or_told(flow: Flow) -> None:
    """B5: a secret of the environment is in no setting, reason, page or message; resuming asks for it again."""
    secret = "tok-12345678"
    flow.project.env["MY_TOKEN"] = secret
    flow.steps(
        """
        one: Shell
        each:
          { task: Giver, foreach: [x], timeout: 5, needs: one, parameters: { "wait": ["{{ $MY_TOKEN }}{{ item }}"] } }
        """
    )
    row = flow.run("-s", f"Sh.code=test -e go # {secret}", code=1)
    outcome = flow.lute("run", "--resume", row["id"], "--json")
    assert outcome.code == 2
    assert "give --set Sh.code=..." in outcome.json["error"]
    flow.project.write("go", "")
    resumed = flow.run("--resume", row["id"], "-s", f"Sh.code=test -e go # {secret}", file="", code=1)
    assert resumed["states"]["one"] == "COMPLETED"
    assert resumed["states"]["each[0]"] == "FAILED"
    assert "***x" in str(resumed["steps"])
    wrong = flow.lute("run", "flow.yaml", "--json", "-s", f"Sh.flag=[{secret}]")
    assert wrong.code == 2
    assert "***" in wrong.json["error"]
    told = [str(row), str(resumed), outcome.out, outcome.err, wrong.out, wrong.err]
    kept = [path.read_bytes() for path in flow.folder.rglob("*") if path.is_file()]
    assert not [text for text in told if secret in text]
    assert not [text for text in kept if secret.encode() in text]


def test_a_secret_in_a_setting_is_refused_where_steps_read_it_from_the_record(flow: Flow) -> None:
    """B5: steps that others run would get `***`: it is told before anything is recorded, and what to write instead."""
    flow.project.env["MY_TOKEN"] = "tok-12345678"
    flow.steps("one: Shell")
    outcome = flow.lute("start", "flow.yaml", "--json", "-s", "Sh.code=true tok-12345678")
    assert outcome.code == 2
    assert "{{ $NAME }}" in outcome.json["error"]
    assert flow.lute("list").out == ""
    assert flow.lute("start", "flow.yaml", "--json", "-s", "Sh.code=true {{ $MY_TOKEN }}").code == 0
