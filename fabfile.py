"""The task list: `fab --list`."""

from invoke.collection import Collection

from build import demo, host_tasks, lock_tasks, tasks, uninstall_tasks
from build.cloud import catalog_tasks, life_tasks, waking
from build.cloud import tasks as cloud
from build.models import tasks as models_tasks

namespace = Collection.from_module(tasks)
for module in (host_tasks, lock_tasks, uninstall_tasks, models_tasks, cloud, catalog_tasks, life_tasks, waking):
    for task in Collection.from_module(module).tasks.values():
        namespace.add_task(task)
namespace.add_collection(Collection.from_module(demo), name="demo")
