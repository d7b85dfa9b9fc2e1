"""The command `millrace`: one verb a function. What is heavy is imported by the verb that needs it."""

from __future__ import annotations

import contextlib
import difflib
import sys
import traceback
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer.core import TyperGroup

from components.errors import UserError
from pipelines import terminal
from pipelines.cli import (
    cluster,
    dashboard,
    data,
    demo,
    evaluate,
    init,
    journey,
    models,
    past_runs,
    planning,
    runs,
    tasks,
)

if TYPE_CHECKING:
    pass

_INTERRUPTED: Final = 130


class _ListsByDefault(TyperGroup):
    """`millrace runs mnist` means `millrace runs list mnist`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or args[0] not in (*self.commands, *ctx.help_option_names):
            _refuse_misspelled(str(ctx.info_name), self.commands, args)
            args = ["list", *args]
        return super().parse_args(ctx, args)


def _refuse_misspelled(group: str, verbs: Iterable[str], args: Sequence[str]) -> None:
    """Raises UserError for a word that is no task, but nearly a verb: `millrace runs shwo latest`."""
    near = difflib.get_close_matches(args[0], verbs, 1) if args else []
    if near:
        from pipelines.tasks import task_names

        if args[0].replace("-", "_") not in task_names():
            raise UserError(f"no such command '{group} {args[0]}'; did you mean '{group} {near[0]}'?")


app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["--help", "-h"]},
)
tasks_app = typer.Typer(cls=_ListsByDefault)
data_app = typer.Typer(no_args_is_help=True)
runs_app = typer.Typer(cls=_ListsByDefault)
app.add_typer(tasks_app, name="tasks", help="The tasks: `tasks`, or `tasks show TASK`.")
app.add_typer(data_app, name="data", help="Get the raw data of a task, and look at them.")
app.add_typer(runs_app, name="runs", help="Past runs: `runs [TASK]`, or a verb and an ID.")


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"millrace {version('millrace')}")
        raise typer.Exit


@app.callback(help="Raw data in, a served model you can trust out.")
def _global_options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks and everybody's log.")] = False,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version.")
    ] = False,
) -> None:
    pass


app.command()(init.init)
tasks_app.command("list")(tasks.tasks_list)
tasks_app.command("show")(tasks.tasks_show)
app.command()(planning.plan)
app.command()(runs.run)
app.command()(demo.demo)
app.command()(runs.retrain)
data_app.command("fetch")(data.data_fetch)
data_app.command("make")(data.data_make)
data_app.command("show")(data.data_show)
runs_app.command("list")(runs.runs_list)
runs_app.command("show")(runs.runs_show)
runs_app.command("compare")(past_runs.runs_compare)
runs_app.command("rm")(past_runs.runs_rm)
app.command()(past_runs.clean)
app.command()(past_runs.logs)
app.command()(evaluate.evaluate)
app.command("models")(models.list_models)
app.command()(models.card)
app.command()(models.rollback)
# What is an option of a verb itself depends on the task, or on the server.
_OPEN: Final = {"allow_extra_args": True, "ignore_unknown_options": True}
app.command(context_settings=_OPEN)(models.predict)
app.command(context_settings=_OPEN)(models.serve)
app.command()(dashboard.ui)
app.command()(journey.show)
app.command("compile")(cluster.compile_)
app.command()(cluster.submit)
app.command()(cluster.schedule)
app.command()(cluster.schedules)
app.command()(cluster.unschedule)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command line and exits: 0 done, 1 failure, 2 the user's mistake, 130 interrupted."""
    terminal.prepare()
    given = list(sys.argv[1:] if arguments is None else arguments)
    end = given.index("--") if "--" in given else len(given)
    options = given[:end]
    debug = "--debug" in options
    # A global option, but the place where one adds it to a command that failed is the end.
    ordered = [option for option in options if option != "--debug"] + given[end:]
    sys.exit(_run([*(["--debug"] if debug else []), *ordered], debug, "--json" in options))


def _run(arguments: list[str], debug: bool, as_json: bool) -> int:
    command = typer.main.get_command(app)
    try:
        # What is no number is a verb that returned.
        result = command.main(arguments, prog_name="millrace", standalone_mode=False, obj=arguments)
        sys.stdout.flush()
    except typer.TyperException as error:
        return _report_usage(error, as_json)
    except Exception as error:
        return _report_error(error, debug, as_json)
    if result == _INTERRUPTED:
        _print_json_error("interrupted", _INTERRUPTED, as_json)
        print("millrace: interrupted", file=sys.stderr)
    return result if isinstance(result, int) else 0


def _report_usage(error: typer.TyperException, as_json: bool) -> int:
    """Prints what is wrong with the command line; for an empty one, the help text."""
    from pipelines import console

    # Click ends a question with both of its marks: "No such command 'rum'. Did you mean 'run'?."
    message = error.format_message().replace("?.", "?")
    _print_json_error(message, error.exit_code, as_json)
    if "\n" in message:
        print(message, file=sys.stderr)
    else:
        context = getattr(error, "ctx", None)
        end = "" if message.endswith("?") else "."
        told = f"{message.rstrip('.')}{end} See `{_help_of(context)}`."
        console.print_error(told if context else message)
    return error.exit_code


def _help_of(context: Any) -> str:
    """Returns the command that explains a verb: ".venv/bin/millrace runs show --help"."""
    from pipelines import program

    _, *verbs = context.command_path.split()
    return program.command(*verbs, "--help")


def _report_error(error: Exception, debug: bool, as_json: bool) -> int:
    from pipelines import console

    if debug:
        traceback.print_exception(error)
    explained = console.explain(error)
    _print_json_error(
        explained.message, explained.exit_code, as_json and not isinstance(error, console.InResult)
    )
    # What went well comes first, also where both streams are one file.
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    console.print_error(explained.message)
    return explained.exit_code


def _print_json_error(message: str, exit_code: int, wanted: bool) -> None:
    from pipelines import console

    if wanted:
        # Where stdout is what failed, stderr says so.
        with contextlib.suppress(OSError):
            console.print_json(console.Explained(exit_code, message).to_json())


if __name__ == "__main__":
    main()
