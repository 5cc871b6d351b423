"""The task list: `fab --list`."""

from fabric.main import program
from invoke.collection import Collection

from build.cli import catalog, checks, cloud, demo, life, lock, models, tasks, uninstall, waking
from build.cli.command_line import explain_mistakes

explain_mistakes(program)
namespace = Collection.from_module(tasks)
for module in (checks, lock, uninstall, models, cloud, catalog, life, waking):
    for task in Collection.from_module(module).tasks.values():
        namespace.add_task(task)
namespace.add_collection(Collection.from_module(demo), name="demo")
