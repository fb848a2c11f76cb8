"""Templates -> a program's own configuration files, by Jinja2."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lute.base.files import written_aside
from lute.errors import TemplateError, did_you_mean

if TYPE_CHECKING:
    import jinja2


def template_folders(yaml_file: str | None, plugin_folders: Iterable[str]) -> list[str]:
    """Returns the folders looked at, in order; environment read: `LUTE_PATH`."""
    folders = [str(Path(yaml_file).absolute().parent / "templates")] if yaml_file else []
    folders += [str(Path(folder) / "templates") for folder in plugin_folders]
    if os.environ.get("LUTE_PATH"):
        folders.append(str(Path(os.environ["LUTE_PATH"]) / "config" / "templates"))
    return list(dict.fromkeys(folders))


def _environment(folders: Sequence[str]) -> jinja2.Environment:
    import jinja2
    from jinja2.sandbox import SandboxedEnvironment  # a template is data: it reaches no Python and no shell

    loader = jinja2.FileSystemLoader(folders, encoding="utf-8")
    return SandboxedEnvironment(loader=loader, undefined=jinja2.StrictUndefined, keep_trailing_newline=True)


def render(name: str, folders: Sequence[str], context: dict[str, Any]) -> str:
    """Returns a template filled in.

    Raises:
        TemplateError: The template, one it includes, or a variable is missing, or it is no Jinja2.
    """
    import jinja2

    try:
        return _environment(folders).get_template(name).render(context)
    except jinja2.TemplateNotFound as error:
        raise _not_found(str(error.name), folders) from error
    except jinja2.UndefinedError as error:
        known = did_you_mean(str(error.message).split("'")[1:2][0] if "'" in str(error.message) else "", context)
        raise TemplateError(
            f"template {name!r}: {error.message}. It was given: {', '.join(sorted(context)) or 'nothing'}.{known}"
        ) from error
    except jinja2.TemplateSyntaxError as error:
        raise TemplateError(f"template {error.filename or name}, line {error.lineno}: {error.message}") from error
    except Exception as error:
        raise TemplateError(f"template {name!r} could not be filled in: {type(error).__name__}: {error}") from error


def _not_found(name: str, folders: Sequence[str]) -> TemplateError:
    there = {file.name for folder in folders if os.path.isdir(folder) for file in os.scandir(folder)}
    looked = ", ".join(folders) or "no folder: put it into templates/ beside the YAML"
    return TemplateError(f"template {name!r} was not found. Looked in {looked}.{did_you_mean(name, there)}")


def variables(name: str, folders: Sequence[str]) -> set[str]:
    """Returns the variables that a template and those it includes use.

    Raises:
        TemplateError: One of them is missing or is no Jinja2.
    """
    import jinja2
    from jinja2 import meta

    environment = _environment(folders)
    loader = environment.loader
    assert loader is not None
    found: set[str] = set()
    waiting, seen = [name], set()
    while waiting:
        current = waiting.pop()
        if current in seen:
            continue
        seen.add(current)
        try:
            tree = environment.parse(loader.get_source(environment, current)[0], current)
        except jinja2.TemplateNotFound as error:
            if current != name:
                continue  # it may be one of several to choose from; rendering tells
            raise _not_found(current, folders) from error
        except UnicodeDecodeError as error:
            raise TemplateError(f"template {current} is not UTF-8: {error}") from error
        except jinja2.TemplateSyntaxError as error:
            raise TemplateError(f"template {current}, line {error.lineno}: {error.message}") from error
        found |= meta.find_undeclared_variables(tree)
        waiting += [reference for reference in meta.find_referenced_templates(tree) if reference]
    return found


def write(text: str, output_path: str) -> None:
    """Writes a rendered template as UTF-8, aside first and then in place.

    Raises:
        TemplateError: The file cannot be written.
    """
    try:
        with written_aside(Path(output_path)) as file:
            file.write(text.encode("utf-8"))
    except OSError as error:
        raise TemplateError(f"the template's output {output_path} cannot be written: {error.strerror}") from error
