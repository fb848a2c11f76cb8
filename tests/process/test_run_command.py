"""`lute run`, from YAML to record, with real child processes."""

from __future__ import annotations

from conftest import Project

PLUGIN = """
    from lute import Executor, Task, TaskParameters

    class HelloParameters(TaskParameters):
        name: str = "world"

    class Hello(Task):
        def _run(self):
            print("hello", self._task_parameters.name)
            self._result.payload = {"greeted": self._task_parameters.name}
            self._result.summary = "done"

    Greeter = Executor("Hello")
"""


def test_json_of_run_has_the_keys_people_read(project: Project) -> None:
    """B: `--json` of `run` prints one object with fixed keys."""
    project.write("tasks.py", PLUGIN)
    project.config("Hello: {name: Ada}")
    found = project.run_task("Greeter")
    assert found["returncode"] == 0
    assert (found["status"], found["managed_task"], found["task"]) == ("COMPLETED", "Greeter", "Hello")
    assert found["payload"] == {"greeted": "Ada"}
    assert (project.folder / found["log"]).read_text() == "hello Ada\n"
