"""The arguments of `memorybank`."""

from __future__ import annotations

import argparse
import re
from datetime import datetime
from pathlib import Path

from memorybank.cli import episode_parser
from memorybank.cli.edit_parser import EDIT_GROUPS, add_edits
from memorybank.cli.task_parser import TASK_GROUPS, add_tasks
from memorybank.cli.work_parser import GROUPS, add_wake_up, add_work
from memorybank.domain.consolidation.rules import Job
from memorybank.domain.memory import MemoryType

EXIT_CODES = """\
exit codes: 0 done; 1 refused or failed; 2 wrong arguments, settings or input; 3 no such thing;
4 the key is missing, invalid or not allowed to; 5 no answer, or not now; 6 a backup is damaged;
130 interrupted
"""
_BANK_EPILOG = f"""\
which bank: --data DIR opens a folder that no server holds; --url URL asks a server, with --key or,
better, MEMORY_BANK_KEY or MEMORY_BANK_KEY_FILE; without both, MEMORY_BANK_URL or http://127.0.0.1:8080,
there with the server's own MEMORY_BANK_ADMIN_KEY or MEMORY_BANK_ADMIN_KEY_FILE when no key is given

{EXIT_CODES}"""
_TYPES = [kind.value for kind in MemoryType]
_EMPTIABLE = ("title", "project", "session", "occurred_at")
_MOST_HOURS = 87_600
_MOST_SECONDS = 3_600
_LIMITS = ("max_memories", "requests_per_minute", "burst")

_Commands = argparse._SubParsersAction  # argparse has no public name for it


def build_parser() -> argparse.ArgumentParser:
    """Return the parser; `run`, as `module:function`, is set in what it returns."""
    parser = argparse.ArgumentParser(
        prog="memorybank",
        description="A memory service for AI agents: store, find by meaning, forget.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_init(commands)
    _add_serve(commands)
    _add_store(commands, "store", "store a memory and print its id")
    _add_search(commands)
    _add_memory(commands)
    _add_work(commands)
    _add_transfer(commands)
    _add_move(commands)
    _add_health(commands)
    _add_tenants(commands)
    _add_keys(commands)
    _add_forget(commands)
    _add_consolidate(commands)
    _add_care(commands)
    _add_config(commands)
    _add_audit(commands)
    _add_usage(commands)
    _add_model(commands)
    completion = _command(commands, "completion", "print a script that completes commands")
    completion.add_argument("shell", choices=("bash", "zsh"))
    completion.set_defaults(run="completion:completion")
    version = _command(commands, "version", "print the version")
    _add_output(version)
    version.set_defaults(run="commands:version")
    return parser


def _command(
    commands: _Commands[argparse.ArgumentParser], name: str, text: str, *, bank: bool = False
) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        epilog=_BANK_EPILOG if bank else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def _group(
    commands: _Commands[argparse.ArgumentParser], name: str, text: str
) -> _Commands[argparse.ArgumentParser]:
    group = _command(commands, name, text)
    return group.add_subparsers(dest="action", required=True, metavar="ACTION")


def _add_init(commands: _Commands[argparse.ArgumentParser]) -> None:
    init = _command(commands, "init", "make a data folder with configuration and admin key")
    init.add_argument("--data", type=Path, metavar="DIR", help="folder to make")
    _add_output(init)
    init.set_defaults(run="setup:init")


def _add_serve(commands: _Commands[argparse.ArgumentParser]) -> None:
    serve = _command(commands, "serve", "run the service: REST, MCP, health, metrics")
    serve.add_argument("--data", type=Path, metavar="DIR", help="folder of everything that is kept")
    serve.add_argument("--host", help="address to listen on (default 127.0.0.1)")
    serve.add_argument("--port", help="port of REST and MCP (default 8080; 0: a free one)")
    serve.add_argument("--metrics-port", metavar="PORT", help="port of /metrics (default 9090)")
    serve.add_argument("--config", type=Path, metavar="FILE", help="configuration file, YAML")
    serve.add_argument("--log-level", metavar="LEVEL", help="debug, info, warning or error")
    serve.add_argument("--log-format", metavar="FORMAT", help="json or text")
    serve.set_defaults(run="serve")


def _add_fields(command: argparse.ArgumentParser) -> None:
    command.add_argument("--title")
    command.add_argument("--type", choices=_TYPES, metavar="TYPE", help=", ".join(_TYPES))
    command.add_argument("--project")
    command.add_argument("--session")
    command.add_argument("--tag", action="append", dest="tags", help="may be repeated")
    command.add_argument("--metadata", metavar="JSON", help="a JSON object")
    command.add_argument("--importance", type=float, metavar="0..1")
    command.add_argument("--occurred-at", metavar="TIME", help="RFC 3339, with offset")


def _add_store(commands: _Commands[argparse.ArgumentParser], name: str, text: str) -> None:
    store = _command(commands, name, text, bank=True)
    store.add_argument("content", help="what to remember; - reads it from standard input")
    _add_fields(store)
    _add_bank_options(store)
    store.set_defaults(run="commands:store")


def _add_filters(command: argparse.ArgumentParser) -> None:
    command.add_argument("--project")
    command.add_argument("--session")
    command.add_argument("--type", action="append", dest="types", choices=_TYPES, metavar="TYPE")
    command.add_argument("--tag", action="append", dest="tags", help="may be repeated: all of them")


def _add_search(commands: _Commands[argparse.ArgumentParser]) -> None:
    search = _command(commands, "search", "find memories by meaning and by words", bank=True)
    search.add_argument("query", help="a question or key words")
    search.add_argument("--limit", type=int, help="how many at most (default 10)")
    _add_filters(search)
    _add_bank_options(search)
    search.set_defaults(run="commands:search")


def _add_memory(commands: _Commands[argparse.ArgumentParser]) -> None:
    actions = _group(commands, "memory", "add, get, list, update, delete memories, and more")
    _add_store(actions, "add", "store a memory and print its id")
    get = _command(actions, "get", "show a memory", bank=True)
    get.add_argument("id")
    get.set_defaults(run="commands:get")
    every = _command(actions, "list", "list memories, newest first", bank=True)
    every.add_argument("--limit", type=int, default=20, help="how many at most (default 20)")
    _add_filters(every)
    every.set_defaults(run="commands:list_")
    update = _command(actions, "update", "change a memory", bank=True)
    update.add_argument("id")
    update.add_argument("--content", help="- reads it from standard input")
    _add_fields(update)
    _add_clear(update, _EMPTIABLE)
    update.set_defaults(run="commands:update")
    delete = _command(actions, "delete", "delete memories", bank=True)
    delete.add_argument("ids", nargs="+", metavar="ID")
    delete.set_defaults(run="commands:delete")
    history = _command(actions, "history", "show what a memory said before", bank=True)
    history.add_argument("id")
    history.set_defaults(run="commands:history")
    changes = []
    for name, text in (
        ("archive", "archive memories"),
        ("restore", "bring memories back from archive or trash"),
        ("pin", "keep memories from being forgotten"),
        ("unpin", "let memories be forgotten"),
    ):
        change = _command(actions, name, text, bank=True)
        change.add_argument("ids", nargs="+", metavar="ID")
        change.set_defaults(run="commands:change")
        changes.append(change)
    for command in (get, every, update, delete, history, *changes):
        _add_bank_options(command)


def _add_work(commands: _Commands[argparse.ArgumentParser]) -> None:
    every = GROUPS | TASK_GROUPS | EDIT_GROUPS | episode_parser.GROUPS
    groups = {name: _group(commands, name, text) for name, text in every.items()}

    def adds(group: str, name: str, text: str) -> argparse.ArgumentParser:
        command = _command(groups[group], name, text, bank=True)
        _add_bank_options(command)
        return command

    add_work(adds)
    add_tasks(adds)
    add_edits(adds)
    episode_parser.add_episodes(adds)
    wake_up = _command(commands, "wake-up", "show what is to be known to go on", bank=True)
    add_wake_up(wake_up)
    _add_bank_options(wake_up)


def _add_transfer(commands: _Commands[argparse.ArgumentParser]) -> None:
    export = _command(commands, "export", "write everything into a file", bank=True)
    export.add_argument("file", help="FILE.jsonl, FILE.jsonl.gz, or - for standard output")
    export.add_argument("--gzip", action="store_true", help="compress, whatever the name says")
    export.add_argument("--no-embeddings", action="store_true", help="leave the vectors out")
    export.add_argument("--no-events", action="store_true", help="leave memories of type event out")
    export.set_defaults(run="transfer:export")
    import_ = _command(commands, "import", "take an export over; again changes nothing", bank=True)
    import_.add_argument("file", help="what `memorybank export` wrote")
    import_.add_argument("--existing", choices=("keep", "replace"), default="keep")
    import_.add_argument("--dry-run", action="store_true", help="check every line, change nothing")
    import_.add_argument("--start-line", type=int, default=2, metavar="N", help="go on from there")
    import_.set_defaults(run="transfer:import_")
    for command in (export, import_):
        command.add_argument("--all-tenants", action="store_true", help="the whole bank")
        _add_bank_options(command)


def _add_move(commands: _Commands[argparse.ArgumentParser]) -> None:
    actions = _group(
        commands, "move", "bring a whole bank to another database, also while it is served"
    )
    for name, text in (
        ("to-postgres", "move a bank from a data folder into an empty PostgreSQL database"),
        ("to-sqlite", "move a bank from a PostgreSQL database into an empty data folder"),
    ):
        command = _command(actions, name, f"{text}; the same again goes on where it was cut off")
        command.add_argument("--data", type=Path, metavar="DIR", required=True, help="data folder")
        command.add_argument(
            "--url-file",
            type=Path,
            metavar="FILE",
            help="file that holds the address of the database (or: MEMORY_BANK_DATABASE_URL)",
        )
        _add_output(command)
        command.set_defaults(run="move:move", direction=name)


def _add_health(commands: _Commands[argparse.ArgumentParser]) -> None:
    health = _command(commands, "health", "check that a bank does its job", bank=True)
    health.add_argument("--verbose", action="store_true", help="tell what it holds; for admins")
    _add_bank_options(health)
    health.set_defaults(run="commands:health")


def _add_tenants(commands: _Commands[argparse.ArgumentParser]) -> None:
    actions = _group(commands, "tenants", "make, list, limit and delete tenants")
    parsers = {
        name: _command(actions, name, text, bank=True)
        for name, text in (
            ("list", "list tenants"),
            ("create", "make a tenant"),
            ("get", "show a tenant"),
            ("update", "change a tenant's limits"),
            ("stats", "count what a tenant holds"),
            ("delete", "delete a tenant"),
        )
    }
    for name, command in parsers.items():
        if name != "list":
            command.add_argument("name")
        for limit in _LIMITS if name in ("create", "update") else ():
            command.add_argument(f"--{limit.replace('_', '-')}", type=int, metavar="N")
        _add_bank_options(command)
        unset = dict.fromkeys(_LIMITS) if name not in ("create", "update") else {}
        command.set_defaults(run="commands:tenants", **unset)
    _add_clear(parsers["update"], _LIMITS)
    parsers["delete"].add_argument("--with-data", action="store_true", help="and all it holds")


def _add_keys(commands: _Commands[argparse.ArgumentParser]) -> None:
    actions = _group(commands, "keys", "make, list, rotate and revoke API keys")
    every = _command(actions, "list", "list keys", bank=True)
    every.add_argument("--tenant")
    create = _command(actions, "create", "make a key and print it, this once", bank=True)
    create.add_argument("name", help="who or what will use it")
    create.add_argument("--role", required=True, help="admin, developer, readonly or one's own")
    create.add_argument("--tenant")
    create.add_argument("--expires-at", metavar="TIME", help="RFC 3339, with offset")
    rotate = _command(actions, "rotate", "replace a key and print the new one", bank=True)
    rotate.add_argument("--overlap-seconds", type=int, metavar="N", help="the old one stays valid")
    revoke = _command(actions, "revoke", "make a key invalid at once", bank=True)
    for command in (rotate, revoke):
        command.add_argument("id", help="the key's id, not the key")
    for command in (every, create, rotate, revoke):
        _add_bank_options(command)
        command.set_defaults(run="commands:keys")


def _add_forget(commands: _Commands[argparse.ArgumentParser]) -> None:
    actions = _group(commands, "forget", "forget what nobody uses; look ahead, undo")
    status = _command(actions, "status", "show how memories are forgotten, and when", bank=True)
    run = _command(actions, "run", "run the job once, whether it is scheduled or not", bank=True)
    run.add_argument("--dry-run", action="store_true", help="only tell what would be done")
    preview = _command(actions, "preview", "show what the schedule will have done", bank=True)
    preview.add_argument(
        "--days", action="append", type=int, metavar="N", help="from now; may be repeated"
    )
    runs = _command(actions, "runs", "list the runs that changed something", bank=True)
    runs.add_argument("--limit", type=int, default=20, help="how many at most (default 20)")
    undo = _command(actions, "undo", "put back what a run archived or trashed", bank=True)
    undo.add_argument("id", help="the run's id")
    parsers = {"status": status, "run": run, "preview": preview, "runs": runs, "undo": undo}
    for name, command in parsers.items():
        _add_bank_options(command)
        command.set_defaults(run=f"forgetting:{name}")


def _add_consolidate(commands: _Commands[argparse.ArgumentParser]) -> None:
    actions = _group(commands, "consolidate", "make few of many memories; look back, undo")
    run = _command(actions, "run", "run jobs now, whether they are scheduled or not", bank=True)
    run.add_argument(
        "--job",
        action="append",
        choices=[job.value for job in Job],
        help="may be repeated; all, if left out",
    )
    run.add_argument("--dry-run", action="store_true", help="only tell what would be done")
    jobs = _command(actions, "jobs", "show the jobs, and when they run", bank=True)
    runs = _command(actions, "runs", "list the runs, newest first", bank=True)
    runs.add_argument("--limit", type=int, default=20, help="how many at most (default 20)")
    undo = _command(actions, "undo", "put back what a run did", bank=True)
    undo.add_argument("id", help="the run's id")
    parsers = {"run": run, "jobs": jobs, "runs": runs, "undo": undo}
    for name, command in parsers.items():
        _add_bank_options(command)
        command.set_defaults(run=f"consolidate:{name}")


def _add_care(commands: _Commands[argparse.ArgumentParser]) -> None:
    check = _command(commands, "check", "check the database for damage", bank=True)
    check.set_defaults(run="care:check")
    _add_bank_options(check)
    actions = _group(commands, "index", "check or rebuild the search index in a server's memory")
    for name, text in (
        ("check", "compare the index with the database, rebuild it if they differ; 1 if so"),
        ("rebuild", "drop the index and read it anew, while searches go on"),
    ):
        command = _command(actions, name, text, bank=True)
        _add_bank_options(command)
        command.set_defaults(run="care:index")
    actions = _group(commands, "embedding", "how far embedding is; go over between models")
    for name, text in (
        ("status", "tell which models there are vectors of, and how many wait"),
        ("rollback", "let the model and the vectors before the last change serve again"),
        ("resume", "go over to the model of the settings after a rollback"),
        ("discard", "drop the vectors of models that are not in use"),
    ):
        command = _command(actions, name, text, bank=True)
        _add_bank_options(command)
        command.set_defaults(run="care:embedding")
    actions = _group(commands, "backup", "copy the database; what happens before it is replicated")
    backup = _command(
        actions, "copy", "copy the bank of one moment into a file, while it is served"
    )
    backup.add_argument("file", type=Path, help="file to make")
    _add_prepare(actions)
    migrate = _command(commands, "migrate", "bring the database of a folder up to this version")
    migrate.add_argument("--dry-run", action="store_true", help="only tell what would be done")
    for command, run in ((backup, "care:backup"), (migrate, "care:migrate")):
        command.add_argument("--data", type=Path, metavar="DIR", help="data folder")
        command.add_argument("--config", type=Path, metavar="FILE", help="configuration file, YAML")
        _add_output(command)
        command.set_defaults(run=run)


def _add_prepare(actions: _Commands[argparse.ArgumentParser]) -> None:
    prepare = _command(
        actions, "prepare", "find or restore the database, and begin what it is replicated to"
    )
    _add_in_pod(prepare)
    prepare.set_defaults(run="backup:prepare")
    replicate = _command(
        actions, "replicate", "run Litestream on what prepare wrote, beside the service"
    )
    replicate.add_argument(
        "--run-dir",
        type=Path,
        default=Path("/run/memorybank"),
        metavar="DIR",
        help="backup.run_dir of the settings (default: /run/memorybank)",
    )
    replicate.set_defaults(run="replicate:replicate")
    mirror = _command(
        actions, "mirror", "copy what is at the destination to backup.copies, beside the service"
    )
    mirror.add_argument("--data", type=Path, metavar="DIR", help="data folder")
    mirror.add_argument("--config", type=Path, metavar="FILE", help="configuration file, YAML")
    mirror.set_defaults(run="mirror:mirror")
    listed = _command(actions, "list", "show what there is at the destination of backups")
    restore = _command(actions, "restore", "bring a moment of the bank back into a file")
    restore.add_argument("file", type=Path, help="file to make")
    _add_state(restore)
    points = _command(actions, "points", "show the recovery points at the destination")
    lift = _command(
        actions, "lift-fence", "let the bank take writes though another was promoted in its place"
    )
    export = _command(actions, "export", "write the export of a recovery point into a file")
    export.add_argument("name", type=_point, help="name of the point")
    export.add_argument("file", help="file to make, - for standard output; .gz compresses")
    remove = _command(actions, "remove", "remove a recovery point")
    remove.add_argument("name", type=_point, help="name of the point")
    for command, run in (
        (listed, "backup:list_epochs"),
        (restore, "backup:restore"),
        (points, "backup:points"),
        (lift, "backup:lift"),
        (export, "backup:export"),
        (remove, "backup:remove"),
    ):
        _add_destination(command)
        command.set_defaults(run=run)
    _add_drills(actions)
    _add_rewinds(actions)


def _add_drills(actions: _Commands[argparse.ArgumentParser]) -> None:
    take = _command(actions, "take", "make a recovery point: a whole copy, which is checked first")
    take.add_argument("name", type=_point, help="name of the point")
    take.add_argument(
        "--id", metavar="TEXT", help="who asks: with the same one again, the point is there already"
    )
    take.add_argument(
        "--expire-hours",
        type=_hours,
        metavar="N",
        help="when it is removed (default: when somebody removes it)",
    )
    take.add_argument(
        "--export", action="store_true", help="put an export beside it, as `export` writes it"
    )
    verify = _command(actions, "verify", "prove that the bank comes back from its backup")
    _add_state(verify)
    for command, run in ((take, "backup:take"), (verify, "backup:verify")):
        command.add_argument(
            "--scratch", type=Path, metavar="DIR", help="where the copy is made for as long"
        )
        command.add_argument("--url", help="URL of the bank, which is asked what it holds")
        command.add_argument(
            "--token-file", type=Path, metavar="FILE", help="a file that holds its admin key"
        )
        command.add_argument(
            "--wait",
            type=_seconds,
            default=0,
            metavar="SECONDS",
            help="how long to wait until the bank answers, before it is done without (default: 0)",
        )
        _add_in_pod(command)
        command.set_defaults(run=run)


def _add_rewinds(actions: _Commands[argparse.ArgumentParser]) -> None:
    rewind = _command(
        actions, "rewind", "make the database what it was, while nobody serves it; it is kept"
    )
    _add_state(rewind)
    undo = _command(actions, "undo", "put back what was there before a rewind")
    discard = _command(actions, "discard", "remove what is kept of a rewind")
    for command, run, text in (
        (rewind, "backup:rewind", "a name for it: by the same one again, nothing is done"),
        (undo, "backup:undo", "that of the rewind"),
    ):
        command.add_argument("id", type=_point, help=text)
        command.add_argument(
            "--scratch",
            type=Path,
            metavar="DIR",
            help="of a bank in PostgreSQL, where copies are"
            " made for as long (default: where temporary files are)",
        )
        _add_in_pod(command)
        command.set_defaults(run=run)
    discard.add_argument("id", type=_point, help="that of the rewind")
    _add_destination(discard)
    discard.set_defaults(run="backup:discard")


def _add_in_pod(command: argparse.ArgumentParser) -> None:
    command.add_argument("--data", type=Path, metavar="DIR", help="data folder")
    command.add_argument("--config", type=Path, metavar="FILE", help="configuration file, YAML")
    command.add_argument(
        "--termination-log",
        type=Path,
        default=Path("/dev/termination-log"),
        metavar="FILE",
        help="where the outcome is told to who looks at the pod, if it is there (default:"
        " /dev/termination-log)",
    )


def _add_state(command: argparse.ArgumentParser) -> None:
    """Let one state of the bank be named; the newest one if none is."""
    command.add_argument(
        "--at",
        type=_moment,
        metavar="TIME",
        help="the last state up to then, as 2026-11-22T15:00:00Z (default: the newest)",
    )
    command.add_argument("--epoch", metavar="NAME", help="of this epoch (see list)")
    command.add_argument(
        "--point", type=_point, metavar="NAME", help="a recovery point (see points), instead"
    )


def _point(text: str) -> str:
    from memorybank.backup.point import POINT_NAME

    if not re.fullmatch(POINT_NAME, text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no name: write up to 63 small letters, digits and hyphens between them"
        )
    return text


def _hours(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _MOST_HOURS:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of hours from 1 to {_MOST_HOURS}")
    return int(text)


def _seconds(text: str) -> int:
    if not text.isdecimal() or int(text) > _MOST_SECONDS:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no number of seconds from 0 to {_MOST_SECONDS}"
        )
    return int(text)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time with a zone: write one such as 2026-11-22T15:00:00Z"
        )
    return moment


def _add_destination(command: argparse.ArgumentParser) -> None:
    command.add_argument("--data", type=Path, metavar="DIR", help="data folder")
    command.add_argument(
        "--config", type=Path, metavar="FILE", help="configuration file that names the destination"
    )
    _add_output(command)


def _add_config(commands: _Commands[argparse.ArgumentParser]) -> None:
    actions = _group(commands, "config", "write, check and show the configuration")
    init = _command(actions, "init", "print a configuration file with every setting, or write it")
    init.add_argument("file", type=Path, nargs="?", help="file to make; must not exist")
    validate = _command(actions, "validate", "check a configuration and the environment")
    show = _command(actions, "show", "show every setting in effect and where it comes from")
    for command, run in ((init, "init"), (validate, "validate"), (show, "show")):
        command.set_defaults(run=f"config:{run}")
        _add_output(command)
    for command in (validate, show):
        command.add_argument("--config", type=Path, metavar="FILE", help="configuration file, YAML")


def _add_audit(commands: _Commands[argparse.ArgumentParser]) -> None:
    actions = _group(commands, "audit", "read, export and verify audit logs")
    every = _command(actions, "list", "list records, newest first", bank=True)
    every.add_argument("--tenant")
    every.add_argument(
        "--action", dest="action_is", metavar="ACTION", help="only this one, as memory.create"
    )
    every.add_argument("--actor", metavar="TENANT/ID", help="only by this key")
    every.add_argument("--limit", type=int, default=20, help="how many at most (default 20)")
    _add_bank_options(every)
    every.set_defaults(run="oversight:audit")
    export = _command(actions, "export", "write a whole log, for `audit verify`", bank=True)
    export.add_argument("file", help="a file to make, or -")
    export.add_argument("--tenant")
    _add_bank_options(export)
    export.set_defaults(run="oversight:export")
    verify = _command(
        actions, "verify", "find out whether records were changed, left out or moved; 1 if so"
    )
    where = verify.add_mutually_exclusive_group(required=True)
    where.add_argument("file", nargs="?", help="what `audit export` wrote, or -")
    where.add_argument("--data", type=Path, metavar="DIR", help="data folder, also of a server")
    verify.add_argument(
        "--head", metavar="SEQ:HASH", help="the end that you noted: it must be there still"
    )
    _add_output(verify)
    verify.set_defaults(run="audit:audit")


def _add_usage(commands: _Commands[argparse.ArgumentParser]) -> None:
    usage = _command(commands, "usage", "count requests by endpoint", bank=True)
    usage.add_argument("--tenant")
    usage.add_argument("--first-day", metavar="DAY", help="such as 2026-03-01, in UTC")
    usage.add_argument("--last-day", metavar="DAY", help="included")
    _add_bank_options(usage)
    usage.set_defaults(run="oversight:usage")


def _add_model(commands: _Commands[argparse.ArgumentParser]) -> None:
    actions = _group(commands, "model", "make the built-in model, keep one on an Ollama server")
    prepare = _command(actions, "prepare", "make the model from the published weights, once")
    prepare.add_argument(
        "--output",
        type=Path,
        dest="folder",
        metavar="DIR",
        help="folder to make (default: in the user's cache)",
    )
    prepare.set_defaults(run="models:prepare")
    keep = _command(
        actions, "keep", "bring a model to an Ollama server and see that it answers, until stopped"
    )
    keep.add_argument("model", help="name of the model, such as nomic-embed-text")
    keep.add_argument("--url", default="http://127.0.0.1:11434", help="where Ollama answers")
    keep.add_argument(
        "--file", type=Path, metavar="FILE", help="make the model of this GGUF, instead of pulling"
    )
    keep.add_argument(
        "--keep-alive", default="30m", metavar="TIME", help="how long it stays in memory after use"
    )
    keep.add_argument("--host", default="127.0.0.1", help="address of /live and /ready")
    keep.add_argument("--port", type=int, default=8081, help="their port; /ready: it answers")
    keep.set_defaults(run="models:keep")


def _add_clear(command: argparse.ArgumentParser, names: tuple[str, ...]) -> None:
    command.add_argument(
        "--clear", action="append", choices=names, metavar="FIELD", help=f"empty {', '.join(names)}"
    )


def _add_bank_options(command: argparse.ArgumentParser) -> None:
    where = command.add_mutually_exclusive_group()
    where.add_argument("--url", help="URL of a server")
    where.add_argument("--data", type=Path, metavar="DIR", help="data folder")
    command.add_argument("--key", help="API key for the server")
    _add_output(command)


def _add_output(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--output", choices=("text", "json", "yaml"), default="text", help="form of the output"
    )
