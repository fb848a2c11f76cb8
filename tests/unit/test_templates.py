"""Templates: where they are looked for, what is missing, and what is written."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import Project
from lute import AnalysisHeader, TemplateConfig, ThirdPartyParameters, ThirdPartyTask, plugins
from lute.base import modules
from lute.errors import TemplateError


class RenderedParameters(ThirdPartyParameters):
    """A program with a template."""

    executable: str = "program"
    lute_template_cfg: TemplateConfig


class NoTemplateParameters(ThirdPartyParameters):
    """A program without one."""

    executable: str = "program"


@pytest.fixture(autouse=True)
def _no_timer() -> Iterator[None]:
    """The interval timer that a Task starts ends with its test."""
    before = signal.getsignal(signal.SIGALRM)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


class Folders:
    """The three folders of templates, and a Task that looks in them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.places = {
            "yaml": root / "project" / "templates",
            "plugin": root / "plugin" / "templates",
            "path": root / "installed" / "config" / "templates",
        }
        for place in self.places.values():
            place.mkdir(parents=True)
        self.output = root / "project" / "out.cfg"

    def put(self, place: str, text: str, name: str = "main.cfg") -> Path:
        """Writes a template."""
        path = self.places[place] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
        return path

    def render(self, name: str = "main.cfg", **context: Any) -> str:
        """Does what a Task does before it runs. Returns what it wrote."""
        config = TemplateConfig(template_name=name, output_path=str(self.output))
        header = AnalysisHeader(work_dir=str(self.root))
        task = ThirdPartyTask(params=RenderedParameters(lute_config=header, lute_template_cfg=config, **context))
        assert not self.output.exists()
        task._pre_run()
        assert task._args_list == ["program"]
        return self.output.read_bytes().decode("utf-8")


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folders:
    """Three empty folders of templates: beside the YAML, a plug-in's, and `lute`'s own."""
    made = Folders(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(modules, "_loaded", {})
    plugin = tmp_path / "plugin" / "plugin_with_templates.py"
    plugin.write_text("", encoding="utf-8")
    plugins.load(str(plugin))
    monkeypatch.setenv("LUTE_CONFIGPATH", str(tmp_path / "project" / "config.yaml"))
    monkeypatch.setenv("LUTE_PATH", str(tmp_path / "installed"))
    return made


# ------------------------------------------------------------------------------------- where


@pytest.mark.parametrize(
    ("there", "wanted"),
    [
        (["yaml", "plugin", "path"], "yaml"),
        (["plugin", "path"], "plugin"),
        (["yaml", "path"], "yaml"),
        (["path"], "path"),
        (["plugin"], "plugin"),
    ],
)
def test_folders_are_looked_at_in_order(there: list[str], wanted: str, folders: Folders) -> None:
    """A3: `templates/` beside the YAML, then each plug-in's, then `$LUTE_PATH/config/templates`."""
    for place in there:
        folders.put(place, f"{place} {{{{ x }}}}")
    assert folders.render(x=1) == f"{wanted} 1"


def test_plugins_are_looked_at_in_the_order_they_were_loaded(folders: Folders) -> None:
    """A3: each plug-in's `templates/`, the first loaded first."""
    second = folders.root / "second"
    (second / "templates").mkdir(parents=True)
    (second / "plugin_number_two.py").write_text("", encoding="utf-8")
    plugins.load(str(second / "plugin_number_two.py"))
    (second / "templates" / "main.cfg").write_text("second {{ x }}", encoding="utf-8")
    assert folders.render(x=1) == "second 1"
    folders.output.unlink()
    folders.put("plugin", "first {{ x }}")
    assert folders.render(x=1) == "first 1"


@pytest.mark.parametrize("place", ["yaml", "plugin"])
def test_lute_path_may_be_unset(place: str, folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    """A3: `LUTE_PATH` unset is no error."""
    monkeypatch.delenv("LUTE_PATH")
    folders.put(place, "{{ x }}")
    assert folders.render(x="a") == "a"


def test_lute_path_unset_and_no_template_names_the_template(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    """A3: the error is about the template, not about `LUTE_PATH`."""
    monkeypatch.delenv("LUTE_PATH")
    with pytest.raises(TemplateError, match=r"main\.cfg"):
        folders.render(x=1)


def test_a_folder_that_is_not_there_is_passed_over(folders: Folders) -> None:
    """A3: a place without a `templates/` is no error."""
    folders.places["yaml"].rmdir()
    folders.places["plugin"].rmdir()
    folders.put("path", "{{ x }}")
    assert folders.render(x="a") == "a"


def test_templates_may_stand_in_folders(folders: Folders) -> None:
    """A3: a template's name may have a folder in it."""
    folders.put("plugin", "{{ x }}", name="crystfel/geom.in")
    assert folders.render("crystfel/geom.in", x="a") == "a"


@pytest.mark.parametrize("where", ["yaml", "plugin", "path"])
def test_includes_are_looked_for_in_all_folders(where: str, folders: Folders) -> None:
    """A3: what a template includes may be in another of the folders."""
    folders.put("plugin", "{% include 'part.cfg' %}/{{ x }}")
    folders.put(where, "part of {{ y }}", name="part.cfg")
    assert folders.render(x=1, y=2) == "part of 2/1"


# ------------------------------------------------------------------------------------- what is missing


def test_a_missing_template_is_named(folders: Folders) -> None:
    """A3: a template that is missing is an error that names it; nothing is written."""
    with pytest.raises(TemplateError, match=r"main\.cfg"):
        folders.render(x=1)
    assert not folders.output.exists()


def test_a_misspelt_template_gets_the_nearest_name(folders: Folders) -> None:
    """B: a misspelt one gets the nearest name."""
    folders.put("plugin", "{{ x }}", name="mian.cfg")
    with pytest.raises(TemplateError, match=r"'mian\.cfg'"):
        folders.render(x=1)


def test_a_missing_include_is_named(folders: Folders) -> None:
    """A3: a missing template is named also where another one includes it."""
    folders.put("yaml", "{{ x }}{% include 'part.cfg' %}")
    with pytest.raises(TemplateError, match=r"part\.cfg"):
        folders.render(x=1)


@pytest.mark.parametrize(
    "text",
    [
        "{{ missing_one }}",
        "{{ x }} {{ missing_one }}",
        "{{ missing_one.deeper }}",
        "{% for item in missing_one %}{{ item }}{% endfor %}",
        "{% if missing_one %}yes{% endif %}",
        "{{ missing_one + 1 }}",
        "{{ missing_one | upper }}",
        "{{ x.missing_one }}",
    ],
)
def test_a_missing_variable_is_named(text: str, folders: Folders) -> None:
    """A3: a variable that is missing is an error that names it and its template; nothing is written."""
    folders.put("yaml", text)
    with pytest.raises(TemplateError, match="missing_one") as caught:
        folders.render(x={"there": 1})
    assert "main.cfg" in str(caught.value)
    assert not folders.output.exists()


def test_what_has_a_default_is_not_missing(folders: Folders) -> None:
    """A3: `default(...)` and `is defined` are how a template says that a variable may be missing."""
    folders.put("yaml", "{{ missing_one | default('none') }}{% if missing_one is defined %}!{% endif %} {{ x }}")
    assert folders.render(x=1) == "none 1"


@pytest.mark.parametrize("text", ["{{ x", "{% if x %}", "{{ x | no_such_filter }}", "{% endfor %}"])
def test_a_wrong_template_is_an_error_that_names_it(text: str, folders: Folders) -> None:
    """A3: a template that is no template is an error of ours, naming it."""
    folders.put("yaml", text)
    with pytest.raises(TemplateError, match=r"main\.cfg"):
        folders.render(x=1)


# ------------------------------------------------------------------------------------- what is written


@pytest.mark.parametrize(
    ("text", "value", "wanted"),
    [
        ("{{ x }}", 0, "0"),
        ("{{ x }}", False, "False"),
        ("{{ x }}", "", ""),
        ("{{ x }}", None, "None"),
        ("{{ x }}", 1e-6, "1e-06"),
        ("{{ x }}", [1, 2], "[1, 2]"),
        ("{{ x }}", "<a> & 'b' \"c\"", "<a> & 'b' \"c\""),
        ("{{ x }}", "{{ y }}", "{{ y }}"),
        ("{{ x.a.b }}", {"a": {"b": "deep"}}, "deep"),
        ("{% for i in x %}{{ i }};{% endfor %}", ["a", "b"], "a;b;"),
        ("a\nb {{ x }}\n", 1, "a\nb 1\n"),
        ("Ångström {{ x }} 結晶", "µ", "Ångström µ 結晶"),
    ],
)
def test_values_are_rendered_as_they_are(text: str, value: Any, wanted: str, folders: Folders) -> None:
    """A3: templates are rendered as UTF-8 text, nothing escaped and nothing lost."""
    folders.put("yaml", text)
    assert folders.render(x=value) == wanted


def test_the_output_is_written_again(folders: Folders) -> None:
    """A3: a rendered file replaces the one of the last run."""
    folders.put("yaml", "{{ x }}")
    assert folders.render(x="a long first text") == "a long first text"
    folders.output.unlink()
    folders.output.write_text("the much longer file of the last run", encoding="utf-8")
    config = TemplateConfig(template_name="main.cfg", output_path=str(folders.output))
    header = AnalysisHeader(work_dir=str(folders.root))
    ThirdPartyTask(params=RenderedParameters(lute_config=header, lute_template_cfg=config, x="b"))._pre_run()
    assert folders.output.read_text(encoding="utf-8") == "b"


def test_an_empty_context_renders_nothing(folders: Folders) -> None:
    """A3: an empty context renders nothing, also where the template is missing."""
    config = TemplateConfig(template_name="main.cfg", output_path=str(folders.output))
    params = RenderedParameters(lute_config=AnalysisHeader(work_dir=str(folders.root)), lute_template_cfg=config)
    ThirdPartyTask(params=params)._pre_run()
    folders.put("yaml", "constant")
    ThirdPartyTask(params=params)._pre_run()
    assert not folders.output.exists()


def test_a_model_without_a_template_renders_nothing(folders: Folders) -> None:
    """A3: only a model with `lute_template_cfg` renders."""
    task = ThirdPartyTask(params=NoTemplateParameters(lute_config=AnalysisHeader(work_dir=str(folders.root)), x=1))
    task._pre_run()
    assert task._template_context == {"x": 1}


def test_a_subclass_may_add_variables(folders: Folders) -> None:
    """A3: what a subclass adds to the context before `super()._pre_run()` is rendered."""
    folders.put("yaml", "{{ x }} {{ added }}")

    class Adding(ThirdPartyTask):
        def _pre_run(self) -> None:
            self._add_to_jinja_context(param_name="added", value=[1])
            super()._pre_run()

    config = TemplateConfig(template_name="main.cfg", output_path=str(folders.output))
    header = AnalysisHeader(work_dir=str(folders.root))
    Adding(params=RenderedParameters(lute_config=header, lute_template_cfg=config, x=1))._pre_run()
    assert folders.output.read_text(encoding="utf-8") == "1 [1]"


# ------------------------------------------------------------------------------------- the real command


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_the_template_is_there_before_the_program_starts(locale: str, project: Project) -> None:
    """A3: the template beside the YAML is rendered as UTF-8 before the program starts, whatever the locale."""
    project.plugin("templated")
    project.write("templates/show.cfg", "d_min = {{ d_min }} Å {{ label }}\n")
    project.config("Show: {d_min: 1.5, label: '{{ experiment }} 結晶'}")
    found = project.run_task("Shower", env={"LC_ALL": locale, "PYTHONUTF8": "0"})
    assert found["status"] == "COMPLETED", found
    assert "d_min = 1.5 Å exp1 結晶\n" in Path(found["log"]).read_text(encoding="utf-8")


def test_a_dry_run_shows_the_template_and_writes_none(project: Project) -> None:
    """B: `--dry-run` shows rendered templates and starts nothing."""
    project.plugin("templated")
    project.write("templates/show.cfg", "d_min = {{ d_min }}\n")
    project.config("Show: {d_min: 1.5}")
    outcome = project.lute("run", "Shower", "-c", "config.yaml", "--dry-run")
    assert (outcome.code, "d_min = 1.5" in outcome.out) == (0, True), outcome
    assert "cat shown.cfg" in outcome.out
    assert not (project.folder / "shown.cfg").exists()


@pytest.mark.parametrize(
    ("template", "named"),
    [(None, "show.cfg"), ("{{ d_min }} {{ d_max }}", "d_max")],
    ids=["template", "variable"],
)
def test_what_is_missing_is_told_by_check(template: str | None, named: str, project: Project) -> None:
    """A3: a template or variable that is missing is an error that names it, before anything starts."""
    project.plugin("templated")
    if template is not None:
        project.write("templates/show.cfg", template)
    project.config("Show: {d_min: 1.5}")
    outcome = project.lute("check", "-c", "config.yaml")
    assert outcome.code != 0
    assert named in outcome.out, outcome
    ran = project.lute("run", "Shower", "-c", "config.yaml", "-q")
    assert ran.code in (1, 2)
    assert named in ran.out + ran.err, ran
    assert not (project.folder / "shown.cfg").exists()
